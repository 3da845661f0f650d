"""When the weights of a module may be used without calling it.

Fused ops compute from weights what several modules compute when they are called. The result is the same as long as the
call would do nothing but what its class says, with the weights that lie there. `reason_to_call` is the one place that
decides it; what it names is called, and what cannot call it refuses by that name.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.modules import module as torch_module

M = TypeVar("M", bound=nn.Module)

_written: dict[type[nn.Module], Callable[..., Tensor]] = {}
_OWN_HOOKS = {
    "_forward_pre_hooks": "forward pre-hook",  # pruning and the old weight_norm make the weight there
    "_forward_hooks": "forward hook",
    "_backward_pre_hooks": "backward pre-hook",
    "_backward_hooks": "backward hook",
}
_HOOKS_ON_ALL = (
    "_global_forward_pre_hooks",
    "_global_forward_hooks",
    "_global_backward_pre_hooks",
    "_global_backward_hooks",
)


def reason_to_call(module: nn.Module, kind: type[nn.Module], tensors: Collection[str] = ()) -> str | None:
    """Why `module` must be called to get what a call gives, as the end of a sentence; None if its weights will do.

    `kind` is the class it was made as, which is `readable`; `tensors` the parameters that its weights are taken from.
    """
    if type(module) is not kind:  # an adapter, a quantised or parametrised layer, a sharded one
        return f"is a {type(module).__module__}.{type(module).__qualname__}"
    if kind.forward is not _written.get(kind):
        return "has a forward that was put in the place of its own"
    if reason := watched(module):
        return reason
    if module._compiled_call_impl is not None:
        return "was compiled by itself"
    return _other_tensors(module, tensors)


def watched(module: nn.Module) -> str | None:
    """What was hung on a module, whatever it is, that acts when it is called; None if nothing."""
    if "forward" in module.__dict__:
        return "has a forward that was put in the place of its own"
    for name, what in _OWN_HOOKS.items():
        for hook in getattr(module, name).values():
            return f"has a {what} ({getattr(hook, '__qualname__', type(hook).__qualname__)})"
    if any(getattr(torch_module, name) for name in _HOOKS_ON_ALL):
        return "is watched by hooks on all modules"
    return None


def readable(kind: type[M]) -> type[M]:
    """Notes the forward of a class as it is written, so that one put in its place is told from it; a decorator."""
    forward = kind.forward
    if (forward.__module__, forward.__qualname__) == (kind.__module__, f"{kind.__qualname__}.forward"):
        _written[kind] = forward
    return kind


def _other_tensors(module: nn.Module, tensors: Collection[str]) -> str | None:
    parameters = module._parameters
    for name in tensors:
        if parameters.get(name) is None:
            return f"has no parameter {name}"
    for name, parameter in parameters.items():
        if parameter is None:
            continue
        if tensors and name not in tensors:
            return f"has a {name} as well"
        # Sharded and quantised weights are tensors of classes of their own; those of a tracer stand for plain ones.
        if type(parameter) not in (Tensor, nn.Parameter) and not torch.compiler.is_compiling():
            return f"has a {name} that is a {type(parameter).__qualname__}"
    return None


for _kind in (nn.Linear, nn.Conv1d, nn.Conv2d):
    readable(_kind)
