"""Arguments of bi_mixer, as plain matrices, and of packed_mixer."""

from __future__ import annotations

import torch
from torch import Tensor

from ssamba_ops import pack_matrix

# B, L, D, E, N, r, W: whole panels and rests of them, whole vectors and rests, blocks of states and single ones
SIZES = [(1, 129, 192, 384, 16, 12, 4), (2, 37, 24, 40, 16, 3, 4), (3, 5, 8, 33, 5, 2, 3), (1, 1, 1, 1, 1, 1, 1)]


def mixer_inputs(size: tuple[int, ...], bias: bool = True) -> dict[str, Tensor | None]:
    """With plain matrices, as the definition of packed_mixer takes them, in float32."""
    batch, length, width, inner, states, rank, taps = size
    generator = torch.Generator().manual_seed(3)

    def normal(*shape: int, fan: int = 1) -> Tensor:
        return torch.randn(*shape, generator=generator) / fan**0.5

    return {
        "s": normal(batch, length, width),
        "x": normal(batch, length, width),
        "in_proj": normal(2, inner, width, fan=width),
        "in_bias": normal(2, inner) if bias else None,
        "conv": normal(2, inner, taps, fan=taps),
        "conv_bias": normal(2, inner),
        "x_proj": normal(2, rank + 2 * states, inner, fan=inner),
        "dt_proj": normal(2, inner, rank, fan=rank),
        "dt_bias": normal(2, inner) - 3,
        "A": -torch.arange(1.0, states + 1).repeat(2, inner, 1),
        "D": normal(2, inner),
        "out_proj": normal(width, inner, fan=inner),
    }


def packed(inputs: dict[str, Tensor | None]) -> dict[str, Tensor | None]:
    """As the op takes them; s is a copy."""
    matrices = {name: pack_matrix(inputs[name]) for name in ("in_proj", "x_proj", "out_proj")}
    return inputs | matrices | {"s": inputs["s"].clone()}


def plain(inputs: dict[str, Tensor | None]) -> dict[str, Tensor | None]:
    """As bi_mixer takes them."""
    flat = {name: None if inputs[name] is None else inputs[name].flatten(0, 1) for name in ("in_proj", "in_bias")}
    return {name: x for name, x in (inputs | flat).items() if name != "s"}
