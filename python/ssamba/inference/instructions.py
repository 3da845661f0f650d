"""What this processor multiplies in by instructions made for it, and what a product costs where it has none."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from .frozen_stack import FLOATS, INT8
from .products import Product
from .quantization import quantise

# By the names of torch.cpu.get_capabilities, of x86 and of ARM; any one of them is enough.
_MADE_FOR = {
    "bfloat16": ("avx512_bf16", "amx_bf16", "bf16", "sve_bf16"),
    "float16": ("avx512_fp16", "amx_fp16", "fp16_arith"),
    "int8": ("avx512_vnni", "avx_vnni", "amx_int8", "dot", "i8mm"),
}
KINDS = tuple(_MADE_FOR)
_ROWS, _ROUNDS = 128, 3  # of the products that are timed: a tenth of a second for the base model where they are slow


def instructions(kind: str) -> list[str]:
    """Those of this processor that were made for products in `kind`, one of `KINDS`."""
    known = _capabilities()
    return [name for name in _MADE_FOR[kind] if known.get(name)]


def without_instructions(kind: str, width: int) -> str | None:
    """What to know before multiplying in `kind` on this processor, if it has no instructions for it.

    None for float32 and the like, and where torch does not say what the processor has. What a product of a model of
    this width takes beside float32 is measured: it depends on processor, torch and threads.
    """
    lacking = [name for name in _MADE_FOR.get(kind, ()) if name in _capabilities()]  # those of this architecture
    if not lacking or instructions(kind):
        return None
    times = _beside_float32(kind, width)
    advice = "; float32 is faster here" if times > 1 else ""
    return (
        f"this processor has no instructions for products in {kind} ({', '.join(lacking).upper()}): one of this model "
        f"took {times:.2g} times as long as in float32 when tried{advice}"
    )


def _capabilities() -> Mapping[str, Any]:
    """Empty where torch has no public way to ask."""
    return getattr(torch.cpu, "get_capabilities", dict)()


@torch.inference_mode()
def _beside_float32(kind: str, width: int) -> float:
    x, weight = torch.randn(_ROWS, width), torch.randn(4 * width, width)
    return _best_of(*_product(kind, x, weight)) / _best_of(*_product("float32", x, weight))


def _product(kind: str, x: Tensor, weight: Tensor) -> tuple[Callable[[Tensor], Tensor], Tensor]:
    """As a frozen encoder multiplies."""
    if kind in INT8:
        return INT8[kind](quantise(weight)), x
    return Product(weight.to(FLOATS[kind])), x.to(FLOATS[kind])


def _best_of(multiply: Callable[[Tensor], Tensor], x: Tensor) -> float:
    def timed() -> float:
        begin = time.perf_counter()
        multiply(x)
        return time.perf_counter() - begin

    timed()
    return min(timed() for _ in range(_ROUNDS))
