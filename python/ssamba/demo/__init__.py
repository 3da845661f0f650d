"""The whole story on real sound: spoken words made on the spot, learnt without labels, then named from a few."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..training.options import at_home

DEFAULT_OUT = Path("runs/demo")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `ssamba demo`."""
    parser.add_argument("--quick", action="store_true", help="a shorter run: less sound, fewer steps")
    about = f"where (default: {DEFAULT_OUT})"
    parser.add_argument("--out", type=at_home, default=DEFAULT_OUT, metavar="DIR", help=about)
    parser.add_argument("--seed", type=_count_from(0), default=0, help="of everything random (default: 0)")
    parser.add_argument(
        "--seeds",
        type=_count_from(1),
        default=1,
        metavar="N",
        help="train N times, from --seed on, and give mean and deviation (default: 1)",
    )
    parser.add_argument("--quiet", action="store_true", help="no progress of the training runs")


def main(args: argparse.Namespace) -> int:
    """Runs the demo, prints the accuracies, leaves report.html and results.json in `args.out`; returns 0."""
    from .pipeline import run_demo  # torch and the rest load only when the demo runs

    run_demo(Path(args.out), quick=args.quick, seed=args.seed, seeds=args.seeds, quiet=args.quiet)
    return 0


def _count_from(least: int):
    def count(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if value < least:
            raise argparse.ArgumentTypeError(f"{text} is not a whole number of at least {least}")
        return value

    return count
