"""`ssamba demo`."""

from __future__ import annotations

from argparse import Namespace

from .arguments import Parser

DESCRIPTION = """\
Make a data set of spoken words on the spot, pretrain on it without labels,
fine-tune with a few labels, compare with training from scratch, and write a
report with pictures."""

EXAMPLE = """\
  ssamba demo"""


def add_arguments(parser: Parser) -> None:
    from .. import demo

    demo.add_arguments(parser)


def run(args: Namespace) -> int:
    from .. import demo

    return demo.main(args)
