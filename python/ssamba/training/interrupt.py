"""Ctrl-C, SIGTERM and a lost connection: finish the step, save, leave."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupted(Exception):
    """A signal stopped the run after a whole step; the checkpoint is saved. `exit_code` is 128 + the signal number."""

    def __init__(self, message: str, signal_number: int):
        super().__init__(message)
        self.exit_code = 128 + signal_number


SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


class StopWaiting(BaseException):
    """A signal came inside `SignalWatch.at_once`."""


class SignalWatch:
    """Inside `with SignalWatch() as watch:` the first SIGINT, SIGTERM or SIGHUP only sets `watch.received`.

    A second one acts as it did before, but for SIGHUP, of which a lost connection sends two. A signal that is ignored,
    as under nohup, still is. Outside the main thread Python cannot catch signals; then nothing changes.
    """

    def __init__(self) -> None:
        self.received: int = 0
        self._previous: dict[int, object] = {}
        self._waiting = False

    def __enter__(self) -> SignalWatch:
        if threading.current_thread() is threading.main_thread():
            handlers = {number: signal.getsignal(number) for number in SIGNALS}
            self._previous = {number: old for number, old in handlers.items() if old is not signal.SIG_IGN}
            for number in self._previous:
                signal.signal(number, self._note)
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous = {}

    @contextmanager
    def at_once(self, wanted: bool = True) -> Iterator[None]:
        """Inside, where nothing is lost by it, a signal raises StopWaiting; so does one that came before."""
        try:
            self._waiting = wanted
            if wanted and self.received:
                raise StopWaiting
            yield
        finally:
            self._waiting = False

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.received = number
        for other, handler in self._previous.items():
            signal.signal(other, signal.SIG_IGN if other == getattr(signal, "SIGHUP", None) else handler)
        if self._waiting:
            raise StopWaiting
