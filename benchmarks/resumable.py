"""A benchmark that keeps each figure as it comes and goes on where it was stopped: its options, its loop, its end."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import measured_on
from measured_on import Row
from ssamba.bench.readme_section import replace_section
from ssamba.training import Interrupted


def add_options(parser: argparse.ArgumentParser, results: Path) -> None:
    parser.add_argument("--again", action="store_true", help="measure what the results hold already, too")
    parser.add_argument("--report", action="store_true", help="measure nothing")
    parser.add_argument("--results", type=Path, default=results, metavar="FILE", help=f"default: {results}")
    parser.add_argument("--readme", type=Path, metavar="FILE", help="put the tables between the marks in this file")


def measure_missing(
    name: str, arguments: argparse.Namespace, results: Row, cases: Iterable[tuple[Row, Callable[[], Row]]]
) -> Row:
    """The results with a row for each case, written as soon as it is there."""
    for case, run in cases:
        if arguments.again or not measured_on.is_kept(results, case):
            print(f"{name}:", *case.values(), file=sys.stderr, flush=True)
            measured_on.keep(arguments.results, results, case, run())
    return results


def finish(
    name: str,
    arguments: argparse.Namespace,
    measure: Callable[[argparse.Namespace], Row],
    tables: Callable[[Row], str],
    marks: tuple[str, str],
    left: str,
) -> int:
    """Measures, unless asked for a report alone, and shows the tables; `left` is what the same command does once it was
    stopped. Returns the exit code."""
    try:
        text = tables(measured_on.read(arguments.results) if arguments.report else measure(arguments))
        if arguments.readme:
            replace_section(arguments.readme, *marks, text)
    except (KeyboardInterrupt, Interrupted) as stop:  # the latter while a model is trained
        print(f"{name}: stopped; the same command {left}", file=sys.stderr)
        return getattr(stop, "exit_code", 130)
    except (ValueError, OSError) as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 2
    print(text)
    return 0
