"""Naming the layer where numbers stopped being finite."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn


class NonFiniteError(RuntimeError):
    """A loss or gradient is NaN or infinite; the message names the first layer at fault. Checkpoints are untouched."""

    exit_code = 1


def tensors_in(value: Any) -> Iterator[Tensor]:
    """Every floating-point tensor in nested tuples, lists and dicts."""
    if isinstance(value, Tensor):
        if value.is_floating_point():
            yield value
    elif isinstance(value, dict):
        yield from tensors_in(list(value.values()))
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from tensors_in(item)


def all_finite(value: Any) -> bool:
    return all(bool(torch.isfinite(tensor).all()) for tensor in tensors_in(value))


def first_nonfinite_module(model: nn.Module, forward: Callable[[], Any]) -> str | None:
    """Run `forward()` again with hooks on every module of `model`; describe the first whose output is not finite.

    Parameters are looked at first, since one that is not finite spoils every output. None if all is finite.
    """
    for name, parameter in model.named_parameters():
        if not all_finite(parameter):
            return f"the parameter {name} itself"
    found: list[str] = []

    def hook(name: str) -> Callable[..., None]:
        def look(module: nn.Module, inputs: Any, output: Any) -> None:
            if not found and not all_finite(output):
                state = "its input was finite" if all_finite(inputs) else "its input already was not finite"
                found.append(f"{name or 'the whole model'} ({type(module).__name__}; {state})")

        return look

    handles = [module.register_forward_hook(hook(name)) for name, module in model.named_modules()]
    try:
        with torch.no_grad():
            forward()
    finally:
        for handle in handles:
            handle.remove()
    return found[0] if found else None


def last_nonfinite_gradient(model: nn.Module) -> str | None:
    """Name of the parameter nearest to the output with a gradient not finite: where the backward pass first failed."""
    bad = [name for name, p in model.named_parameters() if p.grad is not None and not all_finite(p.grad)]
    return bad[-1] if bad else None
