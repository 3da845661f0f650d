"""Standard output and error as people leave them: closed, full, read by a program that has gone, or in ASCII."""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO


class _Closed(io.TextIOBase):
    """Standard output that was closed before the start, as by `>&-`."""

    def write(self, text: str) -> int:
        raise _OutputClosed(errno.EBADF, "closed")


class _OutputClosed(OSError):
    pass


class _Forgiving:
    """Standard error that loses what cannot be written: to say how the work goes is not worth the work."""

    def __init__(self, stream: TextIO):
        self._stream = stream

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except OSError:
            _drop(self._stream)
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError:
            _drop(self._stream)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def usable_streams() -> Iterator[None]:
    """Inside, both streams are there and take any text; what goes to a stderr that is not there is lost.

    What standard output cannot encode, such as a file name that is not UTF-8, comes out with backslashes.
    """
    output, error = sys.stdout, sys.stderr
    _occupy_descriptors()
    errors = getattr(output, "errors", None)
    if isinstance(output, io.TextIOWrapper):
        output.reconfigure(errors="backslashreplace")
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        sys.stdout, sys.stderr = output or _Closed(), _Forgiving(error or nowhere)
        try:
            yield
        finally:
            sys.stdout, sys.stderr = output, error
            if isinstance(output, io.TextIOWrapper):
                output.reconfigure(errors=errors)


def output_fault(error: BaseException | None = None) -> str | None:
    """Writes what standard output still holds; says what is wrong with it, or None.

    `error` is what was raised before, perhaps by it. After a fault nothing more is written, and nothing fails at exit.
    """
    fault = error if isinstance(error, (BrokenPipeError, _OutputClosed)) else None
    try:
        sys.stdout.flush()
    except OSError as found:
        fault = found
    if fault is None:
        return None
    _drop(sys.stdout)
    return f"standard output: {'its reader has gone' if isinstance(fault, BrokenPipeError) else fault.strerror}"


def _drop(stream: TextIO) -> None:
    """Lets a stream write into nothing, with what is in its buffer."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def _occupy_descriptors() -> None:
    """Opens those of 0, 1 and 2 that are closed: the next file would get them, and with it what C libraries print."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            with suppress(OSError):
                os.open(os.devnull, os.O_RDWR)  # takes the lowest that is free
