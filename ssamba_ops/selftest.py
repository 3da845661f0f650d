"""Compares the compiled ops with their definitions in `reference.py`, on this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

import ssamba_ops
from ssamba_ops import reference

# A float32 op on the sizes below is within a few 1e-6 of float64, relative to the largest value.
TOLERANCE = 1e-4


class Check(NamedTuple):
    """One op on one instruction set or GPU: the largest error of its result and gradients, relative to the largest
    value, or what it said when it did not run."""

    op: str
    isa: str
    error: float
    failure: str | None = None

    @property
    def passed(self) -> bool:
        return self.error <= TOLERANCE


def selftest() -> Iterator[Check]:
    """Runs every op, forward and backward, on every instruction set that is built and that this processor has."""
    for isa in ssamba_ops.available_cpu_isas():
        with ssamba_ops.cpu_isa(isa):
            checks = list(_checks(isa, torch.device("cpu")))
        yield from checks


def cuda_selftest(index: int) -> Iterator[Check]:
    """Runs every op, forward and backward, on a GPU."""
    device = torch.device("cuda", index)
    return _checks(str(device), device)


def _checks(name: str, device: torch.device) -> Iterator[Check]:
    for op, arguments in _cases().items():
        arguments = [x.to(device) if isinstance(x, Tensor) else x for x in arguments]
        yield _check(op, name, partial(_error, getattr(ssamba_ops, op), getattr(reference, op), arguments))
    yield _check("sample_patch_mask", name, partial(_mask_error, device))


def _check(op: str, name: str, error: Callable[[], float]) -> Check:
    try:
        return Check(op, name, error())
    except RuntimeError as failure:
        return Check(op, name, float("inf"), str(failure).splitlines()[0])


def _mask_error(device: torch.device) -> float:
    arguments = (4, 8, 16, 50, 3, 5, 7)
    mask = ssamba_ops.sample_patch_mask(*arguments, device=device).cpu()
    return 0.0 if torch.equal(mask, reference.sample_patch_mask(*arguments)) else float("inf")


def _cases() -> dict[str, list]:
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    B, L, D, N, W = 2, 45, 37, 16, 4
    lengths = torch.tensor([L, 20])
    mask = torch.rand(B, L, generator=generator) < 0.5
    scan = [normal(2, B, L, D), normal(2, B, L, D), -normal(2, D, N).abs(), normal(2, B, L, N), normal(2, B, L, N)]
    options = [normal(2, D), normal(B, L, D), normal(2, D)]
    one = [x[0] for x in scan] + [options[0][0], options[1], options[2][0], True, normal(B, D, N), True, lengths]
    return {
        "bi_scan": [*scan, *options, True, lengths],
        "selective_scan": one,
        "causal_conv1d": [normal(B, L, D), normal(D, W), normal(D), True, normal(B, W - 1, D), True, lengths],
        "bi_conv1d": [normal(B, L, D), normal(2, D, W), normal(2, D), True, lengths],
        "patch_mask": [normal(B, L, D), mask, normal(D), normal(L, D)],
    }


def _error(op: Callable, definition: Callable, arguments: list) -> float:
    def run(function: Callable, dtype: torch.dtype) -> list[Tensor]:
        leaves = [
            x.detach().to(dtype, copy=True).requires_grad_() if isinstance(x, Tensor) and x.is_floating_point() else x
            for x in arguments
        ]
        out = function(*leaves)
        out = out if isinstance(out, tuple) else (out,)
        sum(x.square().sum() for x in out).backward()
        return [*(x.detach() for x in out), *(x.grad for x in leaves if isinstance(x, Tensor) and x.requires_grad)]

    pairs = zip(run(op, torch.float32), run(definition, torch.float64), strict=True)
    errors = [((a.double() - e).abs().max() / e.abs().max().clamp_min(1e-30)).item() for a, e in pairs]
    return max(float("inf") if x != x else x for x in errors)
