"""Tensors that span more memory than there is: only what is written takes room."""

from __future__ import annotations

import mmap

import numpy as np
import torch


def span(shape: tuple[int, ...], strides: tuple[int, ...]) -> int:
    """Elements from the first to behind the last."""
    return 1 + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))


def sparse(shape: tuple[int, ...], strides: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
    """Zeros."""
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | getattr(mmap, "MAP_NORESERVE", 0x4000)
    memory = mmap.mmap(-1, span(shape, strides) * dtype.itemsize, flags=flags)
    return torch.from_numpy(np.frombuffer(memory, dtype=np.uint8)).view(dtype).as_strided(shape, strides)
