"""What an op that is bound by memory moves, against a plain copy of the same bytes."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def rounds(provider: str) -> dict[str, int]:
    return {"rounds": 30, "warmup_rounds": 3} if provider in ("ssamba", "copy") else {"rounds": 7, "warmup_rounds": 2}


def report_bandwidth(benchmark, shape: dict[str, int], dtype: str, moved: int) -> None:
    """Notes the bytes that the op must read and write, and how fast the median round moved them."""
    if benchmark.enabled:
        benchmark.extra_info.update(
            shape=shape,
            dtype=dtype,
            threads=torch.get_num_threads(),
            bytes=moved,
            gigabytes_per_second=round(moved / benchmark.stats.stats.median / 1e9, 2),
        )


def check_against_reference(provider: Callable[..., Tensor], reference: Callable[..., Tensor], inputs: dict) -> None:
    """Once before timing, on a small shape: a fast wrong result is no result."""
    exact = {name: x.double() if x.is_floating_point() else x for name, x in inputs.items()}
    tolerance = 1e-4 if inputs["x"].dtype == torch.float32 else 3e-2
    torch.testing.assert_close(provider(**inputs).double(), reference(**exact), rtol=tolerance, atol=tolerance)
