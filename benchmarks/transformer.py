"""Our encoder beside SSAST's transformer on a CPU: time, training, busy machines, several processes, memory.

python benchmarks/transformer.py                                        # measures what the results do not hold yet
python benchmarks/transformer.py --sections encode,train --again        # and what they hold, anew
python benchmarks/transformer.py --report --readme benchmarks/results/README.md   # the tables, between the marks

What is compared is timed in turn in one process, on the same input; ours is the paired layout, as published, frozen,
SSAST has fused attention ("sdpa"), or its formula ("explicit") where memory is counted. A
training step differs in nothing but the layers. Stop it and start it again: it goes on. --rehearse goes the same way
with small sizes, to see that nothing is broken; its figures say nothing.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import measured_on
from ssamba.bench.readme_section import replace_section
from ssamba.inference.memory import keep_freed_memory
from transformer_sections import REHEARSAL, SECTIONS, Plan
from transformer_table import BEGIN, END, tables

RESULTS = Path(__file__).parent / "results" / "transformer.json"


def main(argv: list[str] | None = None) -> int:
    arguments = parse(argv)
    try:
        text = tables(measured_on.read(arguments.results) if arguments.report else measure(arguments))
        if arguments.readme:
            replace_section(arguments.readme, BEGIN, END, text)
    except KeyboardInterrupt:
        print("transformer: stopped; the same command measures what is missing", file=sys.stderr)
        return 130
    except (ValueError, OSError) as error:
        print(f"transformer: {error}", file=sys.stderr)
        return 2
    print(text)
    return 0


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sections", default=",".join(SECTIONS), help=f"default: {','.join(SECTIONS)}")
    parser.add_argument("--threads", default="2,1", help="to encode with; all else has the first (default: 2,1)")
    parser.add_argument("--seconds", type=float, default=Plan.seconds, help="for the rounds of a case (default: 20)")
    parser.add_argument("--again", action="store_true", help="measure what the results hold already, too")
    parser.add_argument("--report", action="store_true", help="measure nothing")
    parser.add_argument("--rehearse", action="store_true", help="small sizes, one round")
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="FILE", help=f"default: {RESULTS}")
    parser.add_argument("--readme", type=Path, metavar="FILE", help="put the tables between the marks in this file")
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
    """The results with a row for each case, written as soon as it is there."""
    results = measured_on.begin(arguments.results)
    full = Plan(threads=arguments.threads, seconds=arguments.seconds)
    plan = REHEARSAL if arguments.rehearse else full
    keep_freed_memory()  # for both alike
    for section in arguments.sections:
        for of_section, run in SECTIONS[section](plan):
            case = {"section": section, **of_section}
            if arguments.again or not measured_on.is_kept(results, case):
                print("transformer:", *case.values(), file=sys.stderr, flush=True)
                measured_on.keep(arguments.results, results, case, run())
    return results


if __name__ == "__main__":
    sys.exit(main())
