"""Plants faults in the kernels and asks the tests: `make mutants`. README.md says how."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

from mutants import build, report
from mutants.faults import all_faults
from mutants.plant import ROOT, Fault

RESULTS = build.BUILD / "results.jsonl"  # a line for each verdict; the last one of a fault holds
# What makes sense on a build whose kernels are slow, and looks at kernels rather than at schemas.
TESTS = {
    # The emulator takes blocks in turn whatever the number of threads; those tests are its longest.
    "simt": ["tests/simt", "tests/ops", "-k", "not compile and not opcheck and not number_of_threads and not launch"],
    # Under the sanitizer, its allocator says when memory runs out.
    "cpu": ["tests/ops", "-k", "not compile and not opcheck and not different_code and not out_of_memory"],
}


def digest(*parts: str | bytes) -> str:
    whole = hashlib.sha256()
    for part in parts:
        whole.update(part.encode() if isinstance(part, str) else part)
        whole.update(b"\0")
    return whole.hexdigest()[:16]


def digest_of_tests() -> str:
    files = [*(ROOT / "tests" / "ops").glob("*.py"), *(ROOT / "tests" / "simt").glob("*.py")]
    files += (ROOT / "ssamba_ops").glob("*.py")
    return digest(*(file.read_bytes() for file in sorted(files)))


def digest_of(fault: Fault) -> str:
    return digest(fault.site, (ROOT / fault.file).read_bytes())


def read_results() -> dict[str, dict]:
    lines = RESULTS.read_text(encoding="utf-8").splitlines() if RESULTS.is_file() else []
    return {str(line["number"]): line for line in map(json.loads, lines)}


def is_judged(fault: Fault, results: dict[str, dict], tests: str, budget: float) -> bool:
    """A killed fault stays killed; one that survived is asked about again when tests have changed, or when more are to
    be asked."""
    result = results.get(str(fault.number))
    if not result or result["fault"] != digest_of(fault):
        return False
    return result["killed"] or (result["asked"] == tests and (result["tests"] == result["of"] or budget < 1e9))


def to_judge(library: str, chosen: list[Fault], options: argparse.Namespace) -> list[Fault]:
    results, tests = read_results(), digest_of_tests()
    of_library = [fault for fault in chosen if fault.library == library]
    return [f for f in of_library if options.again or not is_judged(f, results, tests, options.budget)]


def ask(library: str, built: Path, faults: list[Fault], everything: list[Fault], options: argparse.Namespace) -> None:
    """One process of pytest, which judges the faults that this build has."""
    results, tests = read_results(), digest_of_tests()
    job_file = build.BUILD / f"{library}.job"
    read = [name for name in build.sources() if not name.as_posix().startswith(build.NOT_READ[library])]
    tree = digest(*((build.TREE / name).read_bytes() for name in read))
    seen = build.BUILD / f"{library}.seen"
    made_for = seen.with_suffix(".made_for")
    if not any(fault.own for fault in faults) and (not made_for.is_file() or made_for.read_text() != tree + tests):
        seen.unlink(missing_ok=True)
        made_for.write_text(tree + tests)
    job = {"workers": options.workers, "budget": options.budget, "results": str(RESULTS), "seen": str(seen)}
    job["faults"] = []
    for fault in faults:
        # A build of its own has no number to come by: the tests are those of its file's other faults.
        near = [f.number for f in everything if f.file == fault.file and not f.own] if fault.own else [fault.number]
        killer = results.get(str(fault.number), {}).get("by", "")
        known = {"number": fault.number, "fault": digest_of(fault), "asked": tests}
        job["faults"].append(known | {"reached_with": near, "killer": killer})
    job_file.write_text(json.dumps(job), encoding="utf-8")
    folder = build.package(built) if library == "cpu" else None
    if folder:
        built = folder / "ssamba_ops" / "libssamba_cpu.so"
    environment = build.environment(library, built) | {"SSAMBA_MUTANTS_JOB": str(job_file)}
    path = [str(folder)] if folder else [str(ROOT)]
    path += [str(ROOT / "python"), str(ROOT / "tests" / "simt"), str(ROOT / "tests"), str(ROOT / "benchmarks")]
    command = [sys.executable, "-m", "pytest", *TESTS[library], "-p", "mutants.judge", "-p", "no:xdist", "-s", "-q"]
    command += ["-p", "no:cacheprovider", "--no-header", "-o", "pythonpath=" + " ".join(path)]
    environment["PYTHONPATH"] = ":".join(path)
    done = subprocess.run(command, cwd=ROOT, env=environment, check=False)
    if done.returncode:
        raise SystemExit(f"the tests on the build with faults ended with {done.returncode}")


def judge_launches(chosen: list[Fault], options: argparse.Namespace) -> None:
    """Faults of launches, each in a program of its own."""
    tests, wanted = digest_of_tests(), to_judge("launch", chosen, options)
    for fault in [None, *wanted] if wanted else []:
        environment = os.environ | {"SSAMBA_SIMT": str(build.compile_launch(fault) / "libssamba_simt.so")}
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "tests/simt/test_launch.py"]
        run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        if fault is None:
            if run.returncode:
                raise SystemExit(f"without any fault, tests of launches fail:\n{run.stdout}")
            continue
        by = next((line for line in run.stdout.splitlines() if line.startswith("FAILED")), "")
        verdict = {"number": fault.number, "fault": digest_of(fault), "asked": tests, "killed": run.returncode == 1}
        verdict |= {"tests": 1, "of": 1, "by": by.removeprefix("FAILED ")[:200], "how": "values"}
        with RESULTS.open("a", encoding="utf-8") as file:
            print(json.dumps(verdict), file=file)
        print(f"launch: fault {fault.number} {'killed' if verdict['killed'] else 'survived'}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m mutants", description=__doc__)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument(
        "--budget", type=float, default=1e9, help="seconds of tests for a fault, the shortest ones first"
    )
    parser.add_argument("--again", action="store_true", help="judge what has been judged before, too")
    parser.add_argument("--only", help="numbers, as 101,105")
    parser.add_argument("--kind")
    parser.add_argument("--file", help="a part of the file's name")
    parser.add_argument("--report", action="store_true", help="only say what is known")
    options = parser.parse_args()
    everything = all_faults()
    chosen = [
        f
        for f in everything
        if (not options.only or f.number in map(int, options.only.split(",")))
        and (not options.kind or f.kind == options.kind)
        and (not options.file or options.file in f.file)
    ]
    if not options.report:
        build.BUILD.mkdir(parents=True, exist_ok=True)
        for library in TESTS:
            judge_library(library, chosen, everything, options)
        judge_launches(chosen, options)
    return report.report(chosen, read_results())


def judge_library(library: str, chosen: list[Fault], everything: list[Fault], options: argparse.Namespace) -> None:
    wanted = to_judge(library, chosen, options)
    if not wanted:
        return
    print(f"{library}: {len(wanted)} faults to judge; building", flush=True)
    build.write_tree(everything)
    ask(library, build.compile_library(library, options.workers), [f for f in wanted if not f.own], everything, options)
    for fault in wanted:
        if fault.own:
            ask(library, build.own_build(fault, everything, options.workers), [fault], everything, options)
    build.write_tree(everything)


if __name__ == "__main__":
    sys.exit(main())
