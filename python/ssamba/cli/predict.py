"""`ssamba predict`."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..training.options import REQUIRED, option
from ..training.settings import InferenceSettings
from .arguments import Parser, add_settings, make_settings
from .signals import stopped_after

if TYPE_CHECKING:
    from .results.row_file import RowFile

DESCRIPTION = """\
Labels and scores of audio files from a fine-tuned model, each printed, or with
--out written, as soon as it is known. Audio longer than the model's input is
read in consecutive windows, whose scores are averaged; memory does not grow
with its length. --out FILE.jsonl holds what --json prints, a line for each
file; .csv and .tsv have columns file, label_1, score_1, label_2, ... A command
that was stopped goes on with --resume, which also adds files that came later;
FILE.settings.json says what it was begun with. Exits 1 if a file was
unreadable."""

EXAMPLE = """\
  ssamba predict --checkpoint runs/words a.wav clips/
  ssamba predict --checkpoint runs/words --out scores.csv --resume clips/
  ssamba predict --checkpoint runs/words --json a.wav | jq '.[0].labels'"""
SUFFIXES = (".csv", ".tsv", ".jsonl")


@dataclass(kw_only=True)
class PredictSettings(InferenceSettings):
    """Settings of `ssamba predict`."""

    paths: tuple[str, ...] = option((), "audio files and folders", group="files", positional=True, path=True)
    checkpoint: str = option(REQUIRED, "fine-tuning run or checkpoint directory", group="files", path=True)
    out: str | None = option(None, "file to write instead of printing, .csv, .tsv or .jsonl", group="files", path=True)
    resume: bool = option(False, "go on with --out where it was stopped; begin if nothing is there", group="files")
    top: int = option(3, "labels shown for each file", group="output", minimum=1)
    json: bool = option(False, "print a JSON list instead of a table", group="output")
    batch_size: int = option(8, "windows of equal length computed together", group="run", minimum=1)
    strict: bool = option(False, "stop at an unreadable file instead of skipping it", group="run")
    quiet: bool = option(False, "no progress display", group="run")


def add_arguments(parser: Parser) -> None:
    add_settings(parser, PredictSettings)


def run(args: Namespace) -> int:
    settings = make_settings(PredictSettings, args)
    if settings.resume and settings.out is None:
        raise ValueError("resume goes on with a file: give --out")
    if settings.json and settings.out is not None:
        raise ValueError("json says how rows are printed; leave it out, or give --out FILE.jsonl")
    if settings.out is not None and Path(settings.out).suffix not in SUFFIXES:
        raise ValueError(f"out is {settings.out}, expected a name that ends in .csv, .tsv or .jsonl")
    from .audio_files import audio_files

    return predict(settings, audio_files(settings.paths))


def predict(settings: PredictSettings, files: list[str]) -> int:
    """Writes a row for every file, says which were left out, and returns the exit code."""
    from ..training.progress import SoundProgress
    from ..training.result import report_skipped
    from .predictor import Predictor
    from .results.row_printers import JsonList, Table

    predictor = Predictor(settings.checkpoint, settings.device, settings.dtype)
    if settings.out is not None:
        writer = row_file(settings, len(predictor.classes))
    else:
        writer = JsonList() if settings.json else Table(files)
    with writer:
        done = set(writer.files)
        rest = [file for file in files if file not in done]
        count = len(files) - len(rest)
        progress = SoundProgress(len(rest), "predicting", settings.quiet)
        reader = predictor.reader(settings.strict, progress)
        try:
            with stopped_after(lambda: f"{count} of {len(files)} files", resumable=settings.out is not None):
                for row in predictor.rows(rest, reader, settings.batch_size, settings.top):
                    progress.clear()
                    writer.add(row)
                    count += 1
        finally:
            progress.close()
            report_skipped(reader.skipped)
    if settings.out is not None:
        print(f"{settings.out}: {count} of {len(files)} files")
    if not count:
        return 2
    return 1 if reader.skipped else 0


def row_file(settings: PredictSettings, classes: int) -> RowFile:
    """The file of --out, new or as it was left."""
    from .results.resuming import checkpoint_digest
    from .results.row_file import RowFile

    top = min(settings.top, classes)
    begun_with = {"top": top, "dtype": settings.dtype, "weights": checkpoint_digest(settings.checkpoint)}
    return RowFile(Path(settings.out), begun_with, top, settings.resume)
