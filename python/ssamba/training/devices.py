"""Where a program computes, and whether it is one of several."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from accelerate import PartialState
from accelerate.state import is_initialized

RENDEZVOUS = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")  # by which processes find each other

# By which torchrun, accelerate launch, Slurm and MPI tell a process that it is one of several.
LAUNCHER_VARIABLES = (
    *(*RENDEZVOUS, "LOCAL_WORLD_SIZE", "GROUP_RANK"),
    *("PMI_RANK", "PMI_SIZE", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
    *("MV2_COMM_WORLD_RANK", "MV2_COMM_WORLD_SIZE"),
)


def inference_device(name: str) -> torch.device:
    """The device that `auto`, `cpu`, `cuda` or `cuda:1` names; "auto" is the current GPU, or the CPU without one.

    Needs no other process, whatever a launcher's variables say. Raises ValueError for a device that is not there.
    """
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", name):
        raise ValueError(f"device is {name!r}, expected auto, cpu, cuda, or one of several GPUs such as cuda:1")
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "cpu" or (name == "auto" and not gpus):
        return torch.device("cpu")
    if not gpus:
        raise ValueError(f"device is {name}, but torch sees no GPU here; leave it out, or give cpu")
    device = torch.device("cuda" if name == "auto" else name)
    if (device.index or 0) >= gpus:
        known = "cuda:0" if gpus == 1 else f"cuda:0 to cuda:{gpus - 1}"
        raise ValueError(f"device is {name}, but torch sees {known} only (CUDA_VISIBLE_DEVICES may hide some)")
    return device


def is_main_process() -> bool:
    """Whether this process is the only one, or the first of those that an Accelerator has connected."""
    return not is_initialized() or PartialState().is_main_process


@contextmanager
def alone() -> Iterator[None]:
    """Inside, a launcher's variables are not to be seen: nothing waits for other processes."""
    hidden = {name: os.environ.pop(name) for name in LAUNCHER_VARIABLES if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(hidden)
