"""A file put together from parts of another, so that a decoder sees clean data and nothing is copied."""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate

Piece = bytes | tuple[int, int]  # bytes as they are, or (first byte, length) of the file


class Spliced:
    """The pieces of a file one behind the other, as a binary file to read; it has no name, so that none is guessed by.

    A file that has become shorter since ends earlier.
    """

    def __init__(self, path: str | os.PathLike, pieces: Sequence[Piece]):
        self._pieces = pieces
        self._starts = [0, *accumulate(len(piece) if isinstance(piece, bytes) else piece[1] for piece in pieces)]
        self._raw = open(path, "rb")  # noqa: SIM115
        self._position = 0

    def read(self, size: int = -1) -> bytes:
        left = max(0, self._starts[-1] - self._position)
        size = left if size < 0 else min(size, left)
        parts = []
        while size > 0:
            index = bisect_right(self._starts, self._position) - 1
            piece, inside = self._pieces[index], self._position - self._starts[index]
            length = min(size, self._starts[index + 1] - self._position)
            if isinstance(piece, bytes):
                part = piece[inside : inside + length]
            else:
                self._raw.seek(piece[0] + inside)
                part = self._raw.read(length)
            parts.append(part)
            self._position += len(part)
            size -= len(part)
            if len(part) < length:
                break
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._position = offset + (0, self._position, self._starts[-1])[whence]
        return self._position

    def tell(self) -> int:
        return self._position

    def close(self) -> None:
        self._raw.close()
