"""Standard output and error as people leave them: closed, full, read by a program that has gone, or in ASCII."""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO


class _Stream:
    """A standard stream that remembers why it could not be written, and from then on writes into nothing."""

    def __init__(self, stream: TextIO, raises: bool):
        self._stream, self._raises = stream, raises
        self.fault: OSError | None = None

    def write(self, text: str) -> int:
        with self._watched():
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with self._watched():
            self._stream.flush()

    @contextmanager
    def _watched(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self.fault = error
            with suppress(OSError, ValueError):  # what is left in its buffer would fail once more, at exit
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, self._stream.fileno())
                os.close(nowhere)
            if self._raises:
                raise

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class _Closed(io.TextIOBase):
    """Standard output that was closed before the start, as by `>&-`."""

    def write(self, text: str) -> int:
        raise OSError(errno.EBADF, "closed")


@contextmanager
def usable_streams() -> Iterator[None]:
    """Inside, both streams are there and take any text. What cannot go to stderr is lost: the work goes on.

    What standard output cannot encode, such as a file name that is not UTF-8, comes out with backslashes.
    """
    output, error = sys.stdout, sys.stderr
    _occupy_descriptors()
    errors = getattr(output, "errors", None)
    if isinstance(output, io.TextIOWrapper):
        output.reconfigure(errors="backslashreplace")
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        sys.stdout = _Stream(_Closed() if output is None else output, raises=True)
        sys.stderr = _Stream(nowhere if error is None else error, raises=False)
        try:
            yield
        finally:
            sys.stdout, sys.stderr = output, error
            if isinstance(output, io.TextIOWrapper):
                output.reconfigure(errors=errors)


def output_fault() -> str | None:
    """Writes what standard output still holds; says why something could not be written, or None."""
    with suppress(OSError):
        sys.stdout.flush()
    fault = sys.stdout.fault
    if fault is None:
        return None
    return f"standard output: {'its reader has gone' if isinstance(fault, BrokenPipeError) else fault.strerror}"


def _occupy_descriptors() -> None:
    """Opens those of 0, 1 and 2 that are closed: the next file would get them, and with it what C libraries print."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            with suppress(OSError):
                os.open(os.devnull, os.O_RDWR)  # takes the lowest that is free
