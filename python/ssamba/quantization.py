"""Matrices of a model in int8, for inference on a CPU."""

from __future__ import annotations

import copy
import warnings
from functools import partial
from typing import TYPE_CHECKING, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

if TYPE_CHECKING:
    from .layers import Layer
    from .model import SSAMBA


class Int8Linear(nn.Module):
    """x W_qᵀ with a scale for each row of W; "dynamic" multiplies in int8, by the scale that each call's x has.

    "weight_only" keeps x as it is and multiplies by the restored matrix: a quarter of the memory, not faster.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None, kind: str) -> None:
        super().__init__()
        weight = weight.detach().float()
        scales = weight.abs().amax(dim=1).clamp(min=torch.finfo(torch.float32).tiny) / 127
        self.bias = None if bias is None else nn.Parameter(bias.detach().float(), requires_grad=False)
        if kind == "dynamic":
            self.packed = _packed(weight, scales, self.bias)
        else:
            self.packed = None
            self.register_buffer("scales", scales[:, None])
            self.register_buffer("rows", (weight / scales[:, None]).round().to(torch.int8))

    def halves(self) -> tuple[Int8Linear, Int8Linear]:
        """The maps to the first and to the second half of the outputs, of a "dynamic" one."""
        weight, bias = torch.ops.quantized.linear_unpack(self.packed)
        biases = (None, None) if bias is None else bias.chunk(2)
        first, second = map(partial(Int8Linear, kind="dynamic"), weight.dequantize().chunk(2), biases)
        return first, second

    def forward(self, x: Tensor) -> Tensor:
        if self.packed is None:
            return F.linear(x, (self.rows * self.scales).to(x.dtype), self.bias)
        # Half the range of x, or the sums of two products overflow 16 bits on processors without VNNI.
        return torch.ops.quantized.linear_dynamic(x.float().contiguous(), self.packed, True).to(x.dtype)

    def _save_to_state_dict(self, *_: object) -> None:
        raise NotImplementedError("weights in int8 cannot be saved; save the model that quantize_int8 copied")


def _packed(weight: Tensor, scales: Tensor, bias: Tensor | None) -> torch.ScriptObject:
    if not hasattr(torch, "quantize_per_channel"):
        raise NotImplementedError(
            f"torch {torch.__version__} has no int8 products for the CPU any more; use kind 'weight_only', or bfloat16"
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # torch 2.13 announces their removal
        zeros = torch.zeros_like(scales, dtype=torch.int64)
        rows = torch.quantize_per_channel(weight, scales.double(), zeros, 0, torch.qint8)
        return torch.ops.quantized.linear_prepack(rows, bias)


def quantize_int8(model: SSAMBA, kind: Literal["dynamic", "weight_only"] = "dynamic") -> SSAMBA:
    """A copy of a float32 model on the CPU with every mixer's in_proj and, for "weight_only", out_proj in int8.

    in_proj is half of the multiplications, and its input is normalised; the norm's affine map moves into the matrix.
    The input of out_proj has outliers: multiplied in int8 it changed 4 % of a classifier's answers, in_proj none. The
    copy is in evaluation mode; it cannot be trained or saved (NotImplementedError). Raises ValueError for an unknown
    kind or another dtype or device, NotImplementedError where torch has no int8 products.
    """
    if kind not in ("dynamic", "weight_only"):
        raise ValueError(f"kind is {kind!r}; choose 'dynamic' or 'weight_only'")
    parameter = model.pos_embed
    if parameter.dtype != torch.float32 or parameter.device.type != "cpu":
        raise ValueError(f"the model is {parameter.dtype} on {parameter.device}; give a float32 model on the CPU")
    model = copy.deepcopy(model).eval().requires_grad_(False)
    for layer in model.layers:
        layer.mixer.in_proj = Int8Linear(*_after_norm(layer), kind)
        if kind == "weight_only":
            layer.mixer.out_proj = Int8Linear(layer.mixer.out_proj.weight, None, kind)
    return model


def _after_norm(layer: Layer) -> tuple[Tensor, Tensor | None]:
    """Moves the norm's affine map into in_proj: its matrix and bias then, behind a norm that only normalises."""
    weight, norm = layer.mixer.in_proj.weight, layer.norm
    bias = None if norm.bias is None else weight @ norm.bias
    weight = weight * norm.weight
    norm.weight.fill_(1)
    if norm.bias is not None:
        norm.bias.zero_()
    return weight, bias
