"""The selective scan in one direction, with the state going in and coming out."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ssamba_ops.derivatives import given, register_derivatives
from ssamba_ops.registration import check_one_device, register_autocast

# Tokens between two checkpoints of the states on each device: csrc/selective_scan.h.
CHECKPOINT_TOKENS = {"cpu": 32, "cuda": 16}


def selective_scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    z: Tensor | None = None,
    delta_bias: Tensor | None = None,
    delta_softplus: bool = False,
    initial_state: Tensor | None = None,
    reverse: bool = False,
    lengths: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Scans a sequence in one direction of time.

    ::

        Δ = softplus(delta + delta_bias)                softplus only if asked, the identity above 20
        h_t = exp(Δ_t A) h_{t-1} + Δ_t B_t u_t          t+1 instead of t-1 if reverse
        y_t = C_t · h_t + D u_t
        out = y · silu(z)

    Args:
        u: input, (B, L, D); float32, float64, float16 or bfloat16.
        delta: step size, (B, L, D), in the dtype of u like B, C and z.
        A: decay rates, (D, N), usually negative; float32 (float64 with a float64 u), like D, delta_bias and the states.
        B: input projection, (B, L, N), or (B, L, G, N) for G groups of D / G neighbouring channels.
        C: output projection, shaped like B.
        D: skip, (D,).
        z: gate, (B, L, D).
        delta_bias: added to delta, (D,).
        delta_softplus: whether Δ is the softplus of delta + delta_bias.
        initial_state: the state before the first token of the walk, (B, D, N); zeros if not given.
        reverse: walk from the clip's last token to its first.
        lengths: tokens of each clip, (B,), int32 or int64, from 0 to L. Tokens behind a clip's end neither read nor
            write state, give 0 and get zero gradient.

    Returns:
        out (B, L, D) in the dtype of u, and the state after the last token of the walk, (B, D, N). Both are
        differentiable, so a long sequence can be scanned piece by piece.

    Raises:
        RuntimeError: an argument's shape, dtype, device or value does not fit; the message names it.

    Source: Gu and Dao, "Mamba", arXiv 2312.00752, equations 1a-3b.
    """
    return torch.ops.ssamba.selective_scan(
        u, delta, A, B, C, D, z, delta_bias, delta_softplus, initial_state, reverse, lengths
    )


def fake_checkpoints(u: Tensor, A: Tensor) -> Tensor:
    """What a forward pass keeps for the backward pass: the states (R, B, K, N, D) before each of K tiles of tokens."""
    batch, length = u.shape[-3:-1]
    *directions, channels, state = A.shape
    tokens = CHECKPOINT_TOKENS.get(u.device.type, CHECKPOINT_TOKENS["cpu"])  # any will do where there is no kernel
    tiles = (length + tokens - 1) // tokens
    return A.new_empty((directions[0] if directions else 1, batch, tiles, state, channels))


def fake_scan_gradients(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    z: Tensor | None,
    delta_bias: Tensor | None,
) -> tuple[Tensor, ...]:
    """Gradients of a scan as far as shapes and dtypes go; empty tensors stand for inputs that were not given."""

    def gradient(of: Tensor | None) -> Tensor:
        return A.new_empty((0,)) if of is None else of.new_empty(of.shape)

    return tuple(gradient(x) for x in (u, delta, A, B, C, D, z, delta_bias))


@torch.library.register_fake("ssamba::selective_scan")
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
    initial_state: Tensor | None = None,
    reverse: bool = False,
    lengths: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    check_one_device(
        "selective_scan",
        u=u,
        delta=delta,
        A=A,
        B=B,
        C=C,
        D=D,
        z=z,
        delta_bias=delta_bias,
        initial_state=initial_state,
        lengths=lengths,
    )
    return u.new_empty(u.shape), A.new_empty((u.shape[0], *A.shape))


@torch.library.register_fake("ssamba::selective_scan_forward")
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
    initial_state: Tensor | None,
    reverse: bool,
    lengths: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor]:
    results = _fake(u, delta, A, B, C, D, z, delta_bias, delta_softplus, initial_state, reverse, lengths)
    return *results, fake_checkpoints(u, A)


@torch.library.register_fake("ssamba::selective_scan_backward")
def _fake_backward(
    dout: Tensor,
    dlast_state: Tensor,
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
    initial_state: Tensor | None,
    reverse: bool,
    lengths: Tensor | None,
) -> tuple[Tensor, ...]:
    dinitial_state = A.new_empty((0,) if initial_state is None else initial_state.shape)
    return (*fake_scan_gradients(u, delta, A, B, C, D, z, delta_bias), dinitial_state)


def _setup_context(ctx: Any, inputs: tuple, output: tuple[Tensor, Tensor, Tensor]) -> None:
    u, delta, A, B, C, D, z, delta_bias, ctx.delta_softplus, initial_state, ctx.reverse, lengths = inputs
    ctx.save_for_backward(output[2], u, delta, A, B, C, D, z, delta_bias, initial_state, lengths)
    ctx.mark_non_differentiable(output[2])
    ctx.set_materialize_grads(False)  # or autograd fills a gradient of checkpoints with zeros


def _backward(ctx: Any, dout: Tensor | None, dlast_state: Tensor | None, _: None) -> tuple[Tensor | None, ...]:
    checkpoints, u, delta, A, B, C, D, z, delta_bias, initial_state, lengths = ctx.saved_tensors
    dout = torch.zeros_like(u) if dout is None else dout
    dlast_state = A.new_zeros(u.shape[0], *A.shape) if dlast_state is None else dlast_state
    du, ddelta, dA, dB, dC, dD, dz, ddelta_bias, dinitial_state = torch.ops.ssamba.selective_scan_backward(
        dout,
        dlast_state,
        checkpoints,
        u,
        delta,
        A,
        B,
        C,
        D,
        z,
        delta_bias,
        ctx.delta_softplus,
        initial_state,
        ctx.reverse,
        lengths,
    )
    optional = (given(dD, D), given(dz, z), given(ddelta_bias, delta_bias))
    return du, ddelta, dA, dB, dC, *optional, None, given(dinitial_state, initial_state), None, None


register_derivatives("selective_scan", _setup_context, _backward, results=lambda outputs: outputs[:2])
register_autocast("selective_scan", ("u", "delta", "B", "C", "z"))
