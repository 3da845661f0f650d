"""Where a tensor lies in memory changes no bit of a result: each tensor of each op, one at a time.

Kernels read packs of channels at once where every tensor allows it. If all tensors were displaced alike, the guard of
one would hide that another's is missing.
"""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from op_calls import OPS, calls, same
from scan_cases import DTYPES
from sparse_memory import span, sparse

B, L, D = 2, 19, 40  # whole packs in every dtype, a whole tile and a part
FAR = 2**31 + 8  # elements
FARTHEST_TOKENS = 2**28  # of a GPU's scans, which count the bytes between them in 32 bits


def dense_strides(x: Tensor) -> tuple[int, ...]:
    return tuple(math.prod(x.shape[i + 1 :]) for i in range(x.dim()))


def rows_apart(x: Tensor, distance: int) -> dict[str, tuple[int, ...]]:
    """Strides with `distance` elements between the rows of one axis, for each that has rows."""
    dense = dense_strides(x)
    axes = [axis for axis in range(x.dim() - 1) if x.shape[axis] > 1]
    return {f"axis {axis} apart": (*dense[:axis], distance, *dense[axis + 1 :]) for axis in axes}


def odd_places(x: Tensor) -> dict[str, Tensor]:
    """x one element, or 8 bytes, behind the beginning of its memory, also with its last axes turned; and with an odd
    distance between the rows of one axis."""
    ways = {}
    for shift in {1, 8 // x.element_size()}:
        ways[f"offset {shift}"] = torch.zeros(x.numel() + shift, dtype=x.dtype)[shift:].view(x.shape)
    if x.dim() > 1:
        ways["turned"] = torch.zeros(x.numel() + 1, dtype=x.dtype)[1:].view(x.mT.shape).mT
    for way, strides in rows_apart(x, x.numel() + 1 - x.numel() % 2).items():
        ways[way] = torch.zeros(span(x.shape, strides), dtype=x.dtype).as_strided(x.shape, strides)
    return {way: memory.copy_(x) for way, memory in ways.items()}


def far_places(x: Tensor, distance: int = FAR) -> dict[str, Tensor]:
    """x with more elements between the rows of one axis than 32 bits count, in memory that only takes what is used."""
    return {way: sparse(x.shape, strides, x.dtype).copy_(x) for way, strides in rows_apart(x, distance).items()}


def check_each(op: str, dtype: torch.dtype, places, refused=lambda x, way: False) -> None:
    """Every call with each of its tensors in each of these places, unless it is refused there."""
    for name, (function, *given) in calls(op, dtype, L, D, [L, 17]).items():
        expected = function(*given)
        for i, x in enumerate(given):
            for way, placed in places(x).items() if isinstance(x, Tensor) else ():
                arguments = (*given[:i], placed, *given[i + 1 :])
                if refused(x, way):
                    with pytest.raises(
                        RuntimeError, match=f"tokens of an input lie {FAR} elements apart; .* contiguous"
                    ):
                        function(*arguments)
                    continue
                assert same(function(*arguments), expected), f"{name}: argument {i}, {tuple(x.shape)}, {way}"


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("op", OPS)
def test_a_tensor_at_an_odd_place(op, dtype):
    check_each(op, dtype, odd_places)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("op", OPS)
def test_rows_longer_than_their_channels(op, dtype):
    """All inputs would do for packs, but a result's rows, which lie side by side, would not."""
    for name, (function, *given) in calls(op, dtype, L, D - 3, [L, 17]).items():
        wide = [padded(x) if isinstance(x, Tensor) and x.dim() > 1 else x for x in given]
        assert same(function(*wide), function(*given)), name


def padded(x: Tensor) -> Tensor:
    """x in rows of so many elements that all begin at multiples of 16 bytes."""
    rows = torch.zeros(*x.shape[:-1], -(-x.shape[-1] // 16) * 16, dtype=x.dtype)
    rows[..., : x.shape[-1]] = x
    return rows[..., : x.shape[-1]]


@pytest.mark.parametrize("op", OPS)
def test_a_tensor_whose_rows_lie_far_apart(op, machine):
    if machine == "cuda":
        pytest.skip("a GPU has no memory that only takes what is used")
    scans_of_gpus = machine == "emulated" and op.endswith("scan")

    def refused(x: Tensor, way: str) -> bool:
        """Activations of which tokens lie far apart; parameters and states are copied first."""
        return scans_of_gpus and x.shape[-2] == L and way == f"axis {x.dim() - 2} apart"

    check_each(op, torch.bfloat16, far_places, refused)
    check_each(op, torch.bfloat16, lambda x: far_places(x, FARTHEST_TOKENS))
