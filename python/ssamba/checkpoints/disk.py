"""What a disk refuses, as one OSError that names the file that was meant and the room there is."""

from __future__ import annotations

import errno
import os
import re
import shutil
from pathlib import Path

from safetensors import SafetensorError


def system_error(error: BaseException) -> OSError | None:
    """The error of the system behind `error`, which safetensors and torch hide in texts of their own; None for others.

    torch must have been given an open file, not a path: only then Python saw what the system said.
    """
    if isinstance(error, OSError):
        return error
    if isinstance(error, SafetensorError) and (found := re.search(r"\(os error (\d+)\)", str(error))):
        return OSError(int(found[1]), os.strerror(int(found[1])))
    if isinstance(error, RuntimeError):
        return next((cause for cause in (error.__cause__, error.__context__) if isinstance(cause, OSError)), None)
    return None


def refused(error: OSError, path: str | os.PathLike) -> OSError:
    """`error` as one of writing `path`; of a full disk it says how much is free."""
    reason = error.strerror or str(error)
    if error.errno == errno.ENOSPC:
        reason = f"{reason} ({_room(Path(path).parent)})"
    elif error.errno == errno.EFBIG:
        reason = f"{reason}: more than this file system or ulimit -f allows"
    return OSError(error.errno, reason, os.fspath(path))


def _room(folder: Path) -> str:
    try:
        found = os.statvfs(folder) if hasattr(os, "statvfs") else None
        if found is not None and found.f_files and not found.f_favail:
            return "the disk has no inodes left for another file"
        return f"more is needed than the {in_words(shutil.disk_usage(folder).free)} that are free"
    except OSError:
        return "the disk is full"


def in_words(size: float) -> str:
    """A number of bytes: 1234567 → "1.23 MB"."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} TB"
