"""From the tensors of mixers, by name, to the packed weights of `mixing`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from .mixing import MixerWeights


class Direction(NamedTuple):
    """What one direction of a mixer has for itself."""

    conv: Tensor  # (E, W)
    conv_bias: Tensor  # (E,)
    x_proj: Tensor  # (r + 2 N, E)
    dt_proj: Tensor  # (E, r)
    dt_bias: Tensor  # (E,)
    A: Tensor  # (E, N), float32 or wider
    D: Tensor  # (E,)


class MixerTensors(NamedTuple):
    """What a mixer computes with, in any dtype. Its large matrices are None where modules multiply instead."""

    in_proj: Tensor | None  # (2 E, D), to x and to z
    in_bias: Tensor | None  # (2 E,)
    out_proj: Tensor | None  # (D, E)
    directions: tuple[Direction, Direction]  # forward in time first


def fold(mixer: MixerTensors, scale: Tensor, shift: Tensor | None) -> MixerTensors:
    """The mixer that reads n instead of n · scale + shift (D,): the affine map of a norm moves into in_proj."""
    wide = torch.promote_types(scale.dtype, torch.float32)
    in_proj = mixer.in_proj.to(wide)
    bias = None if shift is None else in_proj @ shift.to(wide)
    return mixer._replace(in_proj=in_proj * scale.to(wide), in_bias=bias)


def cast(mixer: MixerTensors, product: torch.dtype) -> MixerTensors:
    """The mixer with its matrices in the dtype that is multiplied in, and all else in float32 or wider."""

    def direction(one: Direction) -> Direction:
        wide = torch.promote_types(torch.promote_types(one.D.dtype, torch.float32), product)
        matrices = {"x_proj", "dt_proj"}
        return Direction(**{name: x.to(product if name in matrices else wide) for name, x in one._asdict().items()})

    outer = (None if x is None else x.to(product) for x in (mixer.in_proj, mixer.in_bias, mixer.out_proj))
    forward, backward = map(direction, mixer.directions)
    return MixerTensors(*outer, (forward, backward))


def pack(mixers: Sequence[MixerTensors], product: torch.dtype | None = None) -> MixerWeights:
    """Weights of mixers side by side, their matrices in the dtype `product`. Differentiable."""
    product = product_dtype(mixers[0].directions[0].x_proj) if product is None else product
    mixers = [cast(mixer, product) for mixer in mixers]
    in_projs, in_biases, out_projs, directions = zip(*mixers, strict=True)
    sides = list(zip(*directions, strict=True))  # 2 times G

    def stacked(name: str) -> Tensor:
        return torch.stack([_side_by_side([getattr(one, name) for one in side]) for side in sides])

    def halves(tensors: Sequence[Tensor | None]) -> Tensor | None:
        return None if tensors[0] is None else _side_by_side([x.unflatten(0, (2, -1)) for x in tensors], dim=1)

    return MixerWeights(
        in_proj=halves(in_projs),
        in_bias=halves(in_biases),
        out_proj=None if out_projs[0] is None else _side_by_side(out_projs, dim=1) / 2,
        **{name: stacked(name) for name in Direction._fields},
    )


def unpack(w: MixerWeights) -> list[MixerTensors]:
    """The mixers that were packed, whole; their tensors are parts of the packed ones where that can be."""

    def direction(r: int, g: int) -> Direction:
        return Direction(*(getattr(w, name)[r, g] for name in Direction._fields))

    return [
        MixerTensors(
            w.in_proj[:, g].flatten(0, 1),
            None if w.in_bias is None else w.in_bias[:, g].flatten(),
            2 * w.out_proj[:, g],
            (direction(0, g), direction(1, g)),
        )
        for g in range(w.layers)
    ]


def product_dtype(weight: Tensor) -> torch.dtype:
    """What matrices are multiplied in: the autocast dtype where autocast is on."""
    device = weight.device.type
    casts = torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)  # not there for meta
    return torch.get_autocast_dtype(device) if casts and weight.dtype != torch.float64 else weight.dtype


def _side_by_side(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Stacked; one alone is not copied."""
    return tensors[0].unsqueeze(dim) if len(tensors) == 1 else torch.stack(list(tensors), dim)
