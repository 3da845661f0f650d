"""One process, or group of processes, at a time in a run directory."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .progress import say

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

LOCK = ".lock"
_held: set[int] = set()  # descriptors of the locks of this process


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Nobody else is in this block with the same directory, which is made if it is not there.

    The system gives the lock back when the process ends, however it ends. A file system without locks is named on
    stderr; on Windows nothing is locked. Leaves no file behind, and no empty directory that was not there before.

    Raises ValueError naming the process that holds the directory, OSError if it cannot be written.
    """
    if directory.exists() and not directory.is_dir():
        raise ValueError(f"out is {directory}, which is a file; give a directory")
    new = [path for path in (directory, *directory.parents) if not path.exists()]
    directory.mkdir(parents=True, exist_ok=True)
    try:
        with _lock_file(directory):
            yield
    finally:
        with contextlib.suppress(OSError):  # not empty, as it should be
            for path in new:
                path.rmdir()


@contextmanager
def _lock_file(directory: Path) -> Iterator[None]:
    file = directory / LOCK
    descriptor = _acquire(directory, file)
    _held.add(descriptor)
    try:
        yield
    finally:
        if descriptor in _held:  # not in a forked child
            with contextlib.suppress(OSError):
                file.unlink()  # while it is held: who opened it meanwhile finds that it is no longer the one there
            _held.discard(descriptor)
            os.close(descriptor)


def _acquire(directory: Path, file: Path) -> int:
    """An open file that this process holds, and that says so."""
    while True:
        try:
            descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise OSError(error.errno, f"cannot be written: {error.strerror}", str(directory)) from error
        try:
            if not try_lock(descriptor, directory):
                raise ValueError(
                    f"{directory} is in use by {_holder(descriptor)}; wait for it to end, or choose another --out"
                )
            if os.path.samestat(os.fstat(descriptor), os.stat(file)):
                break
            os.close(descriptor)
        except FileNotFoundError:  # the last holder has just removed it
            os.close(descriptor)
        except BaseException:
            os.close(descriptor)
            raise
    me = {"pid": os.getpid(), "host": platform.node(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}
    with contextlib.suppress(OSError):  # a full disk; it holds all the same
        os.ftruncate(descriptor, 0)
        os.write(descriptor, json.dumps(me).encode())
    return descriptor


def try_lock(descriptor: int, place: Path) -> bool:
    """Lock an open file for as long as it is open; whether it could be had.

    Where there are no locks it counts as had, and stderr says so; on Windows nothing is locked.
    """
    if fcntl is None:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        say(f"{place}: this file system has no locks ({error.strerror}); start no second process there")
    return True


def _holder(descriptor: int) -> str:
    try:
        found = json.loads(os.pread(descriptor, 4096, 0))
        return f"process {found['pid']} on {found['host']} since {found['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"


def _let_go() -> None:
    """A worker that outlives its killed parent for some seconds must not hold the parent's lock."""
    for descriptor in _held:
        os.close(descriptor)
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go)
