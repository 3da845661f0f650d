"""Freed memory that stays with the process.

glibc hands freed memory back to the system, whose fresh pages then cost a fault each: on a virtual machine a layer
that works in fresh pages takes up to twice its time. Other allocators are left as they are.
"""

from __future__ import annotations

import ctypes
import platform
from functools import cache

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of malloc.h
_LARGEST = 32 << 20  # glibc's upper bound for what it keeps at all


def keep_freed_memory() -> None:
    """Keeps up to a gigabyte of freed memory in this process, from allocations below 32 MB.

    For programs that train or infer and do little else, such as the command line. Does nothing without glibc.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_THRESHOLD, _LARGEST)
        libc.mallopt(_M_TRIM_THRESHOLD, 1 << 30)


def return_freed_memory() -> None:
    """Gives the system what this process has freed, wherever it lies. Does nothing without glibc."""
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)


@cache  # once is enough, and with deterministic algorithms torch fills what it allocates
def keep_a_little_freed_memory() -> None:
    """Makes glibc keep up to 64 MB of freed memory, unless its thresholds were set by someone.

    It does so by itself once an allocation of nearly 32 MB has been freed; this one's pages are not touched.
    """
    import torch  # the command line calls the function above before it needs torch

    torch.empty(_LARGEST - (1 << 20), dtype=torch.uint8, device="cpu")
