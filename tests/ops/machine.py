"""Where the op tests run: on the CPU, on the emulated GPU (`make simt`), or on a GPU (`pytest -m cuda`).

Tests draw their inputs without naming a device. On a GPU, what they make is put there; random numbers are drawn on the
CPU first, so that they are the same everywhere. On the emulated GPU tensors are the CPU's.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._device import _device_constructors

import emulator
import ssamba_ops
from ssamba_ops._library import cuda_problem

_device = torch.device("cpu")


def device() -> torch.device:
    """The device of the running test's tensors."""
    return _device


def machines(asked_for_cuda: bool) -> list:
    """(machine, instruction set) for a test: all instruction sets of this processor, and a GPU if there is one."""
    if emulator.LIBRARY is not None:
        return [("emulated", "emulated")]
    cpu = [("cpu", isa) for isa in ssamba_ops.available_cpu_isas()]
    with_gpu = asked_for_cuda or torch.cuda.is_available()
    return cpu + ([pytest.param("cuda", "cuda", marks=pytest.mark.cuda)] if with_gpu else [])


@contextlib.contextmanager
def on_gpu() -> Iterator[None]:
    global _device
    if problem := cuda_problem():
        pytest.skip(f"needs a GPU: {problem}")
    _device = torch.device("cuda")
    try:
        with MadeOn(_device):
            yield
    finally:
        _device = torch.device("cpu")


class MadeOn(TorchFunctionMode):
    """Puts on a device what is made without naming one."""

    def __init__(self, target: torch.device):
        super().__init__()
        self.target, self.constructors = target, _device_constructors()

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func is torch.from_numpy or (func in self.constructors and kwargs.get("generator") is not None):
            return func(*args, **kwargs).to(self.target)
        if func in self.constructors and kwargs.get("device") is None:
            kwargs = kwargs | {"device": self.target}
        return func(*args, **kwargs)
