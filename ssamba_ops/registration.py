"""What every op registers beside its kernel: gradient, autocast, and clear answers where there is no kernel to ask."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

# Autocast keys and the devices they stand for.
AUTOCAST_KEYS = {"AutocastCPU": "cpu", "AutocastCUDA": "cuda"}

_registrations = []


def given(gradient: Tensor, of: Tensor | None) -> Tensor | None:
    """The gradient, or None where the op was called without the input."""
    return None if of is None else gradient


def check_one_device(op: str, **tensors: Tensor | None) -> None:
    """Raises RuntimeError unless all tensors are on the first one's device. For fakes: kernels check it themselves."""
    present = [(name, x) for name, x in tensors.items() if x is not None]
    first, reference = present[0]
    for name, x in present:
        if x.device != reference.device:
            raise RuntimeError(
                f"{op}: {name} is on {x.device} and {first} on {reference.device}; expected all tensors on one device"
            )


def register_gradient(
    op: str,
    setup_context: Callable[..., None],
    backward: Callable[..., Any],
    results: Callable[[tuple], Any] | None = None,
) -> None:
    """Registers the gradient of `ssamba::<op>`, which calls `ssamba::<op>_backward`, itself not differentiable.

    With `results`, `ssamba::<op>_forward` stands for the op where a gradient is wanted: it also returns what the
    backward pass starts from, and `results` takes from its outputs those of the op.
    """
    torch.library.register_autograd(
        f"ssamba::{op}{'_forward' if results else ''}", backward, setup_context=setup_context
    )
    if results:
        _train_through_forward(op, results)

    def refuse(ctx: Any, *gradients: Tensor) -> None:
        raise NotImplementedError(
            f"ssamba::{op} has no second derivative. Differentiate ssamba_ops.reference.{op} instead, "
            "which is plain torch and slow."
        )

    torch.library.register_autograd(f"ssamba::{op}_backward", refuse)


def _train_through_forward(op: str, results: Callable[[tuple], Any]) -> None:
    inference = getattr(torch.ops.ssamba, op).default
    training = getattr(torch.ops.ssamba, f"{op}_forward").default
    defaults = [argument.default_value for argument in inference._schema.arguments]

    def kernel(*args: Any) -> Any:
        if torch.is_grad_enabled() and any(isinstance(x, Tensor) and x.requires_grad for x in args):
            return results(training(*args, *defaults[len(args) :]))
        with torch._C._AutoDispatchBelowAutograd():
            return inference(*args)

    library = torch.library.Library("ssamba", "IMPL", "Autograd")
    library.impl(op, kernel)
    _registrations.append(library)


def register_autocast(op: str, activations: Sequence[str]) -> None:
    """Under autocast, casts the named arguments of `ssamba::<op>` to the autocast dtype and leaves all others alone."""
    overload = getattr(torch.ops.ssamba, op).default
    names = [argument.name for argument in overload._schema.arguments]
    positions = [names.index(name) for name in activations]

    def cast(x: Tensor | None, device: str) -> Tensor | None:
        castable = x is not None and x.is_floating_point() and x.dtype != torch.float64
        return x.to(torch.get_autocast_dtype(device)) if castable else x

    for key, device in AUTOCAST_KEYS.items():

        def kernel(*args: Any, key: str = key, device: str = device, **kwargs: Any) -> Any:
            args = [cast(x, device) if i in positions else x for i, x in enumerate(args)]
            kwargs = {name: cast(x, device) if name in activations else x for name, x in kwargs.items()}
            with torch._C._ExcludeDispatchKeyGuard(torch._C.DispatchKeySet(getattr(torch._C.DispatchKey, key))):
                return overload(*args, **kwargs)

        library = torch.library.Library("ssamba", "IMPL", key)
        library.impl(op, kernel)
        _registrations.append(library)
