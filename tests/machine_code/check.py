"""Checks the machine code of a built library: rules of every kernel, and its numbers against budget.json.

    python tests/machine_code/check.py build/machine-code/libssamba_cuda.so
    python tests/machine_code/check.py ... --update [--reason TEXT]     takes over numbers; larger ones need a reason
    python tests/machine_code/check.py ... --table                      the scans' loops, and what they are made of
    python tests/machine_code/check.py ... --peer peer_scan.so          the same beside mamba-ssm's, for sm_90

Numbers belong to a compiler: under another nvcc than the budget's only the rules are judged.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from pathlib import Path

import budget as budgets
from counts import count
from rules import breaches
from sass import Kernel, disassemble
from tables import beside_peer, what_loops_are

BUDGET = Path(__file__).with_name("budget.json")


def compiler() -> str:
    """nvcc's version, `unknown` if there is none."""
    try:
        said = subprocess.run(["nvcc", "--version"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    found = re.search(r"V(\d+\.\d+\.\d+)", said)
    return found[1] if found else "unknown"


def counted(kernels: list[Kernel]) -> dict[str, dict[str, dict[str, int]]]:
    """Numbers by architecture and kernel. Of kernels that several files have, the largest."""
    found: dict[str, dict[str, dict[str, int]]] = {}
    for kernel in kernels:
        numbers, known = count(kernel), found.setdefault(kernel.architecture, {})
        same = known.get(kernel.name, {})
        known[kernel.name] = {key: max(value, same.get(key, 0)) for key, value in numbers.items()}
    return found


def judge(kernels: list[Kernel], budget: dict, nvcc: str) -> tuple[list[str], list[str]]:
    """What fails, and what is only said."""
    found = counted(kernels)
    broken = [breach for kernel in kernels for breach in breaches(kernel)]
    failures = sorted(
        {
            f"{breach.architecture}: {breach.kernel} breaks the rule '{breach.rule}': it has {breach.said}. "
            "If that must be, add an exception with its reason to budget.json"
            for breach in broken
            if not budgets.pardoned(budget, breach)
        }
    )
    notes = budgets.unused(budget, broken, list(found))
    if nvcc != budget["nvcc"]:
        notes.append(f"the budget's numbers are of nvcc {budget['nvcc']}, this is {nvcc}: only the rules were judged")
        return failures, notes
    for architecture, numbers in found.items():
        more_failures, more_notes = budgets.compare(budget, architecture, numbers)
        failures += more_failures
        notes += more_notes
    return failures, notes


def update(kernels: list[Kernel], budget: dict, nvcc: str, reason: str | None) -> list[str]:
    """Refusals, if a number would grow without a reason; then nothing is changed."""
    refused = []
    fresh = {"nvcc": nvcc, **{key: value for key, value in budget.items() if key != "nvcc"}}
    for architecture, numbers in counted(kernels).items():
        refused += budgets.update(fresh, architecture, numbers, reason)
    if not refused:
        budget.clear()
        budget.update(fresh)
    return refused


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("library", type=Path)
    parser.add_argument("--update", action="store_true")
    parser.add_argument("--reason")
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--peer", type=Path)
    args = parser.parse_args()
    kernels = disassemble(args.library)
    if args.table or args.peer:
        ours = [kernel for kernel in kernels if kernel.architecture == "sm_90"] if args.peer else kernels
        print("\n".join(beside_peer(ours, disassemble(args.peer, "sm_90")) if args.peer else what_loops_are(ours)))
        return 0
    budget = budgets.read(BUDGET)
    if args.update:
        refused = update(kernels, budget, compiler(), args.reason)
        if refused:
            print("\n".join(refused), "give --reason TEXT to allow that", sep="\n", file=sys.stderr)
            return 1
        budgets.write(BUDGET, budget)
    failures, notes = judge(kernels, budget, compiler())
    print("\n".join(notes + failures))
    print(f"{len(kernels)} kernels, {len(failures)} failures, {len(notes)} notes")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
