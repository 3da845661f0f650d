"""The layers of a frozen encoder: weights prepared once, for parts of time on a CPU, for wide layers elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from itertools import chain, islice
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import _disable_current_modes

from ..encoder.mixing import mix, normalise
from ..encoder.packing import Direction, MixerTensors, pack, unpack
from . import parts
from .engine import is_plain, run_steps
from .products import Product
from .quantization import Int8Matrix, Int8Product, RestoredProduct

FLOATS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16, "float64": torch.float64}
INT8 = {"int8": Int8Product, "int8_weight_only": RestoredProduct}
States = tuple[Tensor, dict[int, Tensor]]  # the last, and those that were asked for by layer


class FrozenStack(nn.Module):
    """The layers of a model behind norms without affine map; called like the stack they come from, without gradient.

    Each weight is held once, the way the device at hand multiplies. What is saved, copied, pickled, moved or exported
    are the plain tensors.

    Args:
        mixers: the folded mixers of all layers, taken one by one and not copied where they can be used as they are; of
            those that read together, every second one has its directions exchanged.
        kind: what large matrices are multiplied in: one of `FLOATS`, or of `INT8`, where in_proj is an `Int8Matrix`.
            Matrices and in_bias are in that dtype, the rest is float32 or wider.
        together: how many layers read the same tokens.
        eps, centred: of the norms (see `mixing.normalise`).
    """

    def __init__(self, mixers: Iterable[MixerTensors], kind: str, together: int, eps: float, centred: bool) -> None:
        super().__init__()
        self.kind, self.together, self.eps, self.centred = kind, together, eps, centred
        self._hold(iter(mixers))
        self.eval()

    def _hold(self, mixers: Iterator[MixerTensors]) -> None:
        first = next(mixers)
        device = first.directions[0].D.device
        if self.kind in INT8 and device.type != "cpu":
            raise ValueError(f"int8 runs on a CPU, these weights are on {device}; freeze in a dtype to move them")
        self._held = (_Parts if device.type == "cpu" else _Wide)(chain([first], mixers), self)

    def forward(self, tokens: Tensor, lengths: Tensor | None = None, wanted: Collection[int] = ()) -> States:
        """tokens (B, L, D) → the last state, and {layer: state after it and what reads with it} for those wanted.

        Autocast does not change what is multiplied in. Raises RuntimeError when a gradient is wanted.
        """
        if torch.is_grad_enabled() and tokens.requires_grad:
            raise RuntimeError(
                "a frozen encoder has no gradient, but its input requires one: call it under torch.no_grad(), or call "
                "the SSAMBA model that it was made from"
            )
        device = tokens.device.type
        casts = torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)  # not there for meta
        with torch.autocast(device, enabled=False) if casts else nullcontext():
            return self._way(tokens)(tokens, lengths, wanted)

    def _way(self, tokens: Tensor) -> _Parts | _Wide:
        compiled = torch.compiler.is_compiling() and not torch.compiler.is_exporting()  # parts run outside of the graph
        if isinstance(self._held, _Wide) or compiled or is_plain(tokens):
            return self._held
        # Ordinary ops on plain tensors can be exported, traced and transformed.
        if self.kind == "int8":
            raise NotImplementedError(
                "products in int8 cannot be exported, traced or transformed; freeze in a dtype, or in int8_weight_only"
            )
        with _disable_current_modes(), _tracing_paused():
            return _Wide(self.mixers(), self)

    def mixers(self) -> Iterator[MixerTensors]:
        """The plain tensors of each layer."""
        return self._held.mixers()

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> FrozenStack:
        self._hold(from_named({name: fn(x) for name, x in named(mixer).items()}) for mixer in self.mixers())
        return self

    def _save_to_state_dict(self, destination: dict[str, Tensor], prefix: str, keep_vars: bool) -> None:
        for index, mixer in enumerate(self.mixers()):
            destination.update({f"{prefix}{index}.{name}": tensor for name, tensor in named(mixer).items()})

    def _load_from_state_dict(
        self,
        state_dict: dict[str, Tensor],
        prefix: str,
        local_metadata: dict[str, Any],
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        own: dict[str, Tensor] = {}
        self._save_to_state_dict(own, prefix, False)
        missing_keys += [name for name in own if name not in state_dict]
        unexpected_keys += [name for name in state_dict if name.startswith(prefix) and name not in own]
        if any(not _equal(state_dict.get(name, tensor), tensor) for name, tensor in own.items()):
            error_msgs.append("a frozen encoder is never overwritten; freeze the model that has these weights")

    def __reduce__(self) -> tuple:
        layers = [named(mixer) for mixer in self.mixers()]
        return _rebuilt, (layers, self.kind, self.together, self.eps, self.centred)


class _Parts:
    """Layers one after the other, over parts of the clips."""

    def __init__(self, mixers: Iterable[MixerTensors], stack: FrozenStack) -> None:
        self.together = stack.together
        norm = partial(normalise, eps=stack.eps, centred=stack.centred)
        multiply, product = partial(_product, kind=stack.kind), FLOATS.get(stack.kind, torch.float32)
        self.steps: list[parts.Step] = []
        self.plain: list[MixerTensors | None] = []  # of layers whose matrices are multiplied as they were given
        for layer, mixer in enumerate(mixers):
            ready = parts.packed_part_mixer(mixer) if stack.kind == "float32" else None
            ready = ready or parts.part_mixer(mixer, product, multiply)
            leads = layer % self.together == 0  # the others read what it has normalised
            self.steps.append(parts.Step(ready, norm if leads else None, self.together if leads else 1))
            self.plain.append(None if ready.x_in.packed else mixer)

    def mixers(self) -> Iterator[MixerTensors]:
        for step, plain in zip(self.steps, self.plain, strict=True):
            yield plain or _unpacked_mixer(step.mixer)

    @torch.compiler.disable
    @torch.no_grad()
    def __call__(self, tokens: Tensor, lengths: Tensor | None, wanted: Collection[int]) -> States:
        return run_steps(self.steps, self.together, tokens, lengths, wanted)


class _Wide:
    """Layers that read together as one wide layer."""

    def __init__(self, mixers: Iterable[MixerTensors], stack: FrozenStack) -> None:
        self.together, self.eps, self.centred = stack.together, stack.eps, stack.centred
        product, mixers = FLOATS.get(stack.kind, torch.float32), map(_restored, mixers)
        self.weights = []
        while group := list(islice(mixers, self.together)):
            self.weights.append(pack(group, product))

    def mixers(self) -> Iterator[MixerTensors]:
        for weights in self.weights:
            yield from unpack(weights)

    def __call__(self, tokens: Tensor, lengths: Tensor | None, wanted: Collection[int]) -> States:
        states = {}
        for index, weights in enumerate(self.weights):
            hidden = mix([normalise(tokens, self.eps, self.centred)], weights, lengths)
            tokens = torch.add(hidden, tokens, alpha=self.together)
            layers = range(index * self.together, (index + 1) * self.together)
            states.update((layer, tokens) for layer in layers if layer in wanted)
        return tokens, states


def named(mixer: MixerTensors) -> dict[str, Tensor]:
    """The tensors of a mixer by name: in_proj, forward.conv, …; an `Int8Matrix` has scales beside its rows."""
    tensors: dict[str, Tensor] = {}
    for name in ("in_proj", "in_bias", "out_proj"):
        value = getattr(mixer, name)
        if isinstance(value, Int8Matrix):
            tensors.update({name: value.rows, f"{name}_scales": value.scales})
        elif value is not None:
            tensors[name] = value
    for side, direction in zip(("forward", "backward"), mixer.directions, strict=True):
        tensors.update({f"{side}.{name}": tensor for name, tensor in direction._asdict().items()})
    return tensors


def from_named(tensors: dict[str, Tensor]) -> MixerTensors:
    """The inverse of `named`; raises KeyError for what is missing."""
    large = {}
    for name in ("in_proj", "out_proj"):
        scales = tensors.get(f"{name}_scales")
        large[name] = tensors[name] if scales is None else Int8Matrix(tensors[name], scales)
    forward, backward = (
        Direction(*(tensors[f"{side}.{name}"] for name in Direction._fields)) for side in ("forward", "backward")
    )
    return MixerTensors(large["in_proj"], tensors.get("in_bias"), large["out_proj"], (forward, backward))


def _product(matrix: Tensor | Int8Matrix, bias: Tensor | None, kind: str) -> parts.Multiply:
    return INT8[kind](matrix, bias) if isinstance(matrix, Int8Matrix) else Product(matrix, bias)


def _unpacked_mixer(mixer: parts.PartMixer) -> MixerTensors:
    in_proj = [mixer.x_in.weight, mixer.z_in.weight]
    biases = [mixer.x_in.bias, mixer.z_in.bias]
    return MixerTensors(
        Int8Matrix.cat(in_proj) if isinstance(in_proj[0], Int8Matrix) else torch.cat(in_proj),
        None if biases[0] is None else torch.cat(biases),
        mixer.out.weight,
        tuple(Direction(*one._replace(x_proj=one.x_proj.weight)) for one in mixer.directions),
    )


def _restored(mixer: MixerTensors) -> MixerTensors:
    large = (mixer.in_proj, mixer.out_proj)
    in_proj, out_proj = (x.restored() if isinstance(x, Int8Matrix) else x for x in large)
    return mixer._replace(in_proj=in_proj, out_proj=out_proj)


@contextmanager
def _tracing_paused() -> Iterator[None]:
    state = torch._C._get_tracing_state()
    torch._C._set_tracing_state(None)
    try:
        yield
    finally:
        torch._C._set_tracing_state(state)


def _equal(found: Tensor, own: Tensor) -> bool:
    return found.shape == own.shape and found.dtype == own.dtype and torch.equal(found.to(own.device), own)


def _rebuilt(layers: list[dict[str, Tensor]], *options: Any) -> FrozenStack:
    return FrozenStack(map(from_named, layers), *options)
