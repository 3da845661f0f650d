"""Sizes that a GPU's kernels cannot count, refused before a launch. Emulated, as few machines hold such tensors."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import emulator

if emulator.LIBRARY is None:
    pytest.skip("needs the emulated GPU: make simt", allow_module_level=True)

emulator.load()
FAR = 2**28 + 8


def far_apart(folder, length: int) -> torch.Tensor:
    """(1, length, 4): tokens FAR elements apart, in a file with holes instead of memory."""
    file = np.memmap(folder / "sparse", dtype=np.float16, mode="w+", shape=((length - 1) * FAR + 4,))
    return torch.from_numpy(file).as_strided((1, length, 4), (FAR, FAR, 1))


def scan(u: torch.Tensor) -> torch.Tensor:
    rows = torch.zeros(1, u.shape[1], 2, dtype=u.dtype)
    return torch.ops.ssamba_simt.selective_scan(u, torch.zeros(u.shape, dtype=u.dtype), -torch.ones(4, 2), rows, rows)[
        0
    ]


def test_tokens_too_far_apart_are_named(tmp_path):
    with pytest.raises(RuntimeError, match=f"tokens of an input lie {FAR} elements apart; .* give its contiguous"):
        scan(far_apart(tmp_path, 2))


def test_one_token_is_never_far_from_the_next(tmp_path):
    assert scan(far_apart(tmp_path, 1)).shape == (1, 1, 4)
