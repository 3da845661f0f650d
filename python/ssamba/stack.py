"""The two ways in which layers are stacked."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from . import parts
from .config import SSAMBAConfig
from .layers import Layer, foldable
from .mixing import MixerWeights, mix
from .packing import KeptWeights, pack, product_dtype

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
        self._kept = KeptWeights()

    def train(self, mode: bool = True) -> Stack:
        if mode:
            self._kept.clear()
        return super().train(mode)

    def _apply(self, *args: Any, **options: Any) -> Stack:
        self._kept.clear()
        return super()._apply(*args, **options)

    def rate(self, index: int) -> float:
        """Stochastic depth of the output of layer `index`: from 0 for the first to `drop_path` for the last."""
        return self.drop_path * index / max(1, len(self) - 1)

    def _inferring(self) -> bool:
        recorded = torch.compiler.is_compiling() or torch.jit.is_tracing()
        return not (self.training or torch.is_grad_enabled() or recorded)

    def _infer(self, s: Tensor, lengths: Tensor | None, wanted: Collection[int]) -> tuple[Tensor, dict[int, Tensor]]:
        """As `forward`, without gradient and on kept weights."""
        # FSDP writes weights anew before each call, at the same place and uncounted.
        kept = not getattr(self, "_is_fsdp_managed_module", False)
        if kept and s.device.type == "cpu" and all(foldable(layer, int8=True) for layer in self):
            return self._infer_in_parts(s, lengths, wanted)
        plain = kept and all(map(foldable, self))
        states = {}
        for index in range(0, len(self), self.together):
            layers = self._reading_together(index)
            if plain:
                packed = self._keep("packed", index, lambda w: w)
                hidden = mix([layers[0].norm.normalise(s)], packed, lengths)
            else:
                hidden = sum(layer(s, lengths, swap=bool(g % 2)) for g, layer in enumerate(layers))
            s = _add_to(hidden, s, self.together)
            states.update((i, s) for i in range(index, index + self.together) if i in wanted)
        return s, states

    def _infer_in_parts(
        self, s: Tensor, lengths: Tensor | None, wanted: Collection[int]
    ) -> tuple[Tensor, dict[int, Tensor]]:
        steps = [step for index in range(0, len(self), self.together) for step in self._steps(index)]
        last = {i: i - i % self.together + self.together - 1 for i in wanted}  # of those that read with layer i
        s, states = parts.run(steps, s, lengths, set(last.values()))
        return s, {i: states[index] for i, index in last.items()}

    def _steps(self, index: int) -> list[parts.Step]:
        layers = self._reading_together(index)
        mixers = self._keep("parts", index, lambda w: [parts.part_mixer(w, g, layers[g]) for g in range(w.layers)])
        first, *others = mixers
        normalise = self[index].norm.normalise
        return [parts.Step(first, normalise, self.together), *(parts.Step(mixer, None, 1) for mixer in others)]

    def _keep(self, form: str, index: int, make: Callable[[MixerWeights], Any]) -> Any:
        """What is made of the folded weights of the layers from `index` on that read together."""
        layers = self._reading_together(index)
        parameters = [parameter for layer in layers for parameter in layer.parameters()]
        key = form, index, product_dtype(parameters[0])
        return self._kept.get(key, parameters, lambda: make(_packed(layers, fold=True)))

    def _checkpointed(self, function: Callable[..., Tensor], *args: Any) -> Tensor:
        if self.checkpointing and self.training and torch.is_grad_enabled():
            return checkpoint(function, *args, use_reentrant=False)
        return function(*args)

    def _reading_together(self, index: int) -> list[Layer]:
        return [self[i] for i in range(index, index + self.together)]


class SequentialStack(Stack):
    """x ← x + layer(x), layer after layer."""

    def forward(
        self, tokens: Tensor, lengths: Tensor | None = None, wanted: Collection[int] = ()
    ) -> tuple[Tensor, dict[int, Tensor]]:
        """tokens (B, L, D) → state after the last layer, and {layer: state after it} for the layers in `wanted`."""
        if self._inferring():
            return self._infer(tokens, lengths, wanted)
        states = {}
        for index, layer in enumerate(self):
            hidden = self._checkpointed(layer, tokens, lengths)
            tokens = tokens + stochastic_depth(hidden, self.rate(index), self.training)
            if index in wanted:
                states[index] = tokens
        return tokens, states


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
        if self._inferring():
            return self._infer(tokens, lengths, wanted)
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
        layers = self._reading_together(index)
        if even.device.type not in _WIDE_TRAINING or not all(map(foldable, layers)):
            return layers[0](even, lengths) + layers[1](odd, lengths, swap=True)
        if even is odd:
            return mix([layers[0].norm.normalise(even)], _packed(layers, fold=True), lengths)
        readers = [layer.norm(s) for layer, s in zip(layers, (even, odd), strict=True)]
        return mix(readers, _packed(layers, fold=False), lengths)

    def _next(self, index: int, residual: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """What layers `index` and `index + 1` read, or twice the final residual."""
        if self.training and self.drop_path and index < len(self):
            # Each reader drops for itself; the published rate of reader i is that of i - 1.
            return tuple(residual + stochastic_depth(hidden, self.rate(i), True) for i in (index - 1, index))
        both = residual + stochastic_depth(hidden, self.drop_path, self.training)
        return both, both


def make_stack(config: SSAMBAConfig) -> Stack:
    return {"sequential": SequentialStack, "paired": PairedStack}[config.layout](config)


def stochastic_depth(x: Tensor, rate: float, training: bool) -> Tensor:
    """In training, drops x (B, …) of a clip with probability `rate` and divides it by 1 - rate otherwise."""
    if not training or rate == 0:
        return x
    keep = torch.rand(x.shape[0], *[1] * (x.dim() - 1), device=x.device) >= rate
    return x * (keep.to(x.dtype) / (1 - rate))


def _add_to(hidden: Tensor, s: Tensor, times: int = 1) -> Tensor:
    """hidden + times · s in the place of hidden; in the wider dtype, so elsewhere, if s is wider."""
    return torch.add(hidden, s, alpha=times, out=hidden if hidden.dtype == s.dtype else None)


def _packed(layers: Sequence[Layer], fold: bool) -> MixerWeights:
    """Weights of layers that read together; every second one reads reversed time."""
    norms = [layer.norm for layer in layers] if fold else None
    return pack([layer.mixer for layer in layers], [bool(i % 2) for i in range(len(layers))], norms)
