"""Our encoder beside SSAST's transformer on a CPU: time, training, busy machines, several processes, memory.

python benchmarks/transformer.py                                        # measures what the results do not hold yet
python benchmarks/transformer.py --sections encode,train --again        # and what they hold, anew
python benchmarks/transformer.py --report --readme benchmarks/results/README.md   # the tables, between the marks

What is compared is timed in turn in one process, on the same input; ours is the paired layout, as published, frozen,
SSAST has fused attention ("sdpa"), or its formula ("explicit") where memory is counted. A training step differs in
nothing but the layers. Stop it and start it again: it goes on. --rehearse goes the same way with small sizes, to see
that nothing is broken; its figures say nothing.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import measured_on
from resumable import add_options, finish, measure_missing
from ssamba.inference.memory import keep_freed_memory
from transformer_sections import REHEARSAL, SECTIONS, Plan
from transformer_table import BEGIN, END, tables

RESULTS = Path(__file__).parent / "results" / "transformer.json"


def main(argv: list[str] | None = None) -> int:
    return finish("transformer", parse(argv), measure, tables, (BEGIN, END), left="measures what is missing")


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sections", default=",".join(SECTIONS), help=f"default: {','.join(SECTIONS)}")
    parser.add_argument("--threads", default="2,1", help="to encode with; all else has the first (default: 2,1)")
    parser.add_argument("--seconds", type=float, default=Plan.seconds, help="for the rounds of a case (default: 20)")
    parser.add_argument("--rehearse", action="store_true", help="small sizes, one round")
    add_options(parser, RESULTS)
    arguments = parser.parse_args(argv)
    if arguments.rehearse and arguments.results == RESULTS:
        parser.error("--rehearse needs --results FILE: its figures must not stand beside measured ones")
    arguments.sections = arguments.sections.split(",")
    if unknown := [section for section in arguments.sections if section not in SECTIONS]:
        parser.error(f"--sections: there is no {', '.join(unknown)}; choose from {', '.join(SECTIONS)}")
    try:
        arguments.threads = [int(count) for count in arguments.threads.split(",")]
    except ValueError:
        parser.error(f"--threads is {arguments.threads!r}, expected numbers such as 2,1")
    return arguments


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """The results with a row for each case of the sections asked for."""
    results = measured_on.begin(arguments.results)
    full = Plan(threads=arguments.threads, seconds=arguments.seconds)
    plan = REHEARSAL if arguments.rehearse else full
    keep_freed_memory()  # for both alike
    cases = (
        ({"section": section, **case}, run) for section in arguments.sections for case, run in SECTIONS[section](plan)
    )
    return measure_missing("transformer", arguments, results, cases)


if __name__ == "__main__":
    sys.exit(main())
