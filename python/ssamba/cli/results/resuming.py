"""What it takes to go on with a result that a command was stopped in: the same settings, and nobody else at it."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import IO, Any

from ...checkpoints.disk import refused
from ...training.checkpoints import WEIGHTS, resolve_checkpoint
from ...training.run_lock import try_lock


def checkpoint_digest(path: str) -> str:
    """SHA-256 of all that a checkpoint is read from, wherever it lies."""
    place = resolve_checkpoint(path)
    files = [place] if place.is_file() else [place / name for name in ("config.json", "readout.json", WEIGHTS)]
    digest = hashlib.sha256()
    for file in filter(Path.is_file, files):
        with file.open("rb") as content:
            while block := content.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def check_same_settings(place: Path, saved: dict[str, Any], now: dict[str, Any]) -> None:
    """Raises ValueError naming every setting that is not what `place` was begun with."""
    changed = [_change(name, saved.get(name), now.get(name)) for name in now if saved.get(name) != now.get(name)]
    if changed:
        raise ValueError(
            f"{place} was begun with other settings: {'; '.join(changed)}; resume it with the same ones, or choose "
            "another --out"
        )


def _change(name: str, saved: Any, now: Any) -> str:
    if name == "weights":
        return "the checkpoint held other weights"
    return f"{name} was {saved!r}, now {now!r}"


def claim(file: IO[bytes], place: Path) -> None:
    """Locks an open file while it is open; raises ValueError if another process writes it."""
    if not try_lock(file.fileno(), place):
        raise ValueError(f"{place} is being written by another process; wait for it, or choose another --out")


def append(file: IO[bytes], content: bytes, path: Path) -> None:
    """Writes all of it to an unbuffered file; an error of the system names the file."""
    rest = memoryview(content)
    try:
        while len(rest):
            rest = rest[file.write(rest) :]
    except OSError as error:
        raise refused(error, path) from error
