"""Products with matrices that stay as they are: laid out once, for inference on a CPU."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ssamba_ops.derivatives import register_refusal

PANEL = 32  # outputs that lie side by side: kPanel in csrc/product.h


def pack_matrix(weight: Tensor) -> Tensor:
    """W (…, N, K) as panels (…, ceil(N / 32), K, 32): 32 outputs of an input side by side, zeros behind the last."""
    padded = F.pad(weight, (0, 0, 0, -weight.shape[-2] % PANEL))
    return padded.unflatten(-2, (-1, PANEL)).transpose(-2, -1).contiguous()


def unpack_matrix(packed: Tensor, outputs: int) -> Tensor:
    """The inverse of `pack_matrix` for one matrix: W (outputs, K), a copy."""
    return packed.transpose(1, 2).flatten(0, 1)[:outputs].contiguous()


def packed_linear(x: Tensor, weight: Tensor, bias: Tensor | None, outputs: int) -> Tensor:
    """x Wᵀ + b, (..., N), as `torch.nn.functional.linear` computes it.

    On the CPU only, and without gradient.

    Args:
        x: (..., K), float32, like all.
        weight: W as `pack_matrix` returns it, (ceil(N / 32), K, 32).
        bias: b (N,), or None.
        outputs: N.

    Raises:
        RuntimeError: an argument's shape, dtype or device does not fit, or weight is not contiguous.
        NotImplementedError: a gradient or tangent is wanted.
    """
    return torch.ops.ssamba.packed_linear(x, weight, bias, outputs)


@torch.library.register_fake("ssamba::packed_linear")
def _fake(x: Tensor, weight: Tensor, bias: Tensor | None, outputs: int) -> Tensor:
    return x.new_empty(*x.shape[:-1], outputs)


register_refusal("packed_linear", "call torch.nn.functional.linear")
