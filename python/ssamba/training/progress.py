"""What a person sees of a run: a bar in a terminal, a line at each validation elsewhere, nothing when quiet."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Iterable, Iterator
from typing import TextIO, TypeVar

from tqdm import tqdm

T = TypeVar("T")
_BAR = "{desc} {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}{postfix}]"


def _columns() -> int:
    return min(80, shutil.get_terminal_size((80, 24)).columns)


def say(text: str, stream: TextIO | None = None) -> None:
    """A line on stderr, broken to fit in a terminal."""
    stream = stream or sys.stderr
    if stream.isatty():
        text = textwrap.fill(text, _columns(), subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
    print(text, file=stream, flush=True)


class ProgressDisplay:
    """Progress over the steps of a run, on stderr, readable at 80 columns."""

    def __init__(self, total: int, done: int, quiet: bool = False, stream: TextIO | None = None):
        self._stream = stream or sys.stderr
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
    hidden = quiet or not sys.stderr.isatty()
    return iter(
        tqdm(items, desc=description, total=total, disable=hidden, ncols=_columns(), leave=False, file=sys.stderr)
    )
