"""The depthwise causal convolution in one direction of time."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ssamba_ops.derivatives import given, register_derivatives
from ssamba_ops.registration import check_one_device, register_autocast


def causal_conv1d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    silu: bool = False,
    initial_state: Tensor | None = None,
    reverse: bool = False,
    lengths: Tensor | None = None,
) -> Tensor:
    """Filters every channel of a sequence with its own few taps, looking at past tokens only.

    ::

        y_t = bias + Σ_k weight[:, k] x_{t-(W-1)+k}        the last tap weighs the current token
        y_t = bias + Σ_k weight[:, k] x_{t+(W-1)-k}        if reverse: the same filter against time
        out = y · sigmoid(y) if silu, else y

    Args:
        x: input, (B, L, D); float32, float64, float16 or bfloat16.
        weight: taps, (D, W) with W >= 1, in the order of `torch.nn.Conv1d.weight[:, 0, :]`. In the dtype of x or
            float32 (float64 with a float64 x), like bias. Under autocast x is cast and weight and bias are left as they
            are.
        bias: (D,).
        silu: whether SiLU follows.
        initial_state: the W-1 tokens before the clip in time order, (B, W-1, D), in the dtype of x; if reverse, the W-1
            tokens that follow the clip's own last token. Zeros if not given.
        reverse: look at the tokens that follow, from the clip's own end backward.
        lengths: tokens of each clip, (B,), int32 or int64, from 0 to L. Tokens behind a clip's end are not read, give 0
            and get zero gradient.

    Returns:
        (B, L, D), in the dtype of x. Sums are float32 (float64 for float64), whatever the dtype of x. Gradients have
        the same bits on every run and with any number of threads.

    Raises:
        RuntimeError: an argument's shape, dtype, device or value does not fit; the message names it.

    Source: Gu and Dao, "Mamba", arXiv 2312.00752, section 3.4: the convolution in front of the scan.
    """
    return torch.ops.ssamba.causal_conv1d(x, weight, bias, silu, initial_state, reverse, lengths)


def fake_conv_gradients(x: Tensor, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of a convolution as far as shapes and dtypes go; an empty tensor stands for a bias not given."""
    wide = torch.float64 if x.dtype == torch.float64 else torch.float32
    dbias = x.new_empty((0,), dtype=wide) if bias is None else bias.new_empty(bias.shape)
    return x.new_empty(x.shape), weight.new_empty(weight.shape), dbias


@torch.library.register_fake("ssamba::causal_conv1d")
def _fake(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    silu: bool = False,
    initial_state: Tensor | None = None,
    reverse: bool = False,
    lengths: Tensor | None = None,
) -> Tensor:
    check_one_device("causal_conv1d", x=x, weight=weight, bias=bias, initial_state=initial_state, lengths=lengths)
    return x.new_empty(x.shape)


@torch.library.register_fake("ssamba::causal_conv1d_backward")
def _fake_backward(
    dout: Tensor,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    silu: bool,
    initial_state: Tensor | None,
    reverse: bool,
    lengths: Tensor | None,
) -> tuple[Tensor, ...]:
    return *fake_conv_gradients(x, weight, bias), x.new_empty((0,) if initial_state is None else initial_state.shape)


def _setup_context(ctx: Any, inputs: tuple, output: Tensor) -> None:
    x, weight, bias, ctx.silu, initial_state, ctx.reverse, lengths = inputs
    ctx.save_for_backward(x, weight, bias, initial_state, lengths)


def _backward(ctx: Any, dout: Tensor) -> tuple[Tensor | None, ...]:
    x, weight, bias, initial_state, lengths = ctx.saved_tensors
    dx, dweight, dbias, dinitial_state = torch.ops.ssamba.causal_conv1d_backward(
        dout, x, weight, bias, ctx.silu, initial_state, ctx.reverse, lengths
    )
    return dx, dweight, given(dbias, bias), None, given(dinitial_state, initial_state), None, None


register_derivatives("causal_conv1d", _setup_context, _backward)
register_autocast("causal_conv1d", ("x", "initial_state"))
