"""The mixer's arithmetic on packed weights: one layer, or two side by side as one layer of twice the width.

Shapes: B batch, L tokens, D width, G layers side by side, E inner channels of each, N states, r time step rank.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

import ssamba_ops


class MixerWeights(NamedTuple):
    """Weights of G mixers. The first axis is x and z, or the direction, forward in time first; `out_proj` has it last.

    The matrices are in the dtype that is multiplied in, all else in float32 or wider. in_proj and out_proj are None
    where modules multiply instead.
    """

    in_proj: Tensor | None  # (2, G, E, D)
    in_bias: Tensor | None  # (2, G, E)
    conv: Tensor  # (2, G, E, W)
    conv_bias: Tensor  # (2, G, E)
    x_proj: Tensor  # (2, G, r + 2 N, E)
    dt_proj: Tensor  # (2, G, E, r)
    dt_bias: Tensor  # (2, G, E)
    A: Tensor  # (2, G, E, N)
    D: Tensor  # (2, G, E)
    out_proj: Tensor | None  # (D, G, E), half the sum of both directions included

    @property
    def layers(self) -> int:
        return self.A.shape[1]

    @property
    def time_step_rank(self) -> int:
        return self.dt_proj.shape[3]

    @property
    def state_size(self) -> int:
        return self.A.shape[3]

    def layer(self, index: int) -> MixerWeights:
        """One of the mixers alone, without a copy."""
        return MixerWeights(*(None if field is None else field[:, index : index + 1] for field in self))


def normalise(x: Tensor, eps: float, centred: bool) -> Tensor:
    """Layer norm over the last axis, or root-mean-square norm unless centred, without affine map; float32 or wider."""
    x, width = x.to(torch.promote_types(x.dtype, torch.float32)), x.shape[-1:]
    if not centred:
        return F.rms_norm(x, width, eps=eps)
    # With an affine map, torch's kernel for the CPU takes half the time.
    return F.layer_norm(x, width, x.new_ones(width), x.new_zeros(width), eps)


def mix(readers: Sequence[Tensor], w: MixerWeights, lengths: Tensor | None = None) -> Tensor:
    """Sum of the mixers' outputs (B, L, D): one alone by one op where it can be, which keeps less for the gradient.

    readers are normalised tokens (B, L, D): one for all mixers, or one for each. lengths (B,) are the valid tokens.
    """
    if _fits_one_op(readers, w):
        return ssamba_ops.bi_mixer(readers[0], **_of_one_op(w), lengths=lengths)
    x, z = _project_in(readers, w)  # (B, L, G E) each
    return F.linear(convolve_and_scan(x, z, w, lengths), w.out_proj.flatten(1))


def convolve_and_scan(x: Tensor, z: Tensor, w: MixerWeights, lengths: Tensor | None = None) -> Tensor:
    """Everything between the first and the last product: x and z (B, L, G E) → (B, L, G E)."""
    u = ssamba_ops.bi_conv1d(x, w.conv.flatten(1, 2), w.conv_bias.flatten(1), silu=True, lengths=lengths)
    delta, B, C = _scan_inputs(u, w)
    return ssamba_ops.bi_scan(
        u,
        delta,
        w.A.flatten(1, 2),
        B,
        C,
        w.D.flatten(1),
        z,
        w.dt_bias.flatten(1),
        delta_softplus=True,
        lengths=lengths,
    )


def _fits_one_op(readers: Sequence[Tensor], w: MixerWeights) -> bool:
    """Whether `bi_mixer` computes this: one mixer, in float32 on a CPU, where what is traced may not stay."""
    traced = torch.jit.is_tracing() or torch.compiler.is_exporting()
    tensors = (readers[0], *(x for x in w if x is not None))
    return w.layers == 1 and not traced and all(x.is_cpu and x.dtype == torch.float32 for x in tensors)


def _of_one_op(w: MixerWeights) -> dict[str, Tensor | None]:
    """The weights of one mixer as `bi_mixer` takes them."""
    each = {name: x if x is None else x.squeeze(1) for name, x in w._asdict().items()}
    in_bias = None if w.in_bias is None else each["in_bias"].flatten()
    return {**each, "in_proj": each["in_proj"].flatten(0, 1), "in_bias": in_bias}


def _project_in(readers: Sequence[Tensor], w: MixerWeights) -> tuple[Tensor, ...]:
    if len(readers) == 1:
        bias = None if w.in_bias is None else w.in_bias.flatten()
        return F.linear(readers[0].to(w.in_proj.dtype), w.in_proj.flatten(0, 2), bias).chunk(2, dim=-1)
    each = [_project_in(readers[g : g + 1], w.layer(g)) for g in range(w.layers)]
    return tuple(torch.cat(halves, dim=-1) for halves in zip(*each, strict=True))


def _scan_inputs(u: Tensor, w: MixerWeights) -> tuple[Tensor, Tensor, Tensor]:
    """delta (2, B, L, G E), B and C (2, B, L, G, N) of u (2, B, L, G E)."""
    layers, rank = w.layers, w.time_step_rank
    # One product for all layers, with zeros off the diagonal: at these sizes that costs less than copies of u.
    x_proj = torch.cat([_block_diagonal(rows) for rows in w.x_proj.split([rank, w.state_size, w.state_size], 2)], 1)
    projected = torch.matmul(u.flatten(1, 2), x_proj.mT)  # (2, B L, G (r + 2 N))
    dt, B, C = projected.split([layers * n for n in (rank, w.state_size, w.state_size)], dim=-1)
    delta = torch.matmul(dt, _block_diagonal(w.dt_proj).mT).unflatten(1, u.shape[1:3])
    return delta, *(x.unflatten(1, u.shape[1:3]).unflatten(-1, (layers, -1)) for x in (B, C))


def _block_diagonal(matrices: Tensor) -> Tensor:
    """(R, G, m, n) → (R, G m, G n)."""
    if matrices.shape[1] == 1:
        return matrices.squeeze(1)
    return torch.stack([torch.block_diag(*blocks) for blocks in matrices.unbind()])
