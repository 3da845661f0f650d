"""mambapy's parallel scan in plain torch, with what a layer does around it."""

from __future__ import annotations

from contextlib import ExitStack
from importlib import metadata
from typing import Any

import torch
from torch import Tensor

from ..scans import parallel_scan
from .comparison import Scan


def prepare(inputs: dict[str, Any], resources: ExitStack) -> Scan:
    arguments = {name: x for name, x in inputs.items() if isinstance(x, Tensor)}

    def run() -> Tensor:
        with torch.inference_mode():
            return parallel_scan(**arguments)

    return Scan(run, metadata.version("mambapy"), torch.backends.cpu.get_cpu_capability())
