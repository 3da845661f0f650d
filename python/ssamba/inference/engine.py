"""Which way layers are run: called as they are, or, without gradient on a CPU, on their weights in parts of time."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import forward_ad

from ..encoder.layers import Norm
from ..encoder.packing import cast, product_dtype
from ..encoder.stack import Stack, part_to_call
from . import parts


def run_layers(
    stack: nn.Module, tokens: Tensor, lengths: Tensor | None = None, wanted: Collection[int] = ()
) -> tuple[Tensor, dict[int, Tensor]]:
    """`stack(tokens, lengths, wanted)` from the parameters as they are now, in bounded memory where that can be."""
    if runs_in_parts(stack, tokens):
        return run_steps(_Steps(stack), stack.together, tokens, lengths, wanted)
    return stack(tokens, lengths, wanted)


def run_steps(
    steps: Iterable[parts.Step], together: int, tokens: Tensor, lengths: Tensor | None, wanted: Collection[int]
) -> tuple[Tensor, dict[int, Tensor]]:
    """As `parts.run`, with the states after all layers that read with those wanted, `together` at a time."""
    last_of = {i: i - i % together + together - 1 for i in wanted}
    last, states = parts.run(steps, tokens, lengths, set(last_of.values()))
    return last, {i: states[index] for i, index in last_of.items()}


def runs_in_parts(stack: nn.Module, tokens: Tensor) -> bool:
    """Whether the numbers are the same and nobody could tell.

    Not where a gradient or stochastic depth is wanted, which the ops in place have not; not where the run is recorded
    or transformed, to be repeated on other inputs; and not where a module must be called.
    """
    if torch.is_grad_enabled() or stack.training or tokens.device.type != "cpu" or not is_plain(tokens):
        return False
    return isinstance(stack, Stack) and len(stack) > 0 and part_to_call(stack) is None


def is_plain(tokens: Tensor) -> bool:
    """Whether tokens are numbers, to be computed with now: not recorded, nor stand-ins of a function transform."""
    recorded = torch.compiler.is_compiling() or torch.jit.is_tracing()
    transformed = forward_ad._current_level >= 0 or torch._C._functorch.is_functorch_wrapped_tensor(tokens)
    return not recorded and not transformed and type(tokens) is Tensor


class _Steps:
    """The layers of a stack as steps on their own weights, without copies, made anew for each who goes through them."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack

    def __iter__(self) -> Iterator[parts.Step]:
        together = self.stack.together
        for index in range(0, len(self.stack), together):
            for g, layer in enumerate(self.stack.reading_together(index)):
                tensors = layer.mixer.tensors(swap=bool(g % 2))
                product = product_dtype(tensors.in_proj)
                mixer = parts.part_mixer(cast(tensors, product), product, _product)
                if together == 1:
                    yield parts.Step(mixer, layer.norm, 1)
                    continue
                # What all read is normalised once, and goes through the affine map of each one's own norm.
                mixer = mixer._replace(x_in=_after(layer.norm, mixer.x_in), z_in=_after(layer.norm, mixer.z_in))
                yield parts.Step(mixer, None if g else layer.norm.normalise, 1 if g else together)


def _product(weight: Tensor, bias: Tensor | None) -> parts.Multiply:
    return partial(F.linear, weight=weight, bias=bias)


def _after(norm: Norm, multiply: parts.Multiply) -> Callable[[Tensor], Tensor]:
    def both(x: Tensor) -> Tensor:
        scaled = x * norm.weight if norm.bias is None else torch.addcmul(norm.bias, x, norm.weight)
        return multiply(scaled.to(x.dtype))

    return both
