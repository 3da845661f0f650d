"""`ssamba embed`."""

from __future__ import annotations

import json
from argparse import Namespace
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..training.options import REQUIRED, option
from ..training.settings import InferenceSettings
from .arguments import Parser, add_settings, make_settings

DESCRIPTION = """\
Features of audio files in one .npz or .safetensors file: `features`, and the
file names in `files` (in .safetensors: in the metadata, as JSON).
  clip    (files, D): mean over the whole file
  frame   (T, D): one vector for each column of patches, all files one after the
          other; file i is features[offsets[i]:offsets[i+1]], row j of it lies
          at times[j] seconds
  patch   (T, rows, D): as frame, but each frequency row by itself
--layers adds an axis before D. Exits 1 if a file was unreadable."""

EXAMPLE = """\
  ssamba embed --checkpoint runs/pretrained --out features.npz clips/
  ssamba embed --checkpoint runs/pretrained --out features.safetensors \\
      --level frame --layers 8,16 a.wav b.flac"""


@dataclass(kw_only=True)
class EmbedSettings(InferenceSettings):
    """Settings of `ssamba embed`."""

    paths: tuple[str, ...] = option((), "audio files and folders", group="files", positional=True)
    checkpoint: str = option(REQUIRED, "run or checkpoint directory", group="files")
    out: str = option(REQUIRED, "file to write, .npz or .safetensors", group="files")
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
    from ..training.result import report_skipped
    from .audio_files import audio_files

    files = audio_files(settings.paths)
    arrays, skipped = embed(settings, files, parse_layers(settings.layers))
    write_features(out, arrays, {"level": settings.level, "checkpoint": settings.checkpoint})
    report_skipped(skipped)
    print(f"{out}: features {'x'.join(map(str, arrays['features'].shape))} of {len(arrays['files'])} files")
    return 1 if skipped else 0


def parse_layers(layers: str | None) -> list[int] | str | None:
    """None, "all", or layer numbers."""
    if layers is None or layers == "all":
        return layers
    try:
        return [int(layer) for layer in layers.split(",")]
    except ValueError:
        raise ValueError(f"layers is {layers!r}, expected numbers such as 8,16, or all") from None


def embed(settings: EmbedSettings, files: list[str], layers: list[int] | str | None) -> tuple[dict[str, Any], list]:
    """({features, files, offsets, times}, skipped files); offsets and times only for levels frame and patch."""
    import numpy as np

    from ..training.loading import freeze, load_model
    from ..training.progress import progress_bar
    from ..training.start import make_accelerator, seconds_of
    from .audio_files import AudioReader

    device = make_accelerator("no", settings.device).device
    model = freeze(load_model(settings.checkpoint), device, settings.dtype)
    rate = model.config.sample_rate
    reader = AudioReader(rate, round(seconds_of(model.config.tshape) * rate), settings.strict)
    names: list[str] = []
    features: list[np.ndarray] = []
    for paths, waves in reader.batches(progress_bar(files, "embedding", settings.quiet), settings.batch_size):
        found = model.extract(waves, rate, settings.level, layers).float().cpu().numpy()
        names += paths
        features.extend(found if settings.level == "clip" else np.moveaxis(found, -2, 1))  # time first
    if not features:
        raise ValueError(f"none of the {len(files)} files could be read; the first: {': '.join(reader.skipped[0])}")
    arrays: dict[str, Any] = {"files": np.array(names)}
    if settings.level == "clip":
        return {"features": np.stack(features), **arrays}, reader.skipped
    lengths = [len(item) for item in features]
    arrays["offsets"] = np.cumsum([0, *lengths])
    arrays["times"] = model.column_times(max(lengths)).numpy()
    return {"features": np.concatenate(features), **arrays}, reader.skipped


def write_features(out: Path, arrays: dict[str, Any], about: dict[str, str]) -> None:
    """Write the arrays to .npz or .safetensors, aside and renamed."""
    import numpy as np
    from safetensors.numpy import save_file

    from ..checkpoints.folder import save_atomically

    if out.suffix == ".npz":

        def write(path: Path) -> None:
            with path.open("wb") as file:
                np.savez(file, **arrays, **{name: np.array(value) for name, value in about.items()})
    else:
        tensors = {name: np.ascontiguousarray(value) for name, value in arrays.items() if name != "files"}
        metadata = {"files": json.dumps(arrays["files"].tolist()), **about}

        def write(path: Path) -> None:
            save_file(tensors, path, metadata)

    save_atomically(out, write)
