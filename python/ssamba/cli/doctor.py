"""`ssamba doctor`."""

from __future__ import annotations

import sys
from argparse import Namespace

from .arguments import Parser

DESCRIPTION = """\
Say what is installed, which kernels run on this machine, and whether they
agree with the reference; one line of advice for each problem found, and a hint
where torch has more threads than it may use processors. Exits 1 if there is a
problem."""

EXAMPLE = """\
  ssamba doctor"""


def add_arguments(parser: Parser) -> None:
    """No options."""


def run(args: Namespace) -> int:
    from .diagnosis import run as examine

    return examine(sys.stdout)
