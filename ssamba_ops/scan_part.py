"""One part of time of a selective scan, in place: for inference over long inputs on a CPU."""

from __future__ import annotations

import torch
from torch import Tensor

from ssamba_ops.derivatives import register_refusal


def scan_part(
    y: Tensor,
    state: Tensor,
    u: Tensor,
    dt: Tensor,
    dt_weight: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor,
    dt_bias: Tensor,
    z: Tensor | None = None,
    reverse: bool = False,
    add: bool = False,
    lengths: Tensor | None = None,
) -> None:
    """Scans the tokens of a part, going on from `state`, and writes y and the state after them.

    The scan is `selective_scan` with delta = dt @ dt_weight.T, which is never in memory, and softplus::

        y ← (y + scan) · silu(z)      without y on the right unless `add`, without the gate unless z is given

    On the CPU only, and without gradient: `selective_scan` is differentiable and runs everywhere.

    Args:
        y: (B, L, D), written; its last axis has stride 1. float32, float64, float16 or bfloat16, like u, dt, B, C, z.
        state: (B, D, N), contiguous, read and written; float32 (float64 with a float64 u), like dt_weight, A, D and
            dt_bias.
        u: input, (B, L, D).
        dt: time step before its projection, (B, L, r).
        dt_weight: (D, r).
        A: decay rates, (D, N).
        B, C: (B, L, N), or (B, L, G, N) for G groups of channels.
        D, dt_bias: (D,).
        z: gate, (B, L, D).
        reverse: from the last token to the first.
        add: to what y holds.
        lengths: tokens of each clip that lie in this part, (B,), from 0 to L; the others give 0.

    Raises:
        RuntimeError: an argument's shape, dtype, device or strides do not fit.
        NotImplementedError: a gradient or tangent is wanted.
    """
    torch.ops.ssamba.scan_part(y, state, u, dt, dt_weight, A, B, C, D, dt_bias, z, reverse, add, lengths)


@torch.library.register_fake("ssamba::scan_part")
def _fake(*_: object) -> None:
    return None


register_refusal("scan_part", "call ssamba_ops.selective_scan")
