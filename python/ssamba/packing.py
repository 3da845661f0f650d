"""From the named parameters of layers to the packed weights of `mixing`, and keeping those between inferences."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.optim.optimizer import Optimizer, register_optimizer_step_post_hook

from .mixing import MixerWeights

if TYPE_CHECKING:
    from .layers import BidirectionalMamba, Norm


def pack(
    mixers: Sequence[BidirectionalMamba], swaps: Sequence[bool], norms: Sequence[Norm] | None = None
) -> MixerWeights:
    """Weights of mixers side by side; `swaps` says which of them read reversed time. Differentiable.

    With `norms`, one for each mixer, their affine maps are folded into the input matrices. in_proj or out_proj is left
    out if another module stands in its place.
    """
    like = mixers[0].x_proj.weight
    wide, product = torch.promote_types(like.dtype, torch.float32), product_dtype(like)
    in_proj = in_bias = out_proj = None
    if all(type(mixer.in_proj) is nn.Linear for mixer in mixers):
        in_proj = torch.stack([mixer.in_proj.weight.unflatten(0, (2, -1)) for mixer in mixers], dim=1)  # (2, G, E, D)
    if all(type(mixer.out_proj) is nn.Linear for mixer in mixers):
        out_proj = torch.stack([mixer.out_proj.weight for mixer in mixers], dim=1).to(product) / 2
    if norms is not None and in_proj is not None:
        if norms[0].bias is not None:
            biases = torch.stack([norm.bias for norm in norms]).to(wide)  # (G, D)
            in_bias = torch.matmul(in_proj.to(wide), biases.unsqueeze(-1)).squeeze(-1).to(product)
        in_proj = in_proj.to(wide) * torch.stack([norm.weight for norm in norms]).to(wide).unsqueeze(1)
    sides = [mixer.directions(swap) for mixer, swap in zip(mixers, swaps, strict=True)]  # G times (2 directions)

    def stacked(name: str) -> Tensor:
        return torch.stack([torch.stack([getattr(side[r], name) for side in sides]) for r in range(2)])

    return MixerWeights(
        in_proj=None if in_proj is None else in_proj.to(product),
        in_bias=in_bias,
        conv=stacked("conv").to(wide),
        conv_bias=stacked("conv_bias").to(wide),
        x_proj=stacked("x_proj").to(product),
        dt_proj=stacked("dt_proj").to(product),
        dt_bias=stacked("dt_bias").to(wide),
        A=-torch.exp(stacked("A_log").to(wide)),
        D=stacked("D").to(wide),
        out_proj=out_proj,
    )


def product_dtype(weight: Tensor) -> torch.dtype:
    """What matrices are multiplied in: the autocast dtype where autocast is on."""
    device = weight.device.type
    casts = torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)  # not there for meta
    return torch.get_autocast_dtype(device) if casts and weight.dtype != torch.float64 else weight.dtype


class KeptWeights:
    """Packed weights kept from one inference to the next, until a parameter they were made from changes.

    A change is a write that autograd's version counter sees (load_state_dict, anything in place), other storage
    (`.to`), or a step of a fused optimiser or of one that is not torch's, which may write uncounted. A write through
    `.data` by hand must be followed by `clear`, which `train()` calls. A copy or a pickle of the owner starts without
    them.
    """

    def __init__(self) -> None:
        self._entries: dict[Any, tuple[Written, MixerWeights]] = {}

    def get(self, key: Any, parameters: Sequence[Tensor], make: Callable[[], MixerWeights]) -> MixerWeights:
        """What `make` returned last time, or returns now, for `parameters` as they are."""
        entry = self._entries.get(key)
        if entry is None or not entry[0].still_true(parameters):
            if any(parameter.is_inference() for parameter in parameters):  # their writes are not counted
                return make()
            entry = self._entries[key] = Written(parameters), make()
        return entry[1]

    def clear(self) -> None:
        self._entries.clear()

    def __reduce__(self) -> tuple:
        return KeptWeights, ()


class Written:
    """When and where parameters were last written."""

    steps = 0  # of optimisers that may write uncounted, in the whole process

    def __init__(self, parameters: Sequence[Tensor]) -> None:
        # Aliases keep the storage alive, so that no other tensor can get the same address.
        self.aliases = [parameter.detach() for parameter in parameters]
        self.versions = [parameter._version for parameter in parameters]
        self.steps = Written.steps

    def still_true(self, parameters: Sequence[Tensor]) -> bool:
        return self.steps == Written.steps and all(
            new._version == version and new.data_ptr() == old.data_ptr() and new.dtype == old.dtype
            for new, old, version in zip(parameters, self.aliases, self.versions, strict=True)
        )

    @staticmethod
    def count_step(optimizer: Optimizer, *_: Any) -> None:
        fused = any(group.get("fused") for group in optimizer.param_groups)
        if fused or not type(optimizer).__module__.startswith("torch.optim."):
            Written.steps += 1


register_optimizer_step_post_hook(Written.count_step)
