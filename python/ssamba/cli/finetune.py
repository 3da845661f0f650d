"""`ssamba finetune`."""

from __future__ import annotations

from argparse import Namespace

from ..training.settings import FinetuneSettings
from .arguments import Parser
from .training_verb import add_training_settings, training_settings

DESCRIPTION = """\
Train a classifier on labelled audio, from a pretrained model or from scratch.
The checkpoint that does best on held-out clips is kept in checkpoints/best.
Ctrl-C saves the run; --resume continues it."""

EXAMPLE = """\
  ssamba finetune --data labelled/ --pretrained runs/pretrained \\
      --out runs/words --epochs 30 --mixup 0.5 --noise \\
      --freq-mask 48 --time-mask 48
  ssamba finetune --data labelled/ --pretrained runs/pretrained \\
      --out runs/probe --freeze-encoder --learning-rate 1e-3
  ssamba finetune --recipe speech_commands_v2 --pretrained runs/pretrained \\
      --data prepared/speech_commands_v2/train.csv \\
      --validation prepared/speech_commands_v2/validation.csv --out runs/words"""


def add_arguments(parser: Parser) -> None:
    add_training_settings(parser, FinetuneSettings, "finetune")


def run(args: Namespace) -> int:
    settings = training_settings(FinetuneSettings, args, "finetune")
    from ..training import finetune

    finetune(settings)
    return 0
