"""Parts of one file, such as recordings joined one behind the other, as one source."""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np

from .causes import conversion
from .errors import AudioError
from .sources import Source


@dataclass(frozen=True)
class Part:
    """A part of a joined file: how to open it, and what it then is."""

    open: Callable[[], Source]
    sample_rate: int
    channels: int
    frames: int


class JoinedSource:
    """Parts of one file, one behind the other, one of them open at a time.

    Every part has the rate and the channels of the first: of another number of channels their mean is given to each.
    """

    def __init__(self, path: str | os.PathLike, format: str, parts: Sequence[Part]):
        rates = {part.sample_rate: None for part in parts}
        if len(rates) > 1:
            raise AudioError(
                path,
                f"is joined of parts of different rates ({', '.join(map(str, rates))} Hz); "
                f"write it anew with one, for example: {conversion(path)}",
            )
        self.format, self.sample_rate, self.channels = format, parts[0].sample_rate, parts[0].channels
        self._parts, self._ends = parts, list(accumulate(part.frames for part in parts))
        self.frames, self.notes = self._ends[-1], []
        self._position, self._index, self._source = 0, 0, None

    def seek(self, frame: int) -> None:
        self._position = frame

    def read(self, frames: int) -> np.ndarray:
        blocks, left = [], min(frames, self.frames - self._position)
        while left > 0:
            source, inside = self._here()
            source.seek(inside)
            block = source.read(min(left, self._ends[self._index] - self._position))
            self._position += len(block)
            left -= len(block)
            blocks.append(self._in_channels(block))
        return blocks[0] if len(blocks) == 1 else np.concatenate([np.zeros((0, self.channels), np.float32), *blocks])

    def close(self) -> None:
        if self._source is not None:
            self._source.close()
            self._source = None

    def _here(self) -> tuple[Source, int]:
        index = bisect_right(self._ends, self._position)
        if self._source is None or index != self._index:
            self.close()
            self._index, self._source = index, self._parts[index].open()
        return self._source, self._position - (self._ends[index] - self._parts[index].frames)

    def _in_channels(self, block: np.ndarray) -> np.ndarray:
        if block.shape[1] == self.channels:
            return block
        return np.repeat(block.mean(axis=1, dtype=np.float32, keepdims=True), self.channels, axis=1)
