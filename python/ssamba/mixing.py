"""The mixer's arithmetic on packed weights: one layer, or two side by side as one layer of twice the width.

Shapes: B batch, L tokens, D width, G layers side by side, E inner channels of each, N states, r time step rank.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
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


def mix(readers: Sequence[Tensor], w: MixerWeights, lengths: Tensor | None = None) -> Tensor:
    """Sum of the mixers' outputs (B, L, D).

    readers are normalised tokens (B, L, D): one for all mixers, or one for each. lengths (B,) are the valid tokens.
    """
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


def mix_in_parts(
    tokens: Tensor,
    normalise: Callable[[Tensor], Tensor],
    w: MixerWeights,
    parts: Sequence[slice],
    lengths: Tensor | None = None,
) -> Tensor:
    """`mix` of normalise(tokens), part of time after part, without gradient: the same numbers in less memory.

    Each mixer goes over the parts forward in time and back again. Between the two it keeps x and the forward scan's
    result, 2 E numbers a token; everything else is as long as a part.
    """
    hidden = tokens.new_zeros(tokens.shape, dtype=w.out_proj.dtype)
    for mixer in map(w.layer, range(w.layers)):
        _add_mixed_parts(hidden, tokens, normalise, mixer, parts, lengths)
    return hidden


def time_parts(batch: int, length: int, rows: int, shortest: int) -> list[slice]:
    """Cuts L tokens into equal parts of at most `rows` rows over all clips; no part is below `shortest` tokens."""
    count = max(1, min(-(-batch * length // rows), length // shortest))
    ends = [length * i // count for i in range(count + 1)]
    return [slice(start, stop) for start, stop in pairwise(ends)]


def _project_in(readers: Sequence[Tensor], w: MixerWeights) -> tuple[Tensor, ...]:
    if len(readers) == 1:
        bias = None if w.in_bias is None else w.in_bias.flatten()
        return F.linear(readers[0].to(w.in_proj.dtype), w.in_proj.flatten(0, 2), bias).chunk(2, dim=-1)
    each = [_project_in(readers[g : g + 1], w.layer(g)) for g in range(w.layers)]
    return tuple(torch.cat(halves, dim=-1) for halves in zip(*each, strict=True))


def _scan_inputs(u: Tensor, w: MixerWeights) -> tuple[Tensor, Tensor, Tensor]:
    """delta (2, B, L, G E), B and C (2, B, L, G, N) of u (2, B, L, G E)."""
    if not torch.is_grad_enabled() and not torch.compiler.is_compiling() and u.device.type == "cpu":
        return _scan_inputs_by_layer(u, w.x_proj, w.dt_proj, w.state_size)
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


def _scan_inputs_by_layer(u: Tensor, x_proj: Tensor, dt_proj: Tensor, states: int) -> tuple[Tensor, Tensor, Tensor]:
    """As `_scan_inputs` for R directions, every product written where it belongs; without gradient."""
    layers, inner, rank = dt_proj.shape[1:]
    rows = u.reshape(len(u), -1, layers, inner)  # (R, B L, G, E)
    projected = u.new_empty(*rows.shape[:3], rank + 2 * states)
    delta = torch.empty_like(rows)
    for r in range(len(u)):
        for g in range(layers):
            torch.mm(rows[r, :, g], x_proj[r, g].T, out=projected[r, :, g])
            torch.mm(projected[r, :, g, :rank], dt_proj[r, g].T, out=delta[r, :, g])
    _, B, C = projected.unflatten(1, u.shape[1:3]).split([rank, states, states], dim=-1)
    return delta.view(u.shape), B, C


def _add_mixed_parts(
    hidden: Tensor,
    tokens: Tensor,
    normalise: Callable[[Tensor], Tensor],
    w: MixerWeights,
    parts: Sequence[slice],
    lengths: Tensor | None,
) -> None:
    taps_before = w.conv.shape[3] - 1

    def project(half: int, part: slice) -> Tensor:
        bias = None if w.in_bias is None else w.in_bias[half, 0]
        return F.linear(normalise(tokens[:, part]).to(w.in_proj.dtype), w.in_proj[half, 0], bias)

    # Two arrays, not a list of parts: those would lie between everything short-lived and keep its pages.
    xs, ys = tokens.new_empty(2, *tokens.shape[:2], w.conv.shape[2], dtype=w.in_proj.dtype)  # x, the forward scan
    neighbour = state = None
    for part in parts:
        x = xs[:, part].copy_(project(0, part))
        ys[:, part], state = _scan_part(0, x, neighbour, state, w, _within(lengths, part))
        neighbour = x[:, x.shape[1] - taps_before :]
    neighbour = state = None
    for part in reversed(parts):
        x = xs[:, part]
        y, state = _scan_part(1, x, neighbour, state, w, _within(lengths, part))
        neighbour = _before_the_end(x[:, :taps_before], part.start, lengths)
        y.add_(ys[:, part]).mul_(F.silu(project(1, part), inplace=True))
        hidden[:, part] += F.linear(y, w.out_proj[:, 0])


def _scan_part(
    r: int, x: Tensor, neighbour: Tensor | None, state: Tensor | None, w: MixerWeights, lengths: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Convolution and scan of one part in direction r, going on from its neighbour's tokens and last state."""
    options = {"reverse": bool(r), "lengths": lengths}
    u = ssamba_ops.causal_conv1d(x, w.conv[r, 0], w.conv_bias[r, 0], silu=True, initial_state=neighbour, **options)
    delta, B, C = (
        part[0] for part in _scan_inputs_by_layer(u[None], w.x_proj[r, None], w.dt_proj[r, None], w.state_size)
    )
    return ssamba_ops.selective_scan(
        u,
        delta,
        w.A[r, 0],
        B,
        C,
        w.D[r, 0],
        delta_bias=w.dt_bias[r, 0],
        delta_softplus=True,
        initial_state=state,
        **options,
    )


def _within(lengths: Tensor | None, part: slice) -> Tensor | None:
    return None if lengths is None else (lengths - part.start).clamp(0, part.stop - part.start)


def _before_the_end(x: Tensor, start: int, lengths: Tensor | None) -> Tensor:
    """x (B, W-1, E), whose tokens begin at `start`, with zeros behind each clip's end."""
    if lengths is None:
        return x
    valid = start + torch.arange(x.shape[1], device=x.device) < lengths[:, None]
    return torch.where(valid.unsqueeze(-1), x, 0)
