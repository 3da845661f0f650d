"""Matrices in int8, for inference on a CPU."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.flop_counter import flop_registry, register_flop_formula


class Int8Matrix(NamedTuple):
    """A matrix as rows · scales: 127 steps to each side of 0, for each row by itself."""

    rows: Tensor  # (N, K), int8
    scales: Tensor  # (N, 1), float32

    def chunk(self, count: int) -> list[Int8Matrix]:
        return [Int8Matrix(*part) for part in zip(self.rows.chunk(count), self.scales.chunk(count), strict=True)]

    @classmethod
    def cat(cls, parts: Sequence[Int8Matrix]) -> Int8Matrix:
        return cls(*(torch.cat(tensors) for tensors in zip(*parts, strict=True)))

    def restored(self) -> Tensor:
        """(N, K), float32."""
        return self.rows * self.scales


def quantise(weight: Tensor) -> Int8Matrix:
    """The matrix in int8 that is nearest to weight (N, K)."""
    weight = weight.detach().float()
    scales = weight.abs().amax(dim=1, keepdim=True).clamp(min=torch.finfo(torch.float32).tiny) / 127
    return Int8Matrix((weight / scales).round().to(torch.int8), scales)


class Int8Product:
    """x (…, K) → x Wᵀ + b (…, N), multiplied in int8 by the scale that each call's x has."""

    packed = True

    def __init__(self, matrix: Int8Matrix, bias: Tensor | None = None) -> None:
        if not hasattr(torch, "_make_per_channel_quantized_tensor"):
            raise NotImplementedError(
                f"torch {torch.__version__} has no int8 products for the CPU any more; use 'int8_weight_only', or "
                "bfloat16"
            )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # torch 2.13 announces their removal
            scales = matrix.scales.flatten().double()
            zeros = torch.zeros_like(scales, dtype=torch.int64)
            rows = torch._make_per_channel_quantized_tensor(matrix.rows.contiguous(), scales, zeros, 0)
            self._packed = torch.ops.quantized.linear_prepack(rows, bias)

    @property
    def weight(self) -> Int8Matrix:
        """W; a copy."""
        rows = torch.ops.quantized.linear_unpack(self._packed)[0]
        return Int8Matrix(rows.int_repr(), rows.q_per_channel_scales().float().unsqueeze(1))

    @property
    def bias(self) -> Tensor | None:
        return torch.ops.quantized.linear_unpack(self._packed)[1]

    def __call__(self, x: Tensor) -> Tensor:
        # Half the range of x, or the sums of two products overflow 16 bits on processors without VNNI.
        return torch.ops.quantized.linear_dynamic(x.float().contiguous(), self._packed, True).to(x.dtype)


class RestoredProduct:
    """x (…, K) → x Wᵀ + b (…, N) by the restored matrix: a quarter of the memory, not faster."""

    packed = False

    def __init__(self, matrix: Int8Matrix, bias: Tensor | None = None) -> None:
        self.weight, self.bias = matrix, bias

    def __call__(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight.restored().to(x.dtype), self.bias)


def _dynamic_flops(x_shape: torch.Size, packed: torch.ScriptObject, *_: object, **__: object) -> int:
    return 2 * x_shape.numel() * torch.ops.quantized.linear_unpack(packed)[0].shape[0]


_op = getattr(torch.ops.quantized, "linear_dynamic", None)
if _op is not None and _op not in flop_registry:
    register_flop_formula(_op)(_dynamic_flops)
