"""This library's scan."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor

import ssamba_ops
from ssamba_ops.isa import current_cpu_isa

from .comparison import Scan


def prepare(inputs: dict[str, Any], resources: ExitStack) -> Scan:
    def run() -> Tensor:
        with torch.inference_mode():
            return ssamba_ops.selective_scan(**inputs)[0]

    return Scan(run, instructions=current_cpu_isa())
