"""`ssamba stats`."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from ..training.options import option
from ..training.settings import DataSettings
from .arguments import Parser, add_settings, make_settings

DESCRIPTION = """\
Mean and standard deviation of the log-mel of a data set, over all frames and
mel bins, for --mean and --std of pretrain and finetune (which measure them by
themselves when not told). Exits 1 if a file was unreadable."""

EXAMPLE = """\
  ssamba stats --data clips/
  ssamba stats --data train.json --out stats.json"""


@dataclass(kw_only=True)
class StatsSettings(DataSettings):
    """Settings of `ssamba stats`."""

    out: str | None = option(None, "JSON file for the results", group="run", path=True)
    batch_size: int = option(8, "clips read at once", group="run", minimum=1)
    quiet: bool = option(False, "no progress display", group="run")


def add_arguments(parser: Parser) -> None:
    add_settings(parser, StatsSettings)


def run(args: Namespace) -> int:
    settings = make_settings(StatsSettings, args)
    from ..data import AudioDataset, FeatureCache, dataset_statistics
    from ..training.progress import shows_progress
    from ..training.result import count_skipped
    from ..training.run_directory import write_json
    from ..training.start import open_manifest, say_room

    manifest = open_manifest(settings, settings.data, labels=False)
    cache = FeatureCache(settings.feature_cache) if settings.feature_cache else None
    dataset = AudioDataset(manifest, strict=settings.strict, cache=settings.cache, feature_cache=cache)
    say_room(cache, dataset, quiet=settings.quiet)
    progress = shows_progress(settings.quiet)
    found = dataset_statistics(dataset, settings.batch_size, settings.workers, progress)
    print(f"clips   {found.clips}\nframes  {found.frames} ({timedelta(seconds=found.frames // 100)})")
    print(f"mean    {found.mean:.6f}\nstd     {found.std:.6f}\nuse     --mean {found.mean:.6f} --std {found.std:.6f}")
    if settings.out:
        values = {"mean": found.mean, "std": found.std, "clips": found.clips, "frames": found.frames}
        write_json(Path(settings.out), {**values, "skipped_files": [list(pair) for pair in found.skipped]})
    count_skipped(found.skipped)
    return 1 if found.skipped else 0
