"""A whole bidirectional mixer as one op, in place: for inference over short clips on a CPU."""

from __future__ import annotations

import torch
from torch import Tensor

from ssamba_ops.derivatives import register_refusal


def mixer_memory(tokens: int, inner: int, rank: int, states: int, taps: int) -> int:
    """Numbers that `packed_mixer` needs memory for: 5 E + 2 (r + 2 N) a token of all clips, and 2 W E."""
    return tokens * (5 * inner + 2 * (rank + 2 * states)) + 2 * taps * inner


def packed_mixer(
    s: Tensor,
    x: Tensor,
    in_proj: Tensor,
    in_bias: Tensor | None,
    conv: Tensor,
    conv_bias: Tensor,
    x_proj: Tensor,
    dt_proj: Tensor,
    dt_bias: Tensor,
    A: Tensor,
    D: Tensor,
    out_proj: Tensor,
    times: float = 1.0,
    lengths: Tensor | None = None,
    memory: Tensor | None = None,
) -> None:
    """Adds to the state s what a bidirectional Mamba mixer makes of x::

        [a, z] = x W_inᵀ + b_in;   u = silu(conv(a)), causal and anti-causal
        [dt, B, C] = u W_xᵀ, each direction its own
        y = bi_scan(u, dt W_dtᵀ, A, B, C, D, z, b_dt, delta_softplus=True, lengths=lengths)
        s ← times · s + y W_outᵀ / 2

    The same as the ops one after the other, in four parallel regions instead of a dozen. On the CPU only, and without
    gradient.

    Args:
        s: (B, L, D), contiguous, read and written; float32, like all.
        x: (B, L, D).
        in_proj: W_in as two packed matrices (see `pack_matrix`), of a and of z: (2, ceil(E / 32), D, 32).
        in_bias: (2, E), or None.
        conv, conv_bias: (2, E, W) and (2, E); the first axis is the direction here and below, forward in time first.
        x_proj: two packed matrices, (2, ceil((r + 2 N) / 32), E, 32); their outputs are dt (r), B and C (N each).
        dt_proj, dt_bias: (2, E, r) and (2, E).
        A: decay rates, (2, E, N).
        D: (2, E).
        out_proj: packed, (ceil(D / 32), E, 32).
        times: of s, before the sum.
        lengths: tokens of each clip, (B,); of the others, s is multiplied by `times` and no more.
        memory: to work in, (n,), n at least `mixer_memory(B * L, E, r, N, W)`: for many calls in turn, as fresh memory
            costs up to as much as what is done in it.

    Raises:
        RuntimeError: an argument's shape, dtype, device or strides do not fit.
        NotImplementedError: a gradient or tangent is wanted.
    """
    torch.ops.ssamba.packed_mixer(
        s, memory, x, in_proj, in_bias, conv, conv_bias, x_proj, dt_proj, dt_bias, A, D, out_proj, times, lengths
    )


@torch.library.register_fake("ssamba::packed_mixer")
def _fake(*_: object) -> None:
    return None


register_refusal("packed_mixer", "call the ops of the formula one after the other")
