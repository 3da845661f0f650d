"""Products with matrices that stay as they are from one inference to the next."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ssamba_ops import pack_matrix, packed_linear, unpack_matrix


class Product:
    """x (…, K) → x Wᵀ + b (…, N), in float32 with the matrix packed. Without gradient.

    Args:
        weight: W (N, K).
        bias: b (N,).
        packed: W as `pack_matrix` returns it, if it lies somewhere already.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None = None, packed: Tensor | None = None) -> None:
        self.bias, self._outputs = bias, len(weight)
        self.packed = is_packed(weight)
        if self.packed:
            weight = pack_matrix(weight) if packed is None else packed
        self._weight = weight

    @property
    def weight(self) -> Tensor:
        """W (N, K); a copy if it was packed."""
        return unpack_matrix(self._weight, self._outputs) if self.packed else self._weight

    def __call__(self, x: Tensor) -> Tensor:
        if not self.packed:
            return F.linear(x, self._weight, self.bias)
        return packed_linear(x, self._weight, self.bias, self._outputs)


def is_packed(weight: Tensor) -> bool:
    """Whether a matrix is held packed; one in shared memory stays there, as it is."""
    return weight.is_cpu and weight.dtype == torch.float32 and not weight.is_shared()
