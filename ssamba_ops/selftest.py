"""Compares the compiled ops with their definitions in `reference.py`, on this machine."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from functools import cache, partial
from typing import NamedTuple

import torch
from torch import Tensor

import ssamba_ops
from ssamba_ops import reference

# On the sizes below a float32 op is within a few 1e-6 of float64, relative to the largest value, and one of bfloat16
# within 1e-2.
TOLERANCE, BFLOAT16_TOLERANCE = 1e-4, 5e-2
# Channels: those of float32 with edges, those of bfloat16 in whole packs, as models have them.
CHANNELS = {torch.float32: 37, torch.bfloat16: 40}

CPU = torch.device("cpu")
_thread = threading.local()


class Check(NamedTuple):
    """One op on one instruction set or GPU: the largest error of its result and gradients, relative to the largest
    value, or what it said when it did not run."""

    op: str
    isa: str
    error: float
    failure: str | None = None
    tolerance: float = TOLERANCE

    @property
    def passed(self) -> bool:
        return self.error <= self.tolerance


def selftest() -> Iterator[Check]:
    """Runs every op, forward and backward, on every instruction set that is built and that this processor has."""
    for isa in ssamba_ops.available_cpu_isas():
        with ssamba_ops.cpu_isa(isa):
            checks = run_on(CPU, isa)
        yield from checks


def cuda_selftest(index: int) -> list[Check]:
    """Runs every op, forward and backward, on a GPU."""
    with torch.cuda.device(index):
        return run_on(torch.device("cuda", index))


def is_running() -> bool:
    """Whether this thread is in a self-test, for which kernels run that nobody has checked yet."""
    return getattr(_thread, "running", False)


def run_on(device: torch.device, name: str | None = None) -> list[Check]:
    """Runs every op, forward and backward, on a device; checks bear its name, or another."""
    name = name or str(device)
    _thread.running = True
    try:
        with torch.autograd.set_multithreading_enabled(False):  # gradients of a GPU stay in this thread
            everywhere = [op for op in _cases() if op not in _ON_CPU]
            checks = [_check(op, name, partial(_error, op, device)) for op in everywhere]
            for op in everywhere:
                error = partial(_error, op, device, torch.bfloat16)
                checks.append(_check(f"{op}, bfloat16", name, error)._replace(tolerance=BFLOAT16_TOLERANCE))
            checks.append(_check("sample_patch_mask", name, partial(_mask_error, device)))
            if device == CPU:  # ops of the CPU alone
                checks += [_check(op, name, error) for op, error in _ON_CPU.items()]
            return checks
    finally:
        _thread.running = False


def _check(op: str, name: str, error: Callable[[], float]) -> Check:
    try:
        return Check(op, name, error())
    except RuntimeError as failure:
        return Check(op, name, float("inf"), str(failure).splitlines()[0])


def _mask_error(device: torch.device) -> float:
    arguments = (4, 8, 16, 50, 3, 5, 7)
    mask = ssamba_ops.sample_patch_mask(*arguments, device=device).cpu()
    return 0.0 if torch.equal(mask, reference.sample_patch_mask(*arguments)) else float("inf")


@torch.no_grad()
def _product_error() -> float:
    x, weight = _cases()["patch_mask"][0], torch.randn(45, 37, generator=torch.Generator().manual_seed(1))
    expected = x.double() @ weight.double().mT
    error = ssamba_ops.packed_linear(x, ssamba_ops.pack_matrix(weight), None, len(weight)) - expected
    return (error.abs().max() / expected.abs().max()).item()


@cache
def _mixer() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(2)
    B, L, D, E, N, r, W = 2, 45, 24, 37, 16, 3, 4
    shapes = {"s": (B, L, D), "x": (B, L, D), "in_proj": (2, E, D), "in_bias": (2, E), "conv": (2, E, W)}
    shapes |= {"conv_bias": (2, E), "x_proj": (2, r + 2 * N, E), "dt_proj": (2, E, r), "dt_bias": (2, E)}
    shapes |= {"A": (2, E, N), "D": (2, E), "out_proj": (D, E)}
    given = {name: torch.randn(shape, generator=generator) / shape[-1] ** 0.5 for name, shape in shapes.items()}
    return given | {"A": -given["A"].abs()}


@torch.no_grad()
def _packed_mixer_error() -> float:
    given = _mixer()
    expected = reference.packed_mixer(**{name: x.double() for name, x in given.items()})
    matrices = {name: ssamba_ops.pack_matrix(given[name]) for name in ("in_proj", "x_proj", "out_proj")}
    state = given["s"].clone()
    ssamba_ops.packed_mixer(**given | matrices | {"s": state})
    return ((state - expected).abs().max() / expected.abs().max()).item()


_ON_CPU = {
    "bi_mixer": lambda: _error("bi_mixer", CPU),
    "packed_linear": _product_error,
    "packed_mixer": _packed_mixer_error,
}


@cache
def _cases(dtype: torch.dtype = torch.float32) -> dict[str, list]:
    """Arguments of each op: activations in `dtype`, parameters and states in float32."""
    generator = torch.Generator().manual_seed(0)

    def parameter(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    def normal(*shape: int) -> Tensor:
        return parameter(*shape).to(dtype)

    B, L, D, N, W = 2, 45, CHANNELS[dtype], 16, 4
    lengths = torch.tensor([L, 20])
    mask = torch.rand(B, L, generator=generator) < 0.5
    scan = [normal(2, B, L, D), normal(2, B, L, D), -parameter(2, D, N).abs(), normal(2, B, L, N), normal(2, B, L, N)]
    options = [parameter(2, D), normal(B, L, D), parameter(2, D)]
    one = [x[0] for x in scan] + [options[0][0], options[1], options[2][0], True, parameter(B, D, N), True, lengths]
    mixer = {name: x for name, x in _mixer().items() if name != "s"}
    mixer |= {name: mixer[name].flatten(0, 1) for name in ("in_proj", "in_bias")}
    return {
        "bi_mixer": [*mixer.values(), lengths],
        "bi_scan": [*scan, *options, True, lengths],
        "selective_scan": one,
        "causal_conv1d": [normal(B, L, D), parameter(D, W), parameter(D), True, normal(B, W - 1, D), True, lengths],
        "bi_conv1d": [normal(B, L, D), parameter(2, D, W), parameter(2, D), True, lengths],
        "patch_mask": [normal(B, L, D), mask, parameter(D), parameter(L, D)],
    }


@cache
def _expected(op: str, dtype: torch.dtype) -> list[Tensor]:
    """By the definition, in float64 and on the CPU whatever is tested."""
    return _results_and_gradients(getattr(reference, op), _cases(dtype)[op], CPU, torch.float64)


def _error(op: str, device: torch.device, dtype: torch.dtype = torch.float32) -> float:
    actual = _results_and_gradients(getattr(ssamba_ops, op), _cases(dtype)[op], device)
    pairs = zip(actual, _expected(op, dtype), strict=True)
    errors = [((a.double() - e).abs().max() / e.abs().max().clamp_min(1e-30)).item() for a, e in pairs]
    return max(float("inf") if x != x else x for x in errors)


def _results_and_gradients(
    function: Callable, given: list, device: torch.device, dtype: torch.dtype | None = None
) -> list[Tensor]:
    """In `dtype`, or as the arguments are given."""

    def leaf(x: object) -> object:
        if not isinstance(x, Tensor):
            return x
        return x.to(device, dtype or x.dtype, copy=True).requires_grad_() if x.is_floating_point() else x.to(device)

    leaves = [leaf(x) for x in given]
    out = function(*leaves)
    out = out if isinstance(out, tuple) else (out,)
    sum(x.square().sum() for x in out).backward()
    gradients = [x.grad for x in leaves if isinstance(x, Tensor) and x.requires_grad]
    return [x.detach().cpu() for x in (*out, *gradients)]
