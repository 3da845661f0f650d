"""`ssamba prepare`."""

from __future__ import annotations

import os
import textwrap
from argparse import SUPPRESS, Namespace

from ..training.options import at_home
from .arguments import Parser, UsageError

DATASETS = {
    "audioset20k": "AudioSet, balanced and evaluation clips",
    "esc50": "ESC-50, 5 folds",
    "iemocap": "IEMOCAP, emotions, 5 folds",
    "pretraining": "AudioSet and LibriSpeech, without labels",
    "speech_commands_v1": "Speech Commands 1, 30 words",
    "speech_commands_v2": "Speech Commands 2, 35 words",
    "urban8k": "UrbanSound8K as recordings of a minute, 10 folds",
    "voxceleb1": "VoxCeleb1, 1251 speakers",
}
_WIDTH = max(map(len, DATASETS))

DESCRIPTION = """\
Turn a data set, as downloaded and unpacked, into manifests with its official
splits or folds, and splits.json, which lists them. Nothing is downloaded and
the data set is not changed. What is missing is said, all of it at once.

data sets:
""" + "\n".join(f"  {name:{_WIDTH}}  {about}" for name, about in DATASETS.items())

EXAMPLE = """\
  ssamba prepare esc50 --root ESC-50-master
  ssamba repeat --recipe esc50 --data prepared/esc50 \\
      --pretrained runs/pretrained --out runs/esc50"""


def add_arguments(parser: Parser) -> None:
    parser.usage = f"{parser.prog} DATASET --root DIR [options]"
    parser.add_argument("dataset", nargs="?", metavar="DATASET", help=SUPPRESS)
    folder = {"type": at_home, "metavar": "DIR"}
    parser.add_argument("--root", help="folder that the data set was unpacked to (required)", **folder)
    parser.add_argument("--out", help="where manifests are written (default: prepared/DATASET)", **folder)
    parser.add_argument("--incomplete", action="store_true", help="go on with what is there, and say what is missing")


def run(args: Namespace) -> int:
    if args.dataset is None:
        raise UsageError(f"missing: DATASET, one of {', '.join(DATASETS)}")
    dataset = args.dataset.replace("-", "_")
    if dataset not in DATASETS:
        raise UsageError.unknown("data set", args.dataset, DATASETS, f"known are: {', '.join(DATASETS)}")
    if args.root is None:
        raise UsageError("missing: --root, the folder that the data set was unpacked to")
    from ..data.preparers import prepare

    out = args.out or os.path.join("prepared", dataset)
    splits, inventory = prepare(dataset, args.root, out, args.incomplete)
    for line in [*inventory.notes, *(f"missing: {problem}" for problem in inventory.problems)]:
        print(textwrap.fill(line, 80, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False))
    for name, parts in splits.folds.items():
        prefix = f"fold {name}: " if len(splits.folds) > 1 else ""
        print(prefix + ", ".join(os.path.join(out, file) for file in parts.values()))
    return 1 if inventory.problems else 0
