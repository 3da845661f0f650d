"""A pytest plugin that runs the collected tests once without a fault, then for each fault those that come by it.

Each run is a fork of the process that has collected the tests, so that nothing is loaded twice. The process itself must
start no threads, which its children would miss.
"""

from __future__ import annotations

import contextlib
import copy
import ctypes
import json
import os
import signal
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from _pytest.runner import runtestprotocol

JOB = os.environ.get("SSAMBA_MUTANTS_JOB")  # a file, see __main__.py
MOST_FAULTS = 4096  # as in fault.h
CHUNK = 12  # tests of a child that looks which faults they come by
PATIENCE, SLACK = 60.0, 10.0  # a test hangs that takes a minute and ten times what it took without a fault
FIRST_PATIENCE = 600.0  # as long as that is not known


class Library:
    """The build with faults, as this process has loaded it."""

    def __init__(self, path: str):
        library = ctypes.CDLL(path)
        self._number = ctypes.c_int.in_dll(library, "ssamba_fault_number")
        self._reached = (ctypes.c_bool * MOST_FAULTS).in_dll(library, "ssamba_fault_reached")

    def set_fault(self, number: int) -> None:
        self._number.value = number

    def forget(self) -> None:
        ctypes.memset(self._reached, 0, MOST_FAULTS)

    def reached(self) -> list[int]:
        return [i for i, byte in enumerate(bytes(self._reached)) if byte]


class Run:
    """A child that runs tests one after the other, until one fails, and leaves lines of JSON about them."""

    def __init__(self, name: str, items: list[pytest.Item], before: Callable[[], None], after: Callable[[], dict]):
        self.log = Path(JOB).parent / "children" / f"{name}.log"
        self.log.parent.mkdir(exist_ok=True)
        self.log.unlink(missing_ok=True)
        self.items, self.before, self.after = items, before, after
        self.status: int | None = None
        self.started = time.monotonic()
        self.pid = os.fork()
        if self.pid == 0:
            self._child()

    def _child(self) -> None:
        code = 1
        try:
            os.setpgid(0, 0)
            # What tests, torch and the sanitizer print goes beside the log.
            output = os.open(self.log.with_suffix(".output"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(output, 1), os.dup2(output, 2)
            self._run_tests()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)

    def _run_tests(self) -> None:
        for item in self.items[:1]:
            item.session._setupstate.teardown_exact(item)  # of the test that warm() ran last
        with self.log.open("a", buffering=1, encoding="utf-8") as log:
            for item, following in zip(self.items, [*self.items[1:], None], strict=True):
                print(json.dumps({"test": item.nodeid}), file=log)
                self.before()
                begin = time.perf_counter()
                reports = runtestprotocol(item, log=False, nextitem=following)
                line = {"seconds": time.perf_counter() - begin, **self.after()}
                failed = next((report for report in reports if report.failed), None)
                if failed:
                    line |= {"killed": item.nodeid, **cause(failed)}
                print(json.dumps(line), file=log)
                if failed:
                    return
            print(json.dumps({"survived": len(self.items)}), file=log)

    def lines(self) -> list[dict]:
        text = self.log.read_text(encoding="utf-8") if self.log.is_file() else ""
        return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]

    def ended(self, durations: dict[str, float]) -> bool:
        """Whether it has ended; ends it if it hangs."""
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        if pid:
            self.status = status
            return True
        lines = self.lines()
        patience = PATIENCE + SLACK * durations.get(lines[-1].get("test", ""), 0.0) if lines else FIRST_PATIENCE
        since = time.time() - self.log.stat().st_mtime if lines else time.monotonic() - self.started
        if since > (patience if durations else FIRST_PATIENCE):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            return True
        return False

    def verdict(self) -> dict:
        lines = self.lines()
        last = lines[-1] if lines else {}
        if "survived" in last:
            return {"killed": False, "tests": last["survived"]}
        tests = sum("test" in line for line in lines)
        if "killed" in last:
            return {"killed": True, "by": last["killed"], "how": last["how"], "text": last["text"], "tests": tests}
        by = last.get("test", "")
        if self.status is None:
            return {"killed": True, "by": by, "how": "timeout", "text": "", "tests": tests}
        end = f"signal {os.WTERMSIG(self.status)}" if os.WIFSIGNALED(self.status) else f"exit {self.status >> 8}"
        return {"killed": True, "by": by, "how": "crash", "text": end, "tests": tests}


def cause(report: pytest.TestReport) -> dict[str, str]:
    crash = getattr(report.longrepr, "reprcrash", None)
    text = crash.message if crash else str(report.longrepr)
    how = "emulator" if "emulator: " in text else "values" if "AssertionError" in text or "assert" in text else "error"
    return {"how": how, "text": text[:300]}


def in_turn(starts: Iterator[Callable[[], Run]], workers: int, durations: dict[str, float]) -> Iterator[Run]:
    """Runs that have ended, with so many under way at a time."""
    running: list[Run] = []
    exhausted = False
    while running or not exhausted:
        while len(running) < workers and not exhausted:
            start = next(starts, None)
            exhausted = start is None
            if start:
                running.append(start())
        for run in [run for run in running if run.ended(durations)]:
            running.remove(run)
            yield run
        time.sleep(0.02)


def warm(items: list[pytest.Item]) -> None:
    """Runs a test of each file, so that what tests load and set up on their way is there before the first fork."""
    chosen = {item.path: item for item in reversed(items) if "threads" not in item.name}
    for item in chosen.values():
        once = copy.copy(item)  # what has run cannot run again
        once._initrequest()
        runtestprotocol(once, log=False, nextitem=items[0])


def look(items: list[pytest.Item], library: Library, workers: int, file: Path) -> dict[str, dict]:
    """Runs the tests that the file does not know yet without a fault: of each, its seconds and the faults that it comes
    by."""
    library.set_fault(0)
    seen: dict[str, dict] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    items = [item for item in items if item.nodeid not in seen]

    def start(number: int, part: list[pytest.Item]) -> Callable[[], Run]:
        return lambda: Run(f"look-{number}", part, library.forget, lambda: {"reached": library.reached()})

    parts = [items[i : i + CHUNK] for i in range(0, len(items), CHUNK)]
    for run in in_turn((start(i, part) for i, part in enumerate(parts)), workers, {}):
        verdict, lines = run.verdict(), run.lines()
        if verdict["killed"]:
            raise pytest.UsageError(f"without any fault, {verdict['by']} ends by {verdict['how']}: {verdict['text']}")
        names = [line["test"] for line in lines if "test" in line]
        results = [line for line in lines if "seconds" in line]
        seen |= {n: {"seconds": r["seconds"], "reached": r["reached"]} for n, r in zip(names, results, strict=True)}
        file.write_text(json.dumps(seen), encoding="utf-8")
        print(f"without a fault: {len(seen)} tests pass", flush=True)
    return seen


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that this process would skip at once are not worth a child."""
    items[:] = [item for item in items if not any(item.iter_markers("skip"))]


def pytest_runtestloop(session: pytest.Session) -> bool:
    if session.testsfailed or not JOB:
        raise session.Interrupted("the tests could not be collected")
    job = json.loads(Path(JOB).read_text(encoding="utf-8"))
    library = Library(os.environ["SSAMBA_MUTANTS_LIBRARY"])
    items = {item.nodeid: item for item in session.items}
    seen_file = Path(job["seen"])
    warm(session.items)
    seen = look(session.items, library, job["workers"], seen_file)
    seen = {name: test for name, test in seen.items() if name in items}
    durations = {name: test["seconds"] for name, test in seen.items()}

    of: dict[int, int] = {}
    about = {fault["number"]: {key: fault[key] for key in ("number", "fault", "asked")} for fault in job["faults"]}

    def start(fault: dict) -> Callable[[], Run]:
        numbers = set(fault["reached_with"])
        names = [name for name, test in seen.items() if numbers & set(test["reached"])]
        names.sort(key=lambda name: (name != fault["killer"], durations[name]))
        asked, left = [], job["budget"]
        for name in names:
            left -= durations[name]
            if asked and left < 0:
                break
            asked.append(name)
        number, of[fault["number"]] = fault["number"], len(names)
        return lambda: Run(str(number), [items[name] for name in asked], lambda: library.set_fault(number), dict)

    results_file = Path(job["results"])
    for count, run in enumerate(in_turn(map(start, job["faults"]), job["workers"], durations), 1):
        verdict = run.verdict()
        verdict |= {"of": of[int(run.log.stem)], "seconds": round(time.monotonic() - run.started, 1)}
        with results_file.open("a", encoding="utf-8") as results:
            print(json.dumps(about[int(run.log.stem)] | verdict), file=results)
        outcome = f"killed ({verdict['how']})" if verdict["killed"] else "survived"
        after = f"after {verdict['tests']} of {verdict['of']} tests, {verdict['seconds']} s"
        print(f"{count}/{len(job['faults'])}: fault {run.log.stem} {outcome} {after}", flush=True)
    return True
