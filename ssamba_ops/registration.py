"""What an op registers beside its kernels and derivatives: autocast, and clear answers where no kernel is asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

# Autocast keys and the devices they stand for.
AUTOCAST_KEYS = {"AutocastCPU": "cpu", "AutocastCUDA": "cuda"}

_registrations = []


def check_one_device(op: str, **tensors: Tensor | None) -> None:
    """Raises RuntimeError unless all tensors are on the first one's device. For fakes: kernels check it themselves."""
    present = [(name, x) for name, x in tensors.items() if x is not None]
    first, reference = present[0]
    for name, x in present:
        if x.device != reference.device:
            raise RuntimeError(
                f"{op}: {name} is on {x.device} and {first} on {reference.device}; expected all tensors on one device"
            )


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
