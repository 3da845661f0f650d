"""Inputs for the scans: sizes that lie around every edge of the kernels, and optional arguments in all combinations."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

# (B, L, D, N, G). Tiles are 32 tokens, vectors 2 to 16 channels, states go in blocks of 16, 8, 4 and 1. On a GPU tiles
# are 16 tokens, and clips and channels decide on the block: the last three come to each of them.
SIZES = [
    (0, 5, 4, 16, 1),
    (2, 0, 4, 16, 1),
    (2, 5, 0, 16, 1),
    (1, 1, 1, 1, 1),
    (2, 31, 15, 3, 1),
    (1, 32, 16, 4, 1),
    (2, 33, 17, 16, 1),
    (1, 97, 70, 16, 2),
    (3, 64, 24, 21, 3),
    (1, 20, 19, 21, 1),
    (1, 7, 130, 5, 1),
    (1, 40, 6, 256, 1),
    (2, 18, 8, 16, 1),
    (4, 18, 16, 16, 1),
    (4, 18, 128, 16, 1),
]
# One of each kind that kernels of every dtype distinguish: edges, whole packs and vectors, more than 16 states.
KINDS = [(2, 45, 37, 16, 1), (2, 45, 40, 16, 1), (2, 35, 24, 21, 1)]
OPTIONS = list(itertools.product([False, True], repeat=3))  # D, z, delta_bias; softplus goes with delta_bias
DTYPES = [torch.float32, torch.float64, torch.float16, torch.bfloat16]


def accumulation(dtype: torch.dtype) -> torch.dtype:
    return torch.float64 if dtype == torch.float64 else torch.float32


def scan_inputs(
    size: tuple[int, int, int, int, int],
    dtype: torch.dtype = torch.float32,
    directions: bool = True,
    options: tuple[bool, bool, bool] = (True, True, True),
    shared_u: bool = False,
    seed: int = 0,
) -> dict[str, Tensor | bool | None]:
    """Arguments of bi_scan, or of selective_scan without `directions`, with values as a trained layer has them."""
    batch, length, channels, state, groups = size
    generator = torch.Generator().manual_seed(seed)
    two = (2,) if directions else ()
    acc = accumulation(dtype)

    def normal(*shape: int, to: torch.dtype = dtype) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64).to(to)

    grouped = (groups, state) if groups > 1 else (state,)
    skip, gate, bias = options
    return {
        "u": normal(*(() if shared_u else two), batch, length, channels),
        "delta": (normal(*two, batch, length, channels) if bias else normal(*two, batch, length, channels).abs() * 0.3),
        "A": -torch.rand(*two, channels, state, generator=generator, dtype=torch.float64).to(acc) * 4,
        "B": normal(*two, batch, length, *grouped),
        "C": normal(*two, batch, length, *grouped),
        "D": normal(*two, channels, to=acc) if skip else None,
        "z": normal(batch, length, channels) if gate else None,
        "delta_bias": normal(*two, channels, to=acc) - 1 if bias else None,
        "delta_softplus": bias,
    }


def as_float64(inputs: dict) -> dict:
    """The same values in float64, each a leaf that collects its gradient."""
    return {
        name: x.detach().double().requires_grad_() if isinstance(x, Tensor) and x.is_floating_point() else x
        for name, x in inputs.items()
    }


def as_leaves(inputs: dict) -> dict:
    return {
        name: x.detach().clone().requires_grad_() if isinstance(x, Tensor) and x.is_floating_point() else x
        for name, x in inputs.items()
    }


def random_lengths(batch: int, length: int, seed: int = 0) -> Tensor:
    return torch.randint(0, length + 1, (batch,), generator=torch.Generator().manual_seed(seed))
