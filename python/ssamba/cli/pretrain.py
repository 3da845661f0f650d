"""`ssamba pretrain`."""

from __future__ import annotations

from argparse import Namespace

from ..training.settings import PretrainSettings
from .arguments import Parser
from .training_verb import add_training_settings, training_settings

DESCRIPTION = """\
Learn from unlabelled audio by masking patches of the spectrogram, telling them
apart and rebuilding them. Labels in the data are not read. The run directory
holds config.json, metrics.jsonl, tensorboard/ and checkpoints/{best,last}.
Ctrl-C saves the run; --resume continues it."""

EXAMPLE = """\
  ssamba pretrain --data clips/ --out runs/pretrained --size tiny \\
      --seconds 2 --epochs 20 --batch-size 64 --precision bf16
  ssamba pretrain --out runs/pretrained --resume
  ssamba pretrain --recipe pretraining --out runs/base \\
      --data prepared/pretraining/train.csv \\
      --validation prepared/pretraining/validation.csv
  torchrun --nproc-per-node 4 -m ssamba pretrain --config pretrain.yaml"""


def add_arguments(parser: Parser) -> None:
    add_training_settings(parser, PretrainSettings, "pretrain")


def run(args: Namespace) -> int:
    settings = training_settings(PretrainSettings, args, "pretrain")
    from ..training import pretrain

    pretrain(settings)
    return 0
