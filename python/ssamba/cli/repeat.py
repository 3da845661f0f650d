"""`ssamba repeat`."""

from __future__ import annotations

from argparse import Namespace

from ..training.settings import RepeatSettings
from .arguments import Parser
from .training_verb import add_training_settings, training_settings

DESCRIPTION = """\
Fine-tune once for each fold and seed, test each, and say mean and standard
deviation. --data is a folder that `ssamba prepare` wrote, or a manifest to
train on, with --test. The checkpoint that is tested is chosen on clips that are
neither trained on nor tested. Everything stands in results.json in --out;
--resume goes on with the runs that are not done."""

EXAMPLE = """\
  ssamba repeat --recipe esc50 --data prepared/esc50 --seeds 3 \\
      --pretrained runs/pretrained --out runs/esc50
  ssamba repeat --data train.csv --test test.csv --seeds 5 --out runs/five"""


def add_arguments(parser: Parser) -> None:
    add_training_settings(parser, RepeatSettings, "repeat")


def run(args: Namespace) -> int:
    settings = training_settings(RepeatSettings, args, "repeat")
    from ..training import repeat
    from ..training.fold_table import format_table

    results = repeat(settings)
    print(format_table(results))
    print(f"written to {results['file']}")
    return 0
