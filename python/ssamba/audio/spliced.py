"""A file put together from parts of another, so that a decoder sees clean data and nothing is copied."""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate

_WINDOW = 1 << 16  # bytes
Piece = bytes | tuple[int, int]  # bytes as they are, or (first byte, length) of the file


class Spliced:
    """The pieces of a file one behind the other, as a binary file to read; it has no name, so that none is guessed by.

    A file that has become shorter since ends earlier.
    """

    def __init__(self, path: str | os.PathLike, pieces: Sequence[Piece]):
        self._pieces = pieces
        self._starts = [0, *accumulate(len(piece) if isinstance(piece, bytes) else piece[1] for piece in pieces)]
        self._raw = open(path, "rb", buffering=0)  # noqa: SIM115
        self._position = 0
        self._window, self._first = (
            memoryview(b""),
            0,
        )  # bytes at hand, and where they begin: decoders take little at once

    def readinto(self, buffer) -> int:
        """Fill a buffer from where the file stands; less only at the end."""
        target, done = memoryview(buffer).cast("B"), 0
        while done < len(target):
            inside = self._position - self._first
            if not 0 <= inside < len(self._window):
                self._fill()
                if not self._window:
                    break
                inside = 0
            part = self._window[inside : inside + len(target) - done]
            target[done : done + len(part)] = part
            done += len(part)
            self._position += len(part)
        return done

    def read(self, size: int = -1) -> bytes:
        left = max(0, self._starts[-1] - self._position)
        data = bytearray(left if size < 0 else min(size, left))
        return bytes(data[: self.readinto(data)])

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._position = offset + (0, self._position, self._starts[-1])[whence]
        return self._position

    def tell(self) -> int:
        return self._position

    def close(self) -> None:
        self._raw.close()

    def _fill(self) -> None:
        """Bring the bytes from the present position on to hand, as far as their piece goes."""
        index = bisect_right(self._starts, self._position) - 1
        self._first = self._position
        if not 0 <= index < len(self._pieces):
            self._window = memoryview(b"")
            return
        piece, inside = self._pieces[index], self._position - self._starts[index]
        if isinstance(piece, bytes):
            self._window = memoryview(piece)[inside:]
        else:
            self._raw.seek(piece[0] + inside)
            self._window = memoryview(self._raw.read(min(_WINDOW, piece[1] - inside)))
