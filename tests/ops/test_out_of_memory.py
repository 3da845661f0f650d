"""Out of memory inside an op: an error that people and batch-size searches know as such, after which ops work again."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from accelerate.utils.memory import should_reduce_batch_size

from ssamba_ops import derivatives

pytestmark = [
    pytest.mark.host,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits its address space"),
]
ROOT = Path(__file__).parents[2]
TRY = """
import os, resource, sys, torch
sys.path.insert(0, {root!r})
import ssamba_ops

def limit(megabytes):
    held = int(open("/proc/self/statm").read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    most = resource.RLIM_INFINITY if megabytes is None else held + (megabytes << 20)
    resource.setrlimit(resource.RLIMIT_AS, (most, resource.RLIM_INFINITY))

def wide(*shape, **options):
    return torch.zeros((), **options).expand(*shape)

D = 512
def scan(batch, u=None):
    u = wide(2, batch, 64, D) if u is None else u
    B = wide(2, batch, 64, 16)
    return ssamba_ops.bi_scan(u, u, -torch.ones(2, D, 16), B, B)

trained = torch.zeros(2, 48, 64, D, requires_grad=True)
trained_out = scan(48, trained).sum()
calls = {{
    "copy of a scan's input": lambda: scan(256),
    "gradient of a scan": lambda: trained_out.backward(),
    "bi_conv1d": lambda: ssamba_ops.bi_conv1d(wide(256, 64, D), torch.zeros(2, D, 4)),
    "causal_conv1d": lambda: ssamba_ops.causal_conv1d(torch.zeros(64, 1, D).expand(64, 64, D), torch.zeros(D, 4)),
    "patch_mask": lambda: ssamba_ops.patch_mask(wide(256, 64, D), torch.ones(256, 64) > 0, torch.zeros(D)),
    "mask": lambda: ssamba_ops.sample_patch_mask(64, 1000, 1000, 1, 1, 2, 0),
    "scratch of a mask": lambda: ssamba_ops.sample_patch_mask(1, 1000, 1000, 1, 1, 2, 0),
}}
scan(4).sum()  # torch's threads, which cannot start in a limit
limit(4)
try:
    calls[{call!r}]()
    message = "nothing was raised"
except RuntimeError as error:
    message = str(error)
limit(None)
scan(4)
ssamba_ops.sample_patch_mask(2, 10, 10, 5, 1, 2, 0)
print(message)
"""


@pytest.mark.parametrize(
    ("call", "least_bytes"),
    [
        ("copy of a scan's input", 2 * 256 * 64 * 512 * 4),
        ("gradient of a scan", 48 * 64 * 512 * 4),
        ("bi_conv1d", 256 * 64 * 512 * 4),
        ("causal_conv1d", 64 * 64 * 512 * 4),
        ("patch_mask", 256 * 64 * 512 * 4),
        ("mask", 64 * 1000 * 1000),
        ("scratch of a mask", 8 * 1000 * 1000),
    ],
)
def test_says_so_with_the_bytes_asked_for(call, least_bytes):
    code = TRY.format(root=str(ROOT), call=call)
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    message = run.stdout.strip()
    assert should_reduce_batch_size(RuntimeError(message)), message
    assert least_bytes <= int(re.search(r"tried to allocate (\d+) bytes", message)[1]) < 1.01 * least_bytes + 1e5
    assert "/" not in message, message


def test_of_a_gpu_is_torchs_own_type():
    """The type does not come through the stable ABI."""

    def fails():
        raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has ...")

    with pytest.raises(torch.OutOfMemoryError, match="Tried to allocate") as caught:
        derivatives._below_autograd(fails, ())
    assert should_reduce_batch_size(caught.value)
