"""The emulated GPU in the place of the CPU: torch.ops.ssamba on CPU tensors runs the CUDA kernels' source."""

from __future__ import annotations

import contextlib
import ctypes
import os
import warnings
from collections.abc import Iterable, Iterator

import torch

from ssamba_ops.selective_scan import CHECKPOINT_TOKENS

LIBRARY = os.environ.get("SSAMBA_SIMT")  # set by run.sh
SEEDS = (0, 1, 2)  # an even seed lets all threads advance together, an odd one lets warps run ahead


def load() -> ctypes.CDLL:
    torch.ops.load_library(LIBRARY)
    library = ctypes.CDLL(LIBRARY)
    library.ssamba_simt_seed.argtypes = [ctypes.c_uint64]
    return library


@contextlib.contextmanager
def emulated(ops: Iterable[str]) -> Iterator[None]:
    """Within the block `torch.ops.ssamba.<op>` is `torch.ops.ssamba_simt.<op>` for CPU tensors, and so are the op's
    parts, <op>_forward and <op>_backward; the rest stays."""
    library = torch.library.Library("ssamba", "IMPL", "CPU")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Warning only once for all operators")
        for name in (op + part for op in ops for part in ("", "_forward", "_backward")):
            if hasattr(torch.ops.ssamba_simt, name):
                library.impl(name, getattr(torch.ops.ssamba_simt, name).default, allow_override=True)
    cpu_tokens = CHECKPOINT_TOKENS["cpu"]
    CHECKPOINT_TOKENS["cpu"] = CHECKPOINT_TOKENS["cuda"]
    try:
        yield
    finally:
        CHECKPOINT_TOKENS["cpu"] = cpu_tokens
        library._destroy()
