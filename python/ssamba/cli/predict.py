"""`ssamba predict`."""

from __future__ import annotations

import json
from argparse import Namespace
from dataclasses import dataclass
from typing import Any

from ..training.options import REQUIRED, option
from ..training.settings import InferenceSettings
from .arguments import Parser, add_settings, make_settings

DESCRIPTION = """\
Labels and scores of audio files from a fine-tuned model. Audio longer than the
model's input is read in consecutive windows, whose scores are averaged. Exits
1 if a file was unreadable."""

EXAMPLE = """\
  ssamba predict --checkpoint runs/words a.wav clips/
  ssamba predict --checkpoint runs/words --json a.wav | jq '.[0].labels'"""


@dataclass(kw_only=True)
class PredictSettings(InferenceSettings):
    """Settings of `ssamba predict`."""

    paths: tuple[str, ...] = option((), "audio files and folders", group="files", positional=True)
    checkpoint: str = option(REQUIRED, "fine-tuning run or checkpoint directory", group="files")
    top: int = option(3, "labels shown for each file", group="output", minimum=1)
    json: bool = option(False, "print JSON instead of a table", group="output")
    strict: bool = option(False, "stop at an unreadable file instead of skipping it", group="run")
    quiet: bool = option(False, "no progress display", group="run")


def add_arguments(parser: Parser) -> None:
    add_settings(parser, PredictSettings)


def run(args: Namespace) -> int:
    settings = make_settings(PredictSettings, args)
    from ..training.result import report_skipped
    from .audio_files import audio_files

    files = audio_files(settings.paths)
    rows, skipped = predict(settings, files)
    if settings.json:
        print(json.dumps(rows, indent=2))
    else:
        print_table(rows)
    report_skipped(skipped)
    if not rows:
        return 2
    return 1 if skipped else 0


def predict(settings: PredictSettings, files: list[str]) -> tuple[list[dict[str, Any]], list[tuple[str, str]]]:
    """([{"file", "labels": [{"label", "score"}, ...]}, ...], skipped files), labels by falling score."""
    import torch

    from ..training.loading import class_names, freeze, load_classifier
    from ..training.progress import progress_bar
    from ..training.scoring import class_scores
    from ..training.start import make_accelerator, seconds_of
    from .audio_files import AudioReader

    model, readout = load_classifier(settings.checkpoint)
    device = make_accelerator("no", settings.device).device
    model, classes, config = freeze(model, device, settings.dtype), class_names(model), model.config
    shortest, window = (round(seconds_of(frames) * config.sample_rate) for frames in (config.tshape, config.input_tdim))
    reader = AudioReader(config.sample_rate, shortest, settings.strict)
    rows = []
    for path in progress_bar(files, "predicting", settings.quiet):
        wave = reader.read(path)
        if wave is None:
            continue
        scores = []
        for part in torch.from_numpy(wave).to(device).split(window):
            if len(part) >= shortest:
                with torch.inference_mode():
                    x, _ = model.features(part[None])
                    logits = model.classify(x, readout.pooling)[0]
                window_scores = torch.from_numpy(class_scores(logits.float().cpu().numpy(), readout.scores))
                scores.append(torch.atleast_2d(window_scores))  # "segments" has a row for each second
        mean = torch.cat(scores).mean(dim=0)
        best = mean.argsort(descending=True)[: settings.top].tolist()
        rows.append({"file": path, "labels": [{"label": classes[i], "score": float(mean[i])} for i in best]})
    return rows, reader.skipped


def print_table(rows: list[dict[str, Any]]) -> None:
    """One line a file: name, then label and score of the best."""
    width = max((len(row["file"]) for row in rows), default=0)
    for row in rows:
        labels = "  ".join(f"{item['label']} {item['score']:.3f}" for item in row["labels"])
        print(f"{row['file']:{width}}  {labels}")
