"""Peak memory of a training step through bi_scan, seen by the operating system."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.host
ROOT = Path(__file__).parents[2]
STEP = """
import re, sys, torch
sys.path.insert(0, {root!r})
import ssamba_ops

def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read()).group(1)) * 1024

def step(L, B=2, D=128, N={state}):
    torch.manual_seed(0)
    x = dict(u=torch.randn(2, B, L, D), delta=torch.randn(2, B, L, D), A=-torch.rand(2, D, N),
             B=torch.randn(2, B, L, N), C=torch.randn(2, B, L, N), D=torch.randn(2, D),
             z=torch.randn(B, L, D), delta_bias=torch.randn(2, D))
    x = {{name: t.requires_grad_() for name, t in x.items()}}
    before = peak()
    ssamba_ops.bi_scan(**x, delta_softplus=True).sum().backward()
    return (peak() - before) / (B * L * D)

step(64)
print(step({length}))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_training_step_needs_no_memory_for_every_state():
    """Keeping the states of both directions, 64 of them, would take at least 512 bytes a token and channel."""
    bytes_per_token_channel = {}
    for length in (4096, 16384):
        code = STEP.format(root=str(ROOT), state=64, length=length)
        run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        bytes_per_token_channel[length] = float(run.stdout)
    print(bytes_per_token_channel)
    assert all(0 < x < 170 for x in bytes_per_token_channel.values()), bytes_per_token_channel
