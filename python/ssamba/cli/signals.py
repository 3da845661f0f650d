"""Ctrl-C, SIGTERM (a time limit, `kill`) and SIGHUP (a lost connection) end the command with a line."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

from ..training.interrupt import SIGNALS, Interrupted


class Stopped(KeyboardInterrupt):
    """A signal has come, whose number is `number`; what is done can still be brought to its end."""

    def __init__(self, number: int):
        super().__init__(signal.Signals(number).name)
        self.number = number

    @property
    def exit_code(self) -> int:
        return 128 + self.number


@contextmanager
def stopping() -> Iterator[None]:
    """Inside, signals raise `Stopped`; those that are ignored, as under nohup, still are.

    Outside the main thread Python cannot catch signals; then nothing changes.
    """
    caught = {}
    if threading.current_thread() is threading.main_thread():
        handlers = {number: signal.getsignal(number) for number in SIGNALS}
        caught = {n: h for n, h in handlers.items() if h in (signal.SIG_DFL, signal.default_int_handler)}
    for number in caught:
        signal.signal(number, _stop)
    try:
        yield
    finally:
        for number, handler in caught.items():
            signal.signal(number, handler)


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    if _importing(frame):  # where numpy and others make something else of an exception, and nothing is done yet
        os.write(2, f"ssamba: {signal.Signals(number).name}: stopped\n".encode())
        os._exit(128 + number)
    raise Stopped(number)


def _importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_globals.get("__name__") == "importlib._bootstrap":
            return True
        frame = frame.f_back
    return False


@contextmanager
def stopped_after(done: Callable[[], str], resumable: bool) -> Iterator[None]:
    """A signal inside says how much was `done`, and how to go on if the rest can be done later."""
    try:
        yield
    except KeyboardInterrupt as stop:
        number = getattr(stop, "number", signal.SIGINT)
        hint = "; the same command with --resume goes on" if resumable else ""
        raise Interrupted(f"{signal.Signals(number).name}: stopped after {done()}{hint}", number) from stop
