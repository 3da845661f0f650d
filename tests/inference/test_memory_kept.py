"""Whether freed memory stays with the process: counted in page faults, in processes of their own."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest
import torch

from ssamba.inference.memory import keep_a_little_freed_memory

FAULTS = """
import resource, sys, torch
from ssamba.inference.memory import keep_a_little_freed_memory, keep_freed_memory

torch.set_num_threads(1)
{"nothing": lambda: None, "a little": keep_a_little_freed_memory, "much": keep_freed_memory}[sys.argv[1]]()
torch.ones(1 << 18)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for step in range(1, 101):  # each block larger than what was freed before: by itself, glibc maps it anew
    torch.ones((1 << 18) + step * (1 << 14))
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(kept: str) -> int:
    run = subprocess.run([sys.executable, "-c", FAULTS, kept], capture_output=True, text=True, check=True)
    return int(run.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="about glibc's allocator")
@pytest.mark.parametrize("kept", ["a little", "much"])
def test_freed_memory_is_used_again(kept):
    """Blocks of 1 to 7.25 MB: 106,000 pages in all, 1,900 the largest."""
    assert faults("nothing") > 80_000
    assert faults(kept) < 10_000


def test_once_is_enough(monkeypatch):
    keep_a_little_freed_memory()
    monkeypatch.setattr(torch, "empty", lambda *_, **__: pytest.fail("allocated again"))
    keep_a_little_freed_memory()
