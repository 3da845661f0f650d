"""Products with matrices that stay as they are from one inference to the next."""

from __future__ import annotations

import platform

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.flop_counter import flop_registry, register_flop_formula

VECTOR = 16  # floats in the widest registers: products with whole vectors of outputs are faster


class Product:
    """x (…, K) → x Wᵀ + b (…, N), the matrix laid out once the way oneDNN multiplies, where that is faster.

    On two Zen 4 cores it reaches 210 to 225 GFLOP/s where `F.linear`, which goes to MKL, reaches 160 to 200
    (2026-11-25, float32, the shapes of tiny, 513 to 4,096 rows). Without gradient. A matrix in shared memory stays
    there, as it is.

    Args:
        weight: W (N, K).
        bias: b (N,).
    """

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        self.bias, self._outputs = bias, len(weight)
        plain = weight.is_cpu and weight.dtype == torch.float32 and not weight.is_shared()
        self.laid_out = plain and _onednn_packs()
        self._weight = _lay_out(weight, bias) if self.laid_out else weight
        self._filled = len(weight) % VECTOR if self.laid_out and bias is None else 0

    @property
    def weight(self) -> Tensor:
        """W (N, K); a copy if it was laid out."""
        return self._weight.to_dense()[: self._outputs] if self.laid_out else self._weight

    def __call__(self, x: Tensor) -> Tensor:
        if not self.laid_out:
            return F.linear(x, self._weight, self.bias)
        y = torch.ops.mkldnn._linear_pointwise(x, self._weight, self.bias, "none", [], "")
        return y[..., : self._outputs] if self._filled else y


def _lay_out(weight: Tensor, bias: Tensor | None) -> Tensor:
    if bias is None:
        weight = F.pad(weight, (0, 0, 0, -len(weight) % VECTOR))
    return torch.ops.mkldnn._reorder_linear_weight(weight.contiguous())


def _onednn_packs() -> bool:
    """Elsewhere than on x86, oneDNN hands products on to other libraries."""
    x86 = platform.machine() in ("x86_64", "AMD64")
    return x86 and torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


def _linear_flops(x_shape: torch.Size, weight_shape: torch.Size, *_: object, **__: object) -> int:
    return 2 * x_shape.numel() * weight_shape[0]


# torch's counter of operations does not know this op of torch.
_op = getattr(torch.ops.mkldnn, "_linear_pointwise", None)
if _op is not None and _op not in flop_registry:
    register_flop_formula(_op)(_linear_flops)
