"""What the tests have noticed, by kind of fault, and what is said about the rest."""

from __future__ import annotations

from mutants.plant import Fault

LEAST = 0.97  # of the faults that an input can tell from the original


def survived(fault: Fault, results: dict[str, dict]) -> bool:
    return str(fault.number) in results and not results[str(fault.number)]["killed"]


def table(faults: list[Fault], results: dict[str, dict]) -> list[str]:
    lines = [f"{'kind':20} planted killed equivalent survivors"]
    for kind in [*sorted({f.kind for f in faults}), "all"]:
        of_kind = [f for f in faults if kind in (f.kind, "all")]
        left = [f for f in of_kind if survived(f, results)]
        equivalent = sum(bool(f.equivalent) for f in left)
        killed = sum(bool(results.get(str(f.number), {}).get("killed")) for f in of_kind)
        lines.append(f"{kind:20} {len(of_kind):7} {killed:6} {equivalent:10} {len(left) - equivalent:9}")
    return lines


def report(faults: list[Fault], results: dict[str, dict]) -> int:
    """Prints it; returns what the process is to end with."""
    left = [f for f in faults if survived(f, results)]
    print("\n".join(table(faults, results)))
    for fault in left:
        why = f"equivalent: {fault.equivalent}" if fault.equivalent else fault.survives or "NO REASON GIVEN"
        print(f"{fault.number} {fault.file} ({fault.kind}), {fault.means}\n    {fault.site}\n    {why}")
    unknown = [f.number for f in faults if str(f.number) not in results]
    excused = [f for f in faults if f.equivalent or f.survives]
    wrong = [f.number for f in excused if results.get(str(f.number), {}).get("killed")]
    unexplained = [f.number for f in left if not f.equivalent and not f.survives]
    counted = [f for f in faults if f.number not in unknown and not (f in left and f.equivalent)]
    killed = len(counted) - sum(f in left for f in counted)
    rate = killed / len(counted) if counted else 1.0
    print(f"{killed} of {len(counted)} killed, {rate:.1%}; expected at least {LEAST:.0%}")
    if unknown:
        print(f"not judged: {unknown}")
    if wrong:
        print(f"said to survive, but killed: {wrong}; take the reason out")
    if unexplained:
        print(f"survived without a reason: {unexplained}; write a test, or why there is none")
    return int(rate < LEAST or bool(unknown or wrong or unexplained))
