"""Masking of patches."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ssamba_ops.derivatives import register_derivatives
from ssamba_ops.registration import check_one_device, register_autocast


def patch_mask(x: Tensor, mask: Tensor, mask_token: Tensor, pos: Tensor | None = None) -> Tensor:
    """Puts the mask token in the place of masked patches and adds the positions, in one pass.

    ::

        out = where(mask, mask_token, x) + pos

    Args:
        x: patches, (B, P, D); float32, float64, float16 or bfloat16. Masked patches are not read and get zero gradient.
        mask: (B, P), bool, true where the mask token stands.
        mask_token: (D,), in the dtype of x or float32 (float64 with a float64 x), like pos. Under autocast x is cast
            and mask_token and pos are left as they are.
        pos: position embedding, (P, D).

    Returns:
        (B, P, D), in the dtype of x. Gradients are summed in float32 (float64 for float64), and have the same bits on
        every run and with any number of threads.

    Raises:
        RuntimeError: an argument's shape, dtype or device does not fit; the message names it.

    Source: Gong et al., "SSAST", arXiv 2110.09784, section 2.2.
    """
    return torch.ops.ssamba.patch_mask(x, mask, mask_token, pos)


@torch.library.register_fake("ssamba::patch_mask")
def _fake(x: Tensor, mask: Tensor, mask_token: Tensor, pos: Tensor | None = None) -> Tensor:
    check_one_device("patch_mask", x=x, mask=mask, mask_token=mask_token, pos=pos)
    return x.new_empty(x.shape)


@torch.library.register_fake("ssamba::patch_mask_backward")
def _fake_backward(dout: Tensor, mask: Tensor, pos: bool) -> tuple[Tensor, Tensor, Tensor]:
    wide = torch.float64 if dout.dtype == torch.float64 else torch.float32
    dpos = dout.new_empty(dout.shape[1:] if pos else (0,), dtype=wide)
    return dout.new_empty(dout.shape), dout.new_empty(dout.shape[-1:], dtype=wide), dpos


def _setup_context(ctx: Any, inputs: tuple, output: Tensor) -> None:
    _, mask, mask_token, pos = inputs
    ctx.mask_token_dtype, ctx.pos_dtype = mask_token.dtype, None if pos is None else pos.dtype
    ctx.save_for_backward(mask)


def _backward(ctx: Any, dout: Tensor) -> tuple[Tensor | None, ...]:
    (mask,) = ctx.saved_tensors
    dx, dmask_token, dpos = torch.ops.ssamba.patch_mask_backward(dout, mask, ctx.pos_dtype is not None)
    return dx, None, dmask_token.to(ctx.mask_token_dtype), None if ctx.pos_dtype is None else dpos.to(ctx.pos_dtype)


def _gradient(dout: Tensor, mask: Tensor, pos: bool) -> tuple[Tensor, Tensor, Tensor]:
    """As `ssamba::patch_mask_backward`, in plain torch."""
    wide = dout.to(torch.float64 if dout.dtype == torch.float64 else torch.float32)
    covered = mask.unsqueeze(-1)
    dpos = wide.sum(0) if pos else wide.new_empty(0)
    return dout.masked_fill(covered, 0), wide.masked_fill(~covered, 0).sum((0, 1)), dpos


register_derivatives("patch_mask", _setup_context, _backward, gradient_definition=_gradient)
register_autocast("patch_mask", ("x",))
