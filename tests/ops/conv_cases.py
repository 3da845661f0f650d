"""Inputs for the convolutions: sizes that lie around every edge of the kernels."""

from __future__ import annotations

import torch
from torch import Tensor

from scan_cases import accumulation, as_float64, as_leaves
from tolerance import assert_close

# (B, L, D, W). Tiles are 8 tokens forward and 32 backward, vectors 2 to 16 channels, splits at most 512 channels,
# chunks 64 tokens or more (128 for 600 channels, 448 for 100); up to 4 taps the window is in registers.
SIZES = [
    (0, 5, 4, 4),
    (2, 0, 4, 4),
    (2, 5, 0, 4),
    (1, 1, 1, 1),
    (2, 1, 3, 4),
    (2, 7, 15, 4),
    (2, 8, 16, 3),
    (3, 9, 17, 2),
    (1, 31, 7, 4),
    (2, 32, 33, 1),
    (1, 33, 70, 5),
    (2, 5, 9, 16),
    (2, 67, 20, 40),
    (1, 127, 600, 4),
    (1, 128, 512, 4),
    (1, 129, 513, 4),
    (2, 449, 100, 4),
]


def conv_inputs(
    size: tuple[int, int, int, int],
    dtype: torch.dtype = torch.float32,
    directions: bool = False,
    bias: bool = True,
    initial_state: bool = False,
    parameter_dtype: torch.dtype | None = None,
    seed: int = 0,
) -> dict[str, Tensor | None]:
    """Tensor arguments of causal_conv1d, or of bi_conv1d with `directions`."""
    batch, length, channels, width = size
    generator = torch.Generator().manual_seed(seed)
    two = (2,) if directions else ()

    def normal(*shape: int, to: torch.dtype = dtype) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64).to(to)

    to = parameter_dtype or accumulation(dtype)
    inputs = {
        "x": normal(batch, length, channels),
        "weight": normal(*two, channels, width, to=to) / width**0.5,
        "bias": normal(*two, channels, to=to) if bias else None,
    }
    return inputs | ({"initial_state": normal(batch, width - 1, channels)} if initial_state else {})


def check_conv(op, definition, inputs: dict, **options) -> None:
    """Values and gradients of `op` against its `definition` in float64."""
    dtype = inputs["x"].dtype
    batch, length, _ = inputs["x"].shape
    width = inputs["weight"].shape[-1]
    exact, leaves = as_float64(inputs), as_leaves(inputs)
    expected, actual = definition(**exact, **options), op(**leaves, **options)
    assert actual.dtype == dtype
    assert_close(actual, expected, width, "out")

    upstream = torch.randn(expected.shape, generator=torch.Generator().manual_seed(9), dtype=torch.float64).to(dtype)
    expected.backward(upstream.double())
    actual.backward(upstream)
    terms = {"x": width, "initial_state": width, "weight": batch * length, "bias": batch * length}
    for name, x in leaves.items():
        if x is not None:
            assert x.grad.dtype == x.dtype
            assert_close(x.grad, exact[name].grad, terms[name], f"d{name}", dtype if x.dtype != dtype else None)
