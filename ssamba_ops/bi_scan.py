"""The bidirectional selective scan."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ssamba_ops.derivatives import given, register_derivatives
from ssamba_ops.registration import check_one_device, register_autocast
from ssamba_ops.selective_scan import fake_checkpoints, fake_scan_gradients


def bi_scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    z: Tensor | None = None,
    delta_bias: Tensor | None = None,
    delta_softplus: bool = False,
    lengths: Tensor | None = None,
) -> Tensor:
    """Scans a sequence in both directions of time and adds the results.

    For direction r, with time in natural order and nothing flipped in memory::

        Δ = softplus(delta[r] + delta_bias[r])             softplus only if asked, the identity above 20
        h_t = exp(Δ_t A[r]) h_{t∓1} + Δ_t B[r]_t u[r]_t    r = 0 runs forward in time, r = 1 backward
        y_t = C[r]_t · h_t + D[r] u[r]_t
        out = (y_forward + y_backward) · silu(z)

    Args:
        u: input, (2, B, L, D), or (B, L, D) for both directions alike; float32, float64, float16 or bfloat16.
        delta: step size, (2, B, L, D), in the dtype of u like B, C and z.
        A: decay rates, (2, D, N), usually negative; float32 (float64 with a float64 u), like D and delta_bias.
        B: input projection, (2, B, L, N), or (2, B, L, G, N) for G groups of D / G neighbouring channels.
        C: output projection, shaped like B.
        D: skip, (2, D).
        z: gate, (B, L, D).
        delta_bias: added to delta, (2, D).
        delta_softplus: whether Δ is the softplus of delta + delta_bias.
        lengths: tokens of each clip, (B,), int32 or int64, from 0 to L. Tokens behind a clip's end neither read nor
            write state, give 0 and get zero gradient; the backward direction starts at the clip's own last token.

    Returns:
        (B, L, D), in the dtype of u. States and sums are float32 (float64 for float64), whatever the dtype of u.

    Raises:
        RuntimeError: an argument's shape, dtype, device or value does not fit; the message names it.

    Source: Gu and Dao, "Mamba", arXiv 2312.00752, equations 1a-3b; Zhu et al., "Vision Mamba", arXiv 2401.09417,
    algorithm 1.
    """
    return torch.ops.ssamba.bi_scan(u, delta, A, B, C, D, z, delta_bias, delta_softplus, lengths)


@torch.library.register_fake("ssamba::bi_scan")
def _fake(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    z: Tensor | None = None,
    delta_bias: Tensor | None = None,
    delta_softplus: bool = False,
    lengths: Tensor | None = None,
) -> Tensor:
    check_one_device("bi_scan", u=u, delta=delta, A=A, B=B, C=C, D=D, z=z, delta_bias=delta_bias, lengths=lengths)
    return u.new_empty(u.shape[-3:])


@torch.library.register_fake("ssamba::bi_scan_forward")
def _fake_forward(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    z: Tensor | None,
    delta_bias: Tensor | None,
    delta_softplus: bool,
    lengths: Tensor | None,
) -> tuple[Tensor, Tensor]:
    return _fake(u, delta, A, B, C, D, z, delta_bias, delta_softplus, lengths), fake_checkpoints(u, A)


@torch.library.register_fake("ssamba::bi_scan_backward")
def _fake_backward(
    dout: Tensor,
    checkpoints: Tensor,
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    z: Tensor | None,
    delta_bias: Tensor | None,
    delta_softplus: bool,
    lengths: Tensor | None,
) -> tuple[Tensor, ...]:
    return fake_scan_gradients(u, delta, A, B, C, D, z, delta_bias)


def _setup_context(ctx: Any, inputs: tuple, output: tuple[Tensor, Tensor]) -> None:
    u, delta, A, B, C, D, z, delta_bias, ctx.delta_softplus, lengths = inputs
    ctx.save_for_backward(output[1], u, delta, A, B, C, D, z, delta_bias, lengths)
    ctx.mark_non_differentiable(output[1])
    ctx.set_materialize_grads(False)  # or autograd fills a gradient of checkpoints with zeros


def _backward(ctx: Any, dout: Tensor | None, _: None) -> tuple[Tensor | None, ...]:
    if dout is None:
        return (None,) * 10
    checkpoints, u, delta, A, B, C, D, z, delta_bias, lengths = ctx.saved_tensors
    du, ddelta, dA, dB, dC, dD, dz, ddelta_bias = torch.ops.ssamba.bi_scan_backward(
        dout, checkpoints, u, delta, A, B, C, D, z, delta_bias, ctx.delta_softplus, lengths
    )
    return du, ddelta, dA, dB, dC, given(dD, D), given(dz, z), given(ddelta_bias, delta_bias), None, None


register_derivatives("bi_scan", _setup_context, _backward, results=lambda outputs: outputs[0])
register_autocast("bi_scan", ("u", "delta", "B", "C", "z"))
