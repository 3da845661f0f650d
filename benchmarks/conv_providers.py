"""The depthwise convolution as each provider computes it, on the same inputs; SiLU included."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

import ssamba_ops
from ssamba_ops import reference

WIDTH = 4


def conv_inputs(batch: int, length: int, channels: int, dtype: torch.dtype, directions: bool) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    two = (2,) if directions else ()
    return {
        "x": torch.randn(batch, length, channels, generator=generator).to(dtype),
        "weight": torch.randn(*two, channels, WIDTH, generator=generator) / WIDTH**0.5,
        "bias": torch.randn(*two, channels, generator=generator),
    }


def torch_conv1d(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """What a model without this library does: channels first, a padded grouped convolution, SiLU, channels last again."""
    weight, bias = weight.to(x.dtype).unsqueeze(1), bias.to(x.dtype)
    y = F.conv1d(x.mT, weight, bias, padding=WIDTH - 1, groups=x.shape[2])[..., : x.shape[1]]
    return F.silu(y).mT.contiguous()


def torch_bi_conv1d(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    backward = torch_conv1d(x.flip(1), weight[1], bias[1]).flip(1)
    return torch.stack([torch_conv1d(x, weight[0], bias[0]), backward])


def causal_reference(**inputs: Tensor) -> Tensor:
    return reference.causal_conv1d(**inputs, silu=True)


def bi_reference(**inputs: Tensor) -> Tensor:
    return reference.bi_conv1d(**inputs, silu=True)


CAUSAL_PROVIDERS: dict[str, Callable[..., Tensor]] = {
    "ssamba": lambda **inputs: ssamba_ops.causal_conv1d(**inputs, silu=True),
    "reference": causal_reference,
    "compile": torch.compile(causal_reference),
    "F.conv1d": torch_conv1d,
    "copy": lambda x, weight, bias: x.clone(),
}
BI_PROVIDERS: dict[str, Callable[..., Tensor]] = {
    "ssamba": lambda **inputs: ssamba_ops.bi_conv1d(**inputs, silu=True),
    "reference": bi_reference,
    "compile": torch.compile(bi_reference),
    "F.conv1d": torch_bi_conv1d,
    "copy": lambda x, weight, bias: x.expand(2, *x.shape).contiguous(),
}
