"""Peak memory of inference on long audio, seen by the operating system."""

from __future__ import annotations

import subprocess
import sys

import pytest

ENCODE = """
import re, sys, torch
from ssamba import SSAMBA, SSAMBAConfig

def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read()).group(1)) * 1024

torch.manual_seed(0)
torch.set_num_threads(1)
model = SSAMBA(SSAMBAConfig.tiny(layout=sys.argv[1], depth=4)).eval()
peaks = []
for frames in (16 * 256, 16 * 1024, 16 * 3750):  # 2049, 8193 and 30,001 tokens; the last is 10 minutes
    with torch.inference_mode():
        model.encode(torch.randn(1, frames, 128))
    peaks.append(peak())
print(*peaks)
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize("layout", ["sequential", "paired"])
def test_ten_minutes_in_bounded_memory(layout):
    """A layer keeps x and the forward scan of every token, 3 kB for tiny; all at once would take 21 kB and more."""
    run = subprocess.run([sys.executable, "-c", ENCODE, layout], capture_output=True, text=True, check=True)
    _, middle, last = map(int, run.stdout.split())
    bytes_per_token = (last - middle) / (30001 - 8193)
    print(bytes_per_token)
    assert 0 < bytes_per_token < 13_000, run.stdout


FREEZE = """
import re, torch
from ssamba import SSAMBA, SSAMBAConfig

def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read()).group(1)) * 1024

torch.set_num_threads(1)
before = peak()
model = SSAMBA(SSAMBAConfig.base(layout="paired"))
weights = sum(parameter.nbytes for parameter in model.parameters())
model = model.frozen(release=True)
model.encode(torch.randn(1, 1024, 128))
print((peak() - before) / weights)
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_weights_are_held_once():
    """Also while the model gives them away to its frozen encoder."""
    run = subprocess.run([sys.executable, "-c", FREEZE], capture_output=True, text=True, check=True)
    assert 1 < float(run.stdout) < 1.3, run.stdout
