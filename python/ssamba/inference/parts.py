"""Inference on a CPU, over parts of the clips: the numbers of `mixing` in memory that every layer uses again.

Clips of one part go through a mixer by one op where its matrices are packed. Shapes as in `mixing`; B here are the
clips taken together.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from ssamba_ops import causal_conv1d, mixer_memory, pack_matrix, packed_mixer, scan_part

from ..encoder.packing import Direction, MixerTensors
from .memory import keep_a_little_freed_memory
from .products import Product, is_packed

Multiply = Callable[[Tensor], Tensor]  # (…, K) → (…, N)


def rows_at_once() -> int:
    """Tokens of all clips that are taken together.

    Enough that starting an operation costs little, few enough that what one leaves for the next is still in the caches.
    """
    return 1024 * torch.get_num_threads()


class PartDirection(NamedTuple):
    """What one direction of a mixer has for itself, its small tensors in float32 or wider."""

    conv: Tensor  # (E, W)
    conv_bias: Tensor  # (E,)
    x_proj: Multiply  # to time step, B and C
    dt_proj: Tensor  # (E, r)
    dt_bias: Tensor  # (E,)
    A: Tensor  # (E, N)
    D: Tensor  # (E,)


class PartMixer(NamedTuple):
    """One mixer, its matrices ready to multiply; `out` leaves the half of the directions' sum to whoever adds it."""

    x_in: Multiply
    z_in: Multiply
    out: Multiply
    directions: tuple[PartDirection, PartDirection]  # forward in time first
    dtype: torch.dtype  # of products
    whole: dict[str, Tensor | None] | None = None  # what `packed_mixer` takes: the tensors that the others are parts of


def part_mixer(
    tensors: MixerTensors, product: torch.dtype, multiply: Callable[[Tensor, Tensor | None], Multiply]
) -> PartMixer:
    """A mixer whose products are in the dtype `product`, as its tensors are (see `packing.cast`).

    `multiply` makes a product of a matrix (N, K) and a bias (N,) or None.
    """

    def direction(one: Direction) -> PartDirection:
        ready = {"x_proj": multiply(one.x_proj, None), "dt_proj": one.dt_proj.to(one.A.dtype)}
        return PartDirection(**{**one._asdict(), **ready})

    biases = (None, None) if tensors.in_bias is None else tensors.in_bias.chunk(2)
    x_in, z_in = map(multiply, tensors.in_proj.chunk(2), biases)
    forward, backward = map(direction, tensors.directions)
    return PartMixer(x_in, z_in, multiply(tensors.out_proj, None), (forward, backward), product)


def packed_part_mixer(tensors: MixerTensors) -> PartMixer | None:
    """A mixer whose matrices are packed, each of them once; None if one is not to be (see `products.is_packed`)."""
    matrices = (tensors.in_proj, tensors.out_proj, *(one.x_proj for one in tensors.directions))
    if not all(isinstance(matrix, Tensor) and is_packed(matrix) for matrix in matrices):
        return None
    ins = tensors.in_proj.chunk(2)
    whole = {
        "in_proj": pack_matrix(torch.stack(ins)),
        "in_bias": None if tensors.in_bias is None else tensors.in_bias.unflatten(0, (2, -1)),
        "x_proj": pack_matrix(torch.stack([one.x_proj for one in tensors.directions])),
        "out_proj": pack_matrix(tensors.out_proj),
    }
    biases = (None, None) if tensors.in_bias is None else whole["in_bias"].unbind()
    for name in PartDirection._fields:
        if name != "x_proj":
            whole[name] = torch.stack([getattr(one, name).to(torch.float32) for one in tensors.directions])
    x_in, z_in = map(Product, ins, biases, whole["in_proj"])
    directions = tuple(
        PartDirection(
            **{name: whole[name][r] for name in PartDirection._fields if name != "x_proj"},
            x_proj=Product(one.x_proj, None, whole["x_proj"][r]),
        )
        for r, one in enumerate(tensors.directions)
    )
    out = Product(tensors.out_proj, None, whole["out_proj"])
    return PartMixer(x_in, z_in, out, directions, torch.float32, whole)


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
    steps: Iterable[Step], tokens: Tensor, lengths: Tensor | None, wanted: Collection[int]
) -> tuple[Tensor, dict[int, Tensor]]:
    """tokens (B, L, D) of all clips → the last state, and {step: state after it} for the steps in `wanted`.

    `steps` are gone through for each few clips anew.
    """
    keep_a_little_freed_memory()
    last = tokens.clone(memory_format=torch.contiguous_format)
    states = {index: torch.empty_like(last) for index in wanted}
    batch, length, width = last.shape
    groups = cut(batch, length)
    most, like = max(clips.stop - clips.start for clips in groups), next(iter(steps)).mixer
    inner, taps = like.directions[0].conv.shape
    parts = cut(length, most, shortest=2 * taps)
    whole = len(parts) == 1 and like.whole is not None and last.dtype == torch.float32
    if whole:
        sizes = inner, like.directions[0].dt_proj.shape[1], like.directions[0].A.shape[1], taps
        memory = last.new_empty(mixer_memory(most * length, *sizes))
    else:
        arrays = [last.new_empty(most, length, size, dtype=like.dtype) for size in (width, inner, inner)]
    for clips in groups:
        count, valid = clips.stop - clips.start, None if lengths is None else lengths[clips]
        if whole:
            some = _ShortClips(last[clips], memory, valid)
        else:
            some = _Clips(last[clips], *(array[:count] for array in arrays), parts=parts, lengths=valid)
        for index in some.take(steps):
            if index in states:
                states[index][clips] = some.s
    return last, states


@dataclass
class _ShortClips:
    """A few clips, (B, L, D), on their way through the layers whole."""

    s: Tensor  # (B, L, D), the state
    memory: Tensor  # that every mixer works in
    lengths: Tensor | None  # (B,)

    def take(self, steps: Iterable[Step]) -> Iterator[int]:
        """As `_Clips.take`."""
        read = self.s
        for index, step in enumerate(steps):
            if step.normalise:
                read = step.normalise(self.s)
            packed_mixer(self.s, read, **step.mixer.whole, times=step.times, lengths=self.lengths, memory=self.memory)
            yield index


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

    def take(self, steps: Iterable[Step]) -> Iterator[int]:
        """Takes all steps; yields the number of each while s is the state after it."""
        for index, step in enumerate(steps):
            forward, backward = (
                _Scan(one, bool(r), len(self.s), self.lengths) for r, one in enumerate(step.mixer.directions)
            )
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
        torch.add(s, step.mixer.out(y), alpha=0.5 / step.times, out=s)
        if step.times > 1:
            s.mul_(step.times)


class _Scan:
    """Convolution and scan of a mixer in one direction, part after part."""

    def __init__(self, direction: PartDirection, reverse: bool, batch: int, lengths: Tensor | None) -> None:
        self.w, self.reverse, self.lengths = direction, reverse, lengths
        self.neighbour: Tensor | None = None  # (B, W-1, E), tokens of x next to the coming part
        self.state = direction.A.new_zeros(batch, *direction.A.shape)  # (B, E, N)

    def __call__(self, x: Tensor, y: Tensor, part: slice, z: Tensor | None = None, add: bool = False) -> None:
        """y ← (y +) scan of x (B, T, E), gated by z if given; all of the tokens of `part`."""
        w, reverse = self.w, self.reverse
        lengths = None if self.lengths is None else (self.lengths - part.start).clamp(0, x.shape[1])
        u = causal_conv1d(x, w.conv, w.conv_bias, True, self.neighbour, reverse, lengths)
        rank, states = w.dt_proj.shape[1], w.A.shape[1]
        dt, B, C = w.x_proj(u).split([rank, states, states], dim=-1)
        scan_part(y, self.state, u, dt, w.dt_proj, w.A, B, C, w.D, w.dt_bias, z, reverse, add, lengths)
        taps_before = w.conv.shape[1] - 1
        self.neighbour = _until(x[:, :taps_before], lengths) if reverse else x[:, x.shape[1] - taps_before :]


def _until(x: Tensor, lengths: Tensor | None) -> Tensor:
    """x (B, T, E) with zeros behind each clip's end."""
    if lengths is None:
        return x
    valid = torch.arange(x.shape[1], device=x.device) < lengths[:, None]
    return torch.where(valid.unsqueeze(-1), x, 0)
