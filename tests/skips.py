"""Why tests were skipped, a line a reason, and which reasons are in order here.

A test that is skipped proves nothing and looks like one that passed. With --no-unexpected-skips the run fails if one
was skipped for a reason that is not listed below, or that does not hold on this machine.
"""

from __future__ import annotations

import os
import re
import sys
from collections import Counter

import pytest
import torch


def _without_gpus(count: int) -> bool:
    return torch.cuda.device_count() < count


def _emulated() -> bool:
    return "SSAMBA_SIMT" in os.environ


# By how a reason begins: whether it may be given here.
EXPECTED = {
    "needs a GPU": lambda: _without_gpus(1),
    "needs two GPUs": lambda: _without_gpus(2),
    "needs the emulated GPU: make simt": lambda: not _emulated(),
    "about the CPU, not the emulated GPU": _emulated,
    "the emulated GPU's grids": _emulated,
    "a GPU has no memory that only takes what is used": lambda: not _without_gpus(1),
    "needs memory for four tensors": lambda: not _without_gpus(1),
    # Peers that no extra installs, and a library that does not go with torch for CPUs alone.
    "ggml is not installed": lambda: True,
    "Intel's extension is not installed": lambda: True,
    "ONNX Runtime is not installed": lambda: True,
    "could not import 'torchaudio": lambda: True,
    "reads /proc": lambda: not sys.platform.startswith("linux"),
    "limits its address space": lambda: not sys.platform.startswith("linux"),
    "about glibc's allocator": lambda: not sys.platform.startswith("linux"),
}


def is_expected(reason: str) -> bool:
    return any(reason.startswith(beginning) and holds() for beginning, holds in EXPECTED.items())


def reasons(skipped: list) -> Counter:
    """How many reports of skipped tests give each reason."""
    # A report says where, at which line and why.
    texts = (report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr) for report in skipped)
    return Counter(re.sub(r"^Skipped: ", "", text).splitlines()[0] for text in texts)


def summary(counts: Counter) -> list[str]:
    return [
        f"{count} skipped: {reason}{'' if is_expected(reason) else '  UNEXPECTED'}"
        for reason, count in counts.most_common()
    ]


def add_option(parser: pytest.Parser) -> None:
    help_text = "fail when a test is skipped for a reason that tests/skips.py does not expect here"
    parser.addoption("--no-unexpected-skips", action="store_true", help=help_text)


class Skips:
    """The plugin: reports at the end, and fails the run if asked to."""

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        unexpected = any(not is_expected(reason) for reason in self._counts(session.config))
        if unexpected and session.config.getoption("no_unexpected_skips") and not session.exitstatus:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter) -> None:
        for line in summary(self._counts(terminalreporter.config)):
            terminalreporter.write_line(line)

    def _counts(self, config: pytest.Config) -> Counter:
        return reasons(config.pluginmanager.get_plugin("terminalreporter").stats.get("skipped", []))
