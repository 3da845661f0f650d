"""The emulated GPU in the place of the CPU: torch.ops.ssamba on CPU tensors runs the CUDA kernels' source."""

from __future__ import annotations

import contextlib
import ctypes
import os
import warnings
from collections.abc import Iterator

import torch

from ssamba_ops.selective_scan import CHECKPOINT_TOKENS

LIBRARY = os.environ.get("SSAMBA_SIMT")  # set by run.sh
KERNELS = [
    f"{op}{suffix}"
    for op in ("bi_scan", "selective_scan", "causal_conv1d", "bi_conv1d", "patch_mask")
    for suffix in ("", "_backward")
]
KERNELS += ["bi_scan_forward", "selective_scan_forward", "sample_patch_mask.like"]
SEEDS = (0, 1, 2)  # an even seed lets all threads advance together, an odd one lets warps run ahead


def load() -> ctypes.CDLL:
    torch.ops.load_library(LIBRARY)
    library = ctypes.CDLL(LIBRARY)
    for choice in (library.ssamba_simt_seed, library.ssamba_simt_error_seed, library.ssamba_simt_last_blocks):
        choice.argtypes = [ctypes.c_uint64]
    return library


@contextlib.contextmanager
def emulated() -> Iterator[None]:
    """Within the block `torch.ops.ssamba.<op>` is `torch.ops.ssamba_simt.<op>` for CPU tensors."""
    library = torch.library.Library("ssamba", "IMPL", "CPU")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Warning only once for all operators")
        for op in KERNELS:
            packet, _, overload = op.partition(".")
            kernel = getattr(getattr(torch.ops.ssamba_simt, packet), overload or "default")
            library.impl(op, kernel, allow_override=True)
    cpu_tokens = CHECKPOINT_TOKENS["cpu"]
    CHECKPOINT_TOKENS["cpu"] = CHECKPOINT_TOKENS["cuda"]
    try:
        yield
    finally:
        CHECKPOINT_TOKENS["cpu"] = cpu_tokens
        library._destroy()
