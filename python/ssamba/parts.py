"""Inference on a CPU, over parts of the clips: the numbers of `mixing` in memory that every layer uses again.

Shapes as in `mixing`; B here are the clips taken together.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ssamba_ops import causal_conv1d, scan_part

from .memory import keep_a_little_freed_memory
from .mixing import MixerWeights
from .products import Product

if TYPE_CHECKING:
    from .layers import Layer


def rows_at_once() -> int:
    """Tokens of all clips that are taken together.

    Enough that starting an operation costs little, few enough that what one leaves for the next is still in the caches.
    """
    return 1024 * torch.get_num_threads()


class PartMixer(NamedTuple):
    """One mixer, its large matrices ready to multiply. The first axis, or the place in a pair, is the direction."""

    x_in: Callable[[Tensor], Tensor]
    z_in: Callable[[Tensor], Tensor]
    conv: Tensor  # (2, E, W)
    conv_bias: Tensor  # (2, E)
    x_proj: tuple[Product, Product]
    dt_proj: Tensor  # (2, E, r)
    dt_bias: Tensor  # (2, E)
    A: Tensor  # (2, E, N)
    D: Tensor  # (2, E)
    out: Product
    dtype: torch.dtype  # of products
    splits: tuple[int, int, int, int]  # of what x_proj gives: time step rank, states, states, nothing


def part_mixer(w: MixerWeights, index: int, layer: Layer) -> PartMixer:
    """Mixer `index` of those side by side, which is that of `layer`."""
    unused = -w.x_proj.shape[2] % 16  # whole vectors multiply faster
    x_in, z_in = _in_products(w, index, layer)
    return PartMixer(
        x_in=x_in,
        z_in=z_in,
        conv=w.conv[:, index],
        conv_bias=w.conv_bias[:, index],
        x_proj=tuple(Product(F.pad(matrix, (0, 0, 0, unused))) for matrix in w.x_proj[:, index]),
        dt_proj=w.dt_proj[:, index].to(w.A.dtype),
        dt_bias=w.dt_bias[:, index],
        A=w.A[:, index],
        D=w.D[:, index],
        out=Product(w.out_proj[:, index]),
        dtype=w.out_proj.dtype,
        splits=(w.time_step_rank, w.state_size, w.state_size, unused),
    )


def _in_products(w: MixerWeights, index: int, layer: Layer) -> tuple[Callable[[Tensor], Tensor], ...]:
    """From normalised tokens to x and to z."""
    if w.in_proj is not None:
        biases = (None, None) if w.in_bias is None else w.in_bias[:, index]
        return tuple(map(Product, w.in_proj[:, index], biases))
    return layer.mixer.in_proj.halves()  # in int8, behind a norm without affine map


def cut(length: int, rows: int, shortest: int = 1) -> list[slice]:
    """Cuts 0..length, at each place of which there are so many rows, into equal parts of at most `rows_at_once`.

    A part is longer only if it has to be to reach `shortest`.
    """
    longest = max(1, rows_at_once() // max(1, rows))
    count = max(1, min(-(-length // longest), length // shortest))
    ends = [length * i // count for i in range(count + 1)]
    return [slice(start, stop) for start, stop in pairwise(ends)]


class Step(NamedTuple):
    """A layer: s ← times · s + what the mixer makes of what it reads."""

    mixer: PartMixer
    normalise: Callable[[Tensor], Tensor] | None  # from s to what is read; None: what the step before has read
    times: int


def run(
    steps: Sequence[Step], tokens: Tensor, lengths: Tensor | None, wanted: Collection[int]
) -> tuple[Tensor, dict[int, Tensor]]:
    """tokens (B, L, D) of all clips → the last state, and {step: state after it} for the steps in `wanted`."""
    keep_a_little_freed_memory()
    last = tokens.clone(memory_format=torch.contiguous_format)
    states = {index: torch.empty_like(last) for index in wanted}
    batch, length, width = last.shape
    groups = cut(batch, length)
    most, like = max(clips.stop - clips.start for clips in groups), steps[0].mixer
    inner, taps = like.conv.shape[1:]
    memory = [last.new_empty(most, length, size, dtype=like.dtype) for size in (width, inner, inner)]
    for clips in groups:
        count = clips.stop - clips.start
        some = _Clips(
            last[clips],
            *(array[:count] for array in memory),
            parts=cut(length, count, shortest=2 * taps),
            lengths=None if lengths is None else lengths[clips],
        )
        for index in some.take(steps):
            if index in states:
                states[index][clips] = some.s
    return last, states


@dataclass
class _Clips:
    """A few clips, (B, L, D), on their way through the layers, in parts of time.

    A mixer goes over the parts forward in time and back again. Between the two it keeps what it read, x and the forward
    scan's y, in arrays that all layers use: pages fresh from the system cost up to half the time of a layer.
    """

    s: Tensor  # (B, L, D), the state
    read: Tensor  # (B, L, D), what the mixers read: s as it was, normalised
    x: Tensor  # (B, L, E), what is convolved
    y: Tensor  # (B, L, E), of the forward scan, then of both, gated
    parts: list[slice]  # of time, each at least W - 1 tokens
    lengths: Tensor | None  # (B,)

    def take(self, steps: Sequence[Step]) -> Iterator[int]:
        """Takes all steps; yields the number of each while s is the state after it."""
        for index, step in enumerate(steps):
            forward, backward = (_Scan(step.mixer, r, len(self.s), self.lengths) for r in range(2))
            for part in self.parts:
                self._begin(step, forward, part)
            for part in reversed(self.parts):
                self._finish(step, backward, part)
            yield index

    def _begin(self, step: Step, scan: _Scan, part: slice) -> None:
        read, x = self.read[:, part], self.x[:, part]
        if step.normalise:
            read.copy_(step.normalise(self.s[:, part]))
        x.copy_(step.mixer.x_in(read))
        scan(x, self.y[:, part], part)

    def _finish(self, step: Step, scan: _Scan, part: slice) -> None:
        y, s = self.y[:, part], self.s[:, part]
        scan(self.x[:, part], y, part, z=step.mixer.z_in(self.read[:, part]), add=True)
        torch.add(step.mixer.out(y), s, alpha=step.times, out=s)


class _Scan:
    """Convolution and scan of a mixer in direction r, part after part."""

    def __init__(self, mixer: PartMixer, r: int, batch: int, lengths: Tensor | None) -> None:
        self.w, self.r, self.lengths = mixer, r, lengths
        self.neighbour: Tensor | None = None  # (B, W-1, E), tokens of x next to the coming part
        self.state = mixer.A.new_zeros(batch, *mixer.A.shape[1:])  # (B, E, N)

    def __call__(self, x: Tensor, y: Tensor, part: slice, z: Tensor | None = None, add: bool = False) -> None:
        """y ← (y +) scan of x (B, T, E), gated by z if given; all of the tokens of `part`."""
        w, r, reverse = self.w, self.r, bool(self.r)
        lengths = None if self.lengths is None else (self.lengths - part.start).clamp(0, x.shape[1])
        u = causal_conv1d(x, w.conv[r], w.conv_bias[r], True, self.neighbour, reverse, lengths)
        dt, B, C, _ = w.x_proj[r](u).split(w.splits, dim=-1)
        A, skip, dt_bias = w.A[r], w.D[r], w.dt_bias[r]
        scan_part(y, self.state, u, dt, w.dt_proj[r], A, B, C, skip, dt_bias, z, reverse, add, lengths)
        taps_before = w.conv.shape[2] - 1
        self.neighbour = _until(x[:, :taps_before], lengths) if reverse else x[:, x.shape[1] - taps_before :]


def _until(x: Tensor, lengths: Tensor | None) -> Tensor:
    """x (B, T, E) with zeros behind each clip's end."""
    if lengths is None:
        return x
    valid = torch.arange(x.shape[1], device=x.device) < lengths[:, None]
    return torch.where(valid.unsqueeze(-1), x, 0)
