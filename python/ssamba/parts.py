"""Inference on a CPU, over parts of the clips: the numbers of `mixing` in memory that every layer uses again.

Shapes as in `mixing`; B here are the clips taken together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from ssamba_ops import causal_conv1d, scan_part

from .memory import keep_a_little_freed_memory
from .mixing import MixerWeights
from .products import Product


def rows_at_once() -> int:
    """Tokens of all clips that are taken together.

    Enough that starting an operation costs little, few enough that what one leaves for the next is still in the caches.
    """
    return 1024 * torch.get_num_threads()


class PartMixer(NamedTuple):
    """One mixer, its large matrices made ready to multiply. The first axis, or the place in a pair, is the direction."""

    x_in: Product
    z_in: Product
    conv: Tensor  # (2, E, W)
    conv_bias: Tensor  # (2, E)
    x_proj: tuple[Product, Product]
    dt_proj: Tensor  # (2, E, r)
    dt_bias: Tensor  # (2, E)
    A: Tensor  # (2, E, N)
    D: Tensor  # (2, E)
    out: Product
    dtype: torch.dtype  # of products
    splits: tuple[int, int, int]  # of what x_proj gives: time step rank, states, states


def part_mixer(w: MixerWeights, index: int) -> PartMixer:
    """Mixer `index` of those side by side."""
    x_bias, z_bias = (None, None) if w.in_bias is None else w.in_bias[:, index]
    return PartMixer(
        x_in=Product(w.in_proj[0, index], x_bias),
        z_in=Product(w.in_proj[1, index], z_bias),
        conv=w.conv[:, index],
        conv_bias=w.conv_bias[:, index],
        x_proj=tuple(map(Product, w.x_proj[:, index])),
        dt_proj=w.dt_proj[:, index].to(w.A.dtype),
        dt_bias=w.dt_bias[:, index],
        A=w.A[:, index],
        D=w.D[:, index],
        out=Product(w.out_proj[:, index]),
        dtype=w.out_proj.dtype,
        splits=(w.time_step_rank, w.state_size, w.state_size),
    )


def cut(length: int, longest: int, shortest: int = 1) -> list[slice]:
    """Cuts 0..length into equal parts, none longer than `longest` unless it has to be to reach `shortest`."""
    count = max(1, min(-(-length // longest), length // shortest))
    ends = [length * i // count for i in range(count + 1)]
    return [slice(start, stop) for start, stop in pairwise(ends)]


class PartByPart:
    """The state of all tokens on its way through the layers.

    Clips are taken a few at a time, and long ones in parts of time. A mixer goes over the parts forward in time and
    back again; between the two it keeps what it read, x and the forward scan's y. The arrays for that are made once:
    pages fresh from the system cost up to half the time of a layer.

    Args:
        tokens: (B, L, D) of all clips; copied.
        lengths: (B,) valid tokens.

    Attributes:
        s: (B, L, D), the state.
    """

    def __init__(self, tokens: Tensor, lengths: Tensor | None) -> None:
        self.s, self.lengths = tokens.clone(memory_format=torch.contiguous_format), lengths
        keep_a_little_freed_memory()
        self._rows = rows_at_once()
        self._clips = cut(tokens.shape[0], max(1, self._rows // max(1, tokens.shape[1])))
        self._buffers: tuple[Tensor, ...] | None = None

    def advance(self, normalise: Callable[[Tensor], Tensor], mixers: Sequence[PartMixer], times: int) -> None:
        """s ← times · s + the sum of what the mixers make of normalise(s)."""
        for clips in self._clips:
            some = self._take(clips, mixers[0])
            for index, mixer in enumerate(mixers):
                some.forward(mixer, normalise if index == 0 else None)
                some.backward(mixer, times if index == 0 else 1)

    def _take(self, clips: slice, like: PartMixer) -> _Clips:
        s = self.s[clips]
        if self._buffers is None:
            inner = like.A.shape[1]
            most = max(clips.stop - clips.start for clips in self._clips)
            sizes = [(most, s.shape[1], width) for width in (s.shape[2], inner, inner)]
            self._buffers = tuple(s.new_empty(size, dtype=like.dtype) for size in sizes)
        read, x, y = (buffer[: len(s)] for buffer in self._buffers)
        parts = cut(s.shape[1], max(1, self._rows // max(1, len(s))), shortest=2 * like.conv.shape[2])
        return _Clips(s, read, x, y, parts, None if self.lengths is None else self.lengths[clips])


@dataclass
class _Clips:
    """Clips that are taken together."""

    s: Tensor  # (B, L, D)
    read: Tensor  # (B, L, D), what the mixers read: s as it was, normalised
    x: Tensor  # (B, L, E), what is convolved
    y: Tensor  # (B, L, E), of the forward scan, then of both, gated
    parts: list[slice]  # of time, each at least W - 1 tokens
    lengths: Tensor | None  # (B,)

    def forward(self, w: PartMixer, normalise: Callable[[Tensor], Tensor] | None) -> None:
        """Fills x and y; and `read`, unless it is filled."""
        neighbour, state = None, self._first_state(w)
        for part in self.parts:
            read, x = self.read[:, part], self.x[:, part]
            if normalise:
                read.copy_(normalise(self.s[:, part]))
            x.copy_(w.x_in(read))
            self._scan(0, part, x, neighbour, state, w)
            neighbour = x[:, x.shape[1] - w.conv.shape[2] + 1 :]

    def backward(self, w: PartMixer, times: int) -> None:
        """s ← times · s + what the mixer makes of what it read."""
        neighbour, state = None, self._first_state(w)
        for part in reversed(self.parts):
            x, s = self.x[:, part], self.s[:, part]
            self._scan(1, part, x, neighbour, state, w, z=w.z_in(self.read[:, part]))
            neighbour = _before_the_end(x[:, : w.conv.shape[2] - 1], part.start, self.lengths)
            torch.add(w.out(self.y[:, part]), s, alpha=times, out=s)

    def _first_state(self, w: PartMixer) -> Tensor:
        return w.A.new_zeros(len(self.s), *w.A.shape[1:])

    def _scan(
        self,
        r: int,
        part: slice,
        x: Tensor,
        neighbour: Tensor | None,
        state: Tensor,
        w: PartMixer,
        z: Tensor | None = None,
    ) -> None:
        """Convolution and scan of a part in direction r, going on from its neighbour's tokens and last state.

        The second direction adds its y to that of the first and gates.
        """
        reverse, lengths = bool(r), _within(self.lengths, part)
        u = causal_conv1d(x, w.conv[r], w.conv_bias[r], True, neighbour, reverse, lengths)
        dt, B, C = w.x_proj[r](u).split(w.splits, dim=-1)
        y, skip = self.y[:, part], w.D[r]
        scan_part(y, state, u, dt, w.dt_proj[r], w.A[r], B, C, skip, w.dt_bias[r], z, reverse, reverse, lengths)


def _within(lengths: Tensor | None, part: slice) -> Tensor | None:
    return None if lengths is None else (lengths - part.start).clamp(0, part.stop - part.start)


def _before_the_end(x: Tensor, start: int, lengths: Tensor | None) -> Tensor:
    """x (B, W-1, E), whose tokens begin at `start`, with zeros behind each clip's end."""
    if lengths is None:
        return x
    valid = start + torch.arange(x.shape[1], device=x.device) < lengths[:, None]
    return torch.where(valid.unsqueeze(-1), x, 0)
