"""What a person sees of a run: a bar in a terminal, a line at each validation elsewhere, nothing when quiet."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from collections.abc import Iterable, Iterator
from datetime import timedelta
from functools import cache
from typing import TextIO, TypeVar

from tqdm import tqdm

T = TypeVar("T")
_BAR = "{desc} {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}{postfix}]"


_BAR_OF_FILES = "{desc} {percentage:3.0f}%|{bar}| {n:.1f}/{total_fmt} files [{elapsed}<{remaining}{postfix}]"


def standard_error() -> TextIO:
    """stderr, or what swallows everything where there is none (services, pythonw)."""
    return _nowhere() if sys.stderr is None else sys.stderr


@cache
def _nowhere() -> TextIO:
    return open(os.devnull, "w", encoding="utf-8")  # for as long as the process lives


def shows_progress(quiet: bool) -> bool:
    """Whether a person is there to look at a bar."""
    return not quiet and standard_error().isatty()


def _columns() -> int:
    return min(80, shutil.get_terminal_size((80, 24)).columns)


def say(text: str, stream: TextIO | None = None) -> None:
    """A line on stderr, broken to fit in a terminal."""
    stream = stream or standard_error()
    if stream.isatty():
        text = textwrap.fill(text, _columns(), subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
    print(text, file=stream, flush=True)


class ProgressDisplay:
    """Progress over the steps of a run, on stderr, readable at 80 columns."""

    def __init__(self, total: int, done: int, quiet: bool = False, stream: TextIO | None = None):
        self._stream = stream or standard_error()
        self._quiet = quiet
        self._bar = tqdm(
            total=total,
            initial=done,
            disable=quiet or not self._stream.isatty(),
            ncols=_columns(),
            bar_format=_BAR,
            file=self._stream,
            leave=True,
            unit="step",
        )

    def step(self, epoch: str, loss: float, clips_per_second: float) -> None:
        """One optimiser step is done."""
        self._bar.set_description_str(epoch, refresh=False)
        self._bar.set_postfix_str(f"loss {loss:.3f}, {clips_per_second:.0f} clips/s", refresh=False)
        self._bar.update()

    def message(self, text: str) -> None:
        """A line that stays."""
        if not self._quiet:
            self._bar.clear()
            say(text, self._stream)
            self._bar.refresh()

    def close(self) -> None:
        self._bar.close()


def progress_bar(items: Iterable[T], description: str, quiet: bool = False, total: int | None = None) -> Iterator[T]:
    """`items`, with a bar on stderr that vanishes at the end; no bar when quiet or outside a terminal."""
    hidden, stream = not shows_progress(quiet), standard_error()
    return iter(tqdm(items, desc=description, total=total, disable=hidden, ncols=_columns(), leave=False, file=stream))


class SoundProgress:
    """A bar over files that moves with every second of their sound, as one of them may last hours."""

    def __init__(self, files: int, description: str, quiet: bool = False):
        self._bar = tqdm(
            total=files,
            desc=description,
            disable=not shows_progress(quiet),
            ncols=_columns(),
            bar_format=_BAR_OF_FILES,
            leave=False,
            file=standard_error(),
        )
        self._files, self._sound = 0, 0.0

    def heard(self, seconds: float, duration: float) -> None:
        """So much of the present file, which lasts `duration` seconds, has been read."""
        self._sound += seconds
        self._bar.set_postfix_str(f"{timedelta(seconds=round(self._sound))} of sound", refresh=False)
        self._bar.update(min(seconds / duration, self._files + 1 - self._bar.n))

    def file_done(self) -> None:
        """The present file has been read, or left out; the next begins."""
        self._files += 1
        self._bar.update(self._files - self._bar.n)

    def clear(self) -> None:
        """Makes room for a line of output; the bar comes back with the next sound."""
        self._bar.clear()

    def close(self) -> None:
        self._bar.close()
