"""The depthwise convolution in both directions of time."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ssamba_ops.causal_conv1d import fake_conv_gradients
from ssamba_ops.derivatives import given, register_derivatives
from ssamba_ops.registration import check_one_device, register_autocast


def bi_conv1d(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, silu: bool = False, lengths: Tensor | None = None
) -> Tensor:
    """Filters every channel of a sequence twice, looking at past tokens and looking at future ones, in one pass over x.

    ::

        y[0]_t = bias[0] + Σ_k weight[0, :, k] x_{t-(W-1)+k}        the last tap weighs the current token
        y[1]_t = bias[1] + Σ_k weight[1, :, k] x_{t+(W-1)-k}
        out = y · sigmoid(y) if silu, else y

    Args:
        x: input, (B, L, D); float32, float64, float16 or bfloat16.
        weight: taps of both directions, (2, D, W) with W >= 1, each in the order of `torch.nn.Conv1d.weight[:, 0, :]`.
            In the dtype of x or float32 (float64 with a float64 x), like bias. Under autocast x is cast and weight and
            bias are left as they are.
        bias: (2, D).
        silu: whether SiLU follows.
        lengths: tokens of each clip, (B,), int32 or int64, from 0 to L. Tokens behind a clip's end are not read, give 0
            and get zero gradient.

    Returns:
        (2, B, L, D), in the dtype of x: the causal and the anti-causal result, both in natural order of time. Sums are
        float32 (float64 for float64), whatever the dtype of x. Gradients have the same bits on every run and with any
        number of threads.

    Raises:
        RuntimeError: an argument's shape, dtype, device or value does not fit; the message names it.

    Source: Zhu et al., "Vision Mamba", arXiv 2401.09417, algorithm 1: the convolutions in front of the scans.
    """
    return torch.ops.ssamba.bi_conv1d(x, weight, bias, silu, lengths)


@torch.library.register_fake("ssamba::bi_conv1d")
def _fake(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, silu: bool = False, lengths: Tensor | None = None
) -> Tensor:
    check_one_device("bi_conv1d", x=x, weight=weight, bias=bias, lengths=lengths)
    return x.new_empty((2, *x.shape))


@torch.library.register_fake("ssamba::bi_conv1d_backward")
def _fake_backward(
    dout: Tensor, x: Tensor, weight: Tensor, bias: Tensor | None, silu: bool, lengths: Tensor | None
) -> tuple[Tensor, ...]:
    return fake_conv_gradients(x, weight, bias)


def _setup_context(ctx: Any, inputs: tuple, output: Tensor) -> None:
    x, weight, bias, ctx.silu, lengths = inputs
    ctx.save_for_backward(x, weight, bias, lengths)


def _backward(ctx: Any, dout: Tensor) -> tuple[Tensor | None, ...]:
    x, weight, bias, lengths = ctx.saved_tensors
    dx, dweight, dbias = torch.ops.ssamba.bi_conv1d_backward(dout, x, weight, bias, ctx.silu, lengths)
    return dx, dweight, given(dbias, bias), None, None


register_derivatives("bi_conv1d", _setup_context, _backward)
register_autocast("bi_conv1d", ("x",))
