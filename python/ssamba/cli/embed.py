"""`ssamba embed`."""

from __future__ import annotations

import json
from argparse import Namespace
from dataclasses import dataclass
from pathlib import Path

from ..training.options import REQUIRED, option
from ..training.settings import InferenceSettings
from .arguments import Parser, add_settings, make_settings
from .signals import stopped_after

DESCRIPTION = """\
Features of audio files in one .npz or .safetensors file: `features`, and the
file names in `files` (in .safetensors: in the metadata, as JSON).
  clip    (files, D): mean over the whole file
  frame   (T, D): one vector for each column of patches, all files one after the
          other; file i is features[offsets[i]:offsets[i+1]], row j of it lies
          at times[j] seconds
  patch   (T, rows, D): as frame, but each frequency row by itself
--layers adds an axis before D. Until all is computed the features of the files
that are done lie in the folder FILE.part, from where a command that was stopped
goes on with --resume, which also adds files to a finished FILE. Memory grows
neither with what is computed nor with the length of a recording. Exits 1 if a
file was unreadable."""

EXAMPLE = """\
  ssamba embed --checkpoint runs/pretrained --out features.npz clips/
  ssamba embed --checkpoint runs/pretrained --out features.safetensors \\
      --level frame --layers 8,16 --resume recordings/"""


@dataclass(kw_only=True)
class EmbedSettings(InferenceSettings):
    """Settings of `ssamba embed`."""

    paths: tuple[str, ...] = option((), "audio files and folders", group="files", positional=True, path=True)
    checkpoint: str = option(REQUIRED, "run or checkpoint directory", group="files", path=True)
    out: str = option(REQUIRED, "file to write, .npz or .safetensors", group="files", path=True)
    resume: bool = option(False, "go on where a command was stopped; begin if nothing is there", group="files")
    level: str = option("clip", "what gets a vector", group="features", choices=("clip", "frame", "patch"))
    layers: str | None = option(
        None, "states after these layers, such as 8,16 from 0, or all (default: the model's output)", group="features"
    )
    batch_size: int = option(16, "files of equal length computed together", group="run", minimum=1)
    strict: bool = option(False, "stop at an unreadable file instead of skipping it", group="run")
    quiet: bool = option(False, "no progress display", group="run")


def add_arguments(parser: Parser) -> None:
    add_settings(parser, EmbedSettings)


def run(args: Namespace) -> int:
    settings = make_settings(EmbedSettings, args)
    out = Path(settings.out)
    if out.suffix not in (".npz", ".safetensors"):
        raise ValueError(f"out is {out}, expected a name that ends in .npz or .safetensors")
    if out.is_dir():
        raise ValueError(f"out is {out}, which is a directory; give a file")
    out.parent.mkdir(parents=True, exist_ok=True)  # if that cannot be, it is said now and not after hours
    parse_layers(settings.layers)
    from .audio_files import audio_files

    return embed(settings, audio_files(settings.paths))


def parse_layers(layers: str | None) -> list[int] | str | None:
    """None, "all", or layer numbers."""
    if layers is None or layers == "all":
        return layers
    try:
        return [int(layer) for layer in layers.split(",")]
    except ValueError:
        raise ValueError(f"layers is {layers!r}, expected numbers such as 8,16, or all") from None


def embed(settings: EmbedSettings, files: list[str]) -> int:
    """Writes the features of all files to `out`, says which were left out, and returns the exit code."""
    from ..training.progress import SoundProgress
    from ..training.result import report_skipped
    from .embedder import Embedder
    from .results.feature_file import FeatureFile
    from .results.feature_parts import FeatureParts
    from .results.resuming import checkpoint_digest

    out, layers = FeatureFile(settings.out), parse_layers(settings.layers)
    out.require_room_for(files)
    embedder = Embedder(settings.checkpoint, settings.device, settings.dtype, settings.level, layers)
    weights = checkpoint_digest(settings.checkpoint)
    begun_with = {"level": settings.level, "layers": settings.layers, "dtype": settings.dtype, "weights": weights}
    with FeatureParts(out.folder, begun_with, embedder.row_shape, settings.resume) as parts:
        if settings.resume and not parts.files and out.path.exists():
            if set(files) <= set(out.files(begun_with)):
                print(f"{out.path}: already finished")
                return 0
            out.unpack(parts)
        done = set(parts.files)
        rest = [file for file in files if file not in done]
        progress = SoundProgress(len(rest), "embedding", settings.quiet)
        reader = embedder.reader(settings.strict, progress)
        try:
            with stopped_after(lambda: f"{len(files) - len(rest) + parts.added} of {len(files)} files", True):
                embedder.add(rest, reader, parts, settings.batch_size)
                if not parts.files:
                    first = ": ".join(reader.skipped[0])
                    raise ValueError(f"none of the {len(files)} files could be read; the first: {first}")
                times = None if settings.level == "clip" else embedder.column_times(max(parts.rows))
                about = {"level": settings.level, "checkpoint": settings.checkpoint}
                out.write(parts, times, {**about, "settings": json.dumps(begun_with)})
        except BaseException:
            if parts.files:
                print(f"{parts.folder}: features of {len(parts.files)} files, up to {parts.files[-1]}")
            raise
        finally:
            progress.close()
            report_skipped(reader.skipped)
        parts.delete()
    print(f"{out.path}: features {'x'.join(map(str, parts.shape))} of {len(parts.files)} files")
    return 1 if reader.skipped else 0
