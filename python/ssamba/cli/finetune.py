"""`ssamba finetune`."""

from __future__ import annotations

from argparse import Namespace

from ..training.settings import FinetuneSettings
from .arguments import Parser, add_settings
from .training_verb import training_settings

DESCRIPTION = """\
Train a classifier on labelled audio, from a pretrained model or from scratch.
The checkpoint that does best on held-out clips is kept in checkpoints/best.
Ctrl-C saves the run; --resume continues it."""

EXAMPLE = """\
  ssamba finetune --data labelled/ --pretrained runs/pretrained \\
      --out runs/words --epochs 30 --mixup 0.5 --noise \\
      --freq-mask 48 --time-mask 48
  ssamba finetune --data labelled/ --pretrained runs/pretrained \\
      --out runs/probe --freeze-encoder --learning-rate 1e-3"""


def add_arguments(parser: Parser) -> None:
    add_settings(parser, FinetuneSettings)


def run(args: Namespace) -> int:
    settings = training_settings(FinetuneSettings, args, "finetune")
    from ..training import finetune

    finetune(settings)
    return 0
