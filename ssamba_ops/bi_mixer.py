"""A whole bidirectional mixer as one op, with a gradient that keeps little: for training on a CPU."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ssamba_ops.derivatives import given, register_derivatives
from ssamba_ops.registration import check_one_device, register_autocast
from ssamba_ops.selective_scan import fake_checkpoints


def bi_mixer(
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
    lengths: Tensor | None = None,
) -> Tensor:
    """What a bidirectional Mamba mixer makes of x::

        [a, z] = x W_inᵀ + b_in;   u = silu(conv(a)), causal and anti-causal
        [dt, B, C] = u W_xᵀ, each direction its own
        y = bi_scan(u, dt W_dtᵀ, A, B, C, D, z, b_dt, delta_softplus=True, lengths=lengths)
        out = y W_outᵀ

    The same as the ops one after the other. For the gradient it keeps a and z, dt, B, C and every 32nd state, about
    3 E numbers a token instead of 8 E, and makes the others again. On the CPU only.

    Args:
        x: (B, L, D); float32, like all.
        in_proj, in_bias: W_in of a and z, (2 E, D), and (2 E,) or None.
        conv, conv_bias: (2, E, W) and (2, E); the first axis is the direction here and below, forward in time first.
        x_proj: (2, r + 2 N, E); its outputs are dt (r), B and C (N each).
        dt_proj, dt_bias: (2, E, r) and (2, E).
        A: decay rates, (2, E, N).
        D: (2, E).
        out_proj: (D, E). A mixer that takes the mean of both directions has half of it.
        lengths: tokens of each clip, (B,), int32 or int64, from 0 to L. Tokens behind a clip's end neither read nor
            write, and give 0.

    Returns:
        (B, L, D).

    Raises:
        RuntimeError: an argument's shape, dtype, device or value does not fit; the message names it.
        NotImplementedError: the tensors are on another device than a CPU.
    """
    return torch.ops.ssamba.bi_mixer(
        x, in_proj, in_bias, conv, conv_bias, x_proj, dt_proj, dt_bias, A, D, out_proj, lengths
    )


@torch.library.register_fake("ssamba::bi_mixer")
def _fake(
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
    lengths: Tensor | None = None,
) -> Tensor:
    check_one_device("bi_mixer", x=x, in_proj=in_proj, conv=conv, x_proj=x_proj, A=A, out_proj=out_proj)
    return x.new_empty(x.shape)


@torch.library.register_fake("ssamba::bi_mixer_forward")
def _fake_forward(x: Tensor, *weights: Tensor | None) -> tuple[Tensor, ...]:
    _, _, _, _, x_proj, _, _, A, _, _, _ = weights
    batch, length, _ = x.shape
    xz = x.new_empty((batch, length, 2 * A.shape[1]))
    projected = x.new_empty((2, batch, length, x_proj.shape[1]))
    return _fake(x, *weights), xz, projected, fake_checkpoints(x, A)


@torch.library.register_fake("ssamba::bi_mixer_backward")
def _fake_backward(dout: Tensor, xz: Tensor, projected: Tensor, checkpoints: Tensor, *inputs: Any) -> tuple:
    return tuple(dout.new_empty((0,)) if one is None else one.new_empty(one.shape) for one in inputs[:-1])


def _setup_context(ctx: Any, inputs: tuple, output: tuple[Tensor, ...]) -> None:
    ctx.save_for_backward(*output[1:], *inputs)
    ctx.mark_non_differentiable(*output[1:])
    ctx.set_materialize_grads(False)


def _backward(ctx: Any, dout: Tensor | None, *_: None) -> tuple[Tensor | None, ...]:
    if dout is None:
        return (None,) * 12
    *kept, lengths = ctx.saved_tensors
    gradients = torch.ops.ssamba.bi_mixer_backward(dout, *kept, lengths)
    return *map(given, gradients, kept[3:]), None


register_derivatives("bi_mixer", _setup_context, _backward, results=lambda outputs: outputs[0])
for op in ("bi_mixer", "bi_mixer_forward", "bi_mixer_backward"):
    register_autocast(op, ())  # which would reach the products within
