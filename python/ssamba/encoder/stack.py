"""The two ways in which layers are stacked."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ..config import SSAMBAConfig
from . import layers
from .layers import Layer
from .mixing import mix
from .packing import pack
from .shortcuts import readable, reason_to_call

# Where training computes a pair as one layer too. It halves the launches, but multiplies zeros and copies what differs:
# a training step of tiny takes 9 % more time on a CPU (2026-11-24, 4 clips of 512 patches, one Zen 4 core).
_WIDE_TRAINING = {"cuda"}


class Stack(nn.ModuleList):
    """Layers and their residual adds; calling it gives the final residual and the states asked for on the way."""

    together = 1  # layers that read the same tokens, side by side

    def __init__(self, config: SSAMBAConfig) -> None:
        super().__init__(Layer(config) for _ in range(config.depth))
        self.drop_path = config.drop_path
        self.checkpointing = False

    def rate(self, index: int) -> float:
        """Stochastic depth of the output of layer `index`: from 0 for the first to `drop_path` for the last."""
        return self.drop_path * index / max(1, len(self) - 1)

    def _checkpointed(self, function: Callable[..., Tensor], *args: Any) -> Tensor:
        if self.checkpointing and self.training and torch.is_grad_enabled():
            return checkpoint(function, *args, use_reentrant=False)
        return function(*args)

    def reading_together(self, index: int) -> list[Layer]:
        """The layers from `index` on that read the same tokens; every second one reads reversed time."""
        return [self[i] for i in range(index, index + self.together)]


@readable
class SequentialStack(Stack):
    """x ← x + layer(x), layer after layer."""

    def forward(
        self, tokens: Tensor, lengths: Tensor | None = None, wanted: Collection[int] = ()
    ) -> tuple[Tensor, dict[int, Tensor]]:
        """tokens (B, L, D) → state after the last layer, and {layer: state after it} for the layers in `wanted`."""
        states = {}
        for index, layer in enumerate(self):
            hidden = self._checkpointed(layer, tokens, lengths)
            tokens = tokens + stochastic_depth(hidden, self.rate(index), self.training)
            if index in wanted:
                states[index] = tokens
        return tokens, states


@readable
class PairedStack(Stack):
    """The published stack: layers 2k and 2k+1 read the same residual, the odd one in reversed time, and it doubles.

    S = R + H;  H ← layer_2k(S) + J layer_2k+1(J S);  R ← 2 S, with J the reversal of the sequence. A bidirectional
    layer between two reversals is the layer with its directions exchanged, so nothing is reversed in memory, and the
    two layers are one of twice the width.
    """

    together = 2

    def forward(
        self, tokens: Tensor, lengths: Tensor | None = None, wanted: Collection[int] = ()
    ) -> tuple[Tensor, dict[int, Tensor]]:
        """tokens (B, L, D) → final residual, and {layer: R + H after its pair} for the layers in `wanted`."""
        states = {}
        even = odd = tokens  # what the two layers of a pair read; they differ only by stochastic depth
        for index in range(0, len(self), 2):
            hidden = self.pair(index, even, odd, lengths)
            residual = even + odd
            states.update((i, residual + hidden) for i in (index, index + 1) if i in wanted)
            even, odd = self._next(index + 2, residual, hidden)
        return even, states

    def pair(self, index: int, even: Tensor, odd: Tensor, lengths: Tensor | None = None) -> Tensor:
        """layer_index(even) + J layer_index+1(J odd), (B, L, D)."""
        return self._checkpointed(self._pair, index, even, odd, lengths)

    def _pair(self, index: int, even: Tensor, odd: Tensor, lengths: Tensor | None) -> Tensor:
        first, second = self.reading_together(index)
        if even.device.type not in _WIDE_TRAINING or layers.part_to_call(first) or layers.part_to_call(second):
            return first(even, lengths) + second(odd, lengths, swap=True)
        if even is odd:
            return mix([first.norm.normalise(even)], pack([first.folded(), second.folded(swap=True)]), lengths)
        readers = [first.norm(even), second.norm(odd)]
        return mix(readers, pack([first.mixer.tensors(), second.mixer.tensors(swap=True)]), lengths)

    def _next(self, index: int, residual: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """What layers `index` and `index + 1` read, or twice the final residual."""
        if self.training and self.drop_path and index < len(self):
            # Each reader drops for itself; the published rate of reader i is that of i - 1.
            return tuple(residual + stochastic_depth(hidden, self.rate(i), True) for i in (index - 1, index))
        both = residual + stochastic_depth(hidden, self.drop_path, self.training)
        return both, both


LAYOUTS = {"sequential": SequentialStack, "paired": PairedStack}


def part_to_call(stack: nn.Module) -> tuple[str, str] | None:
    """Path of the first module in a stack, itself "", that must be called, and why; None if its weights will do."""
    kind = next((kind for kind in LAYOUTS.values() if isinstance(stack, kind)), Stack)
    if reason := reason_to_call(stack, kind):
        return "", reason
    for index, layer in enumerate(stack):
        if found := layers.part_to_call(layer):
            return f"{index}.{found[0]}".rstrip("."), found[1]
    return None


def make_stack(config: SSAMBAConfig) -> Stack:
    return LAYOUTS[config.layout](config)


def stochastic_depth(x: Tensor, rate: float, training: bool) -> Tensor:
    """In training, drops x (B, …) of a clip with probability `rate` and divides it by 1 - rate otherwise."""
    if not training or rate == 0:
        return x
    keep = torch.rand(x.shape[0], *[1] * (x.dim() - 1), device=x.device) >= rate
    return x * (keep.to(x.dtype) / (1 - rate))
