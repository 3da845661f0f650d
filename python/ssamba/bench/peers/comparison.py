"""What every peer gets, and what it has to give before it is timed."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ssamba_ops import reference

from ..case import Case
from ..scans import bi_scan_inputs
from ..work import Work
from .registry import PEERS, written_for

STATES = 16
TOLERANCE = 1e-4  # relative and absolute, as in the benchmarks of the ops


@dataclass
class Scan:
    """A peer ready to run: `run` gives y (B, L, D). `instructions` names its vectors, where it tells."""

    run: Callable[[], Tensor]
    version: str = ""
    instructions: str = ""


def peer_work(case: Case) -> Work:
    """The scan of a peer, checked; raises RuntimeError, or ImportError where it is not installed, in one sentence."""
    peer = PEERS[case.provider]
    inputs = scan_inputs(case.detail, case.batch, case.tokens, 2 * case.width, STATES)
    with ExitStack() as resources:
        try:
            scan = import_module(f".{peer.module}", __package__).prepare(inputs, resources)
            check(scan.run(), inputs)
        except (ImportError, MemoryError):
            raise
        except Exception as error:  # whatever breaks in a peer, the others are measured
            raise RuntimeError(in_a_sentence(error) + written_for(case.provider)) from error
        about = {"version": scan.version, "instructions": scan.instructions}
        return Work(scan.run, notes=about, resources=resources.pop_all(), memory=False)


def in_a_sentence(error: Exception) -> str:
    what, *_ = str(error).splitlines() or [""]
    return what if isinstance(error, RuntimeError) else f"{type(error).__name__}: {what}"


def scan_inputs(computed: str, batch: int, length: int, channels: int, state: int) -> dict[str, Any]:
    """Arguments of `ssamba_ops.selective_scan` for what is `computed`; the step sizes are the same for all."""
    both = bi_scan_inputs(batch, length, channels, state, torch.float32)
    x = {name: x if name == "z" else x[0] for name, x in both.items()}
    if computed != "gated":
        del x["z"], x["D"]
        x["delta"] = x["delta"] + x.pop("delta_bias")
    if computed == "given":
        x["delta"] = F.softplus(x["delta"])
    return {**x, "delta_softplus": computed != "given"}


def check(y: Tensor, inputs: dict[str, Any]) -> None:
    """Raises RuntimeError unless y (B, L, D) is what the reference computes in float64."""
    exact = {name: x.double() if isinstance(x, Tensor) else x for name, x in inputs.items()}
    wanted, _ = reference.selective_scan(**exact)
    if y.shape != wanted.shape:
        raise RuntimeError(f"its result is {tuple(y.shape)}, expected {tuple(wanted.shape)}")
    if not torch.allclose(y.double(), wanted, rtol=TOLERANCE, atol=TOLERANCE):
        worst = (y - wanted).abs().max().item()
        raise RuntimeError(f"its numbers are wrong: {worst:.2g} off the reference in float64, expected {TOLERANCE:g}")
