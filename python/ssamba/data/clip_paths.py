"""Where the clips of a manifest lie: on this machine, though it may have been written on another."""

from __future__ import annotations

import logging
import os
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath, PureWindowsPath

from ..audio.names import printable
from .clips import ManifestError

_log = logging.getLogger(__name__)
_TRIED = 100  # clips by which it is found out what audio_root stands for


def locate(source: str, written: Sequence[str], root: str, audio_root: str | None) -> list[str]:
    """The path of each clip as it is `written` in a manifest.

    Relative paths begin at `root`. One that leads nowhere is tried with slashes for backslashes, and with accents
    composed or decomposed, as Windows and Macs write them. Absolute paths of which none exists here are those of
    another machine: with `audio_root` it takes the place of the folder there, found by trying from the longest rest of
    the path that exists below it.
    """
    moved: tuple[str, ...] = ()
    if audio_root is not None:
        absolute = [parts for parts in map(_parts, written) if parts]
        moved = _moved(absolute, audio_root)
        if moved:
            _log.warning("%s: paths below %s are read from %s", source, _joined(moved), audio_root)
        elif len(absolute) == len(written) and os.path.lexists(written[0]):
            _log.warning("%s: all its paths are absolute, audio_root %s has no effect", source, audio_root)
    return [_here(text, root, moved) for text in written]


def require_one(source: str, written: Sequence[str], paths: Sequence[str], root: str) -> None:
    """Raise ManifestError if none of the clips exists, with the way out."""
    if any(map(os.path.lexists, paths)):
        return
    theirs = [_parts(text) for text in written]
    common = _common(theirs) if all(theirs) else (os.path.abspath(root),)
    way = "write their paths anew: those are of several drives"
    if common:
        way = f"give audio_root (--audio-root): the folder that takes the place of {_joined(common)}"
    first = printable(written[0] if theirs[0] else paths[0])
    raise ManifestError(
        f"{source}: none of its {len(paths)} clips is there, the first is {first}; if they lie elsewhere, {way}"
    )


def _here(text: str, root: str, moved: tuple[str, ...]) -> str:
    if moved and (parts := _parts(text))[: len(moved)] == moved:
        text = os.path.join(*parts[len(moved) :])
    if os.path.lexists(path := os.path.join(root, text)):
        return path
    spellings = (os.path.join(root, spelling) for spelling in _spellings(text))
    return next(filter(os.path.lexists, spellings), os.path.join(root, text.strip()))


def _spellings(text: str) -> Iterator[str]:
    """What may be meant: no outer spaces, slashes for backslashes, accents composed or decomposed."""
    yield text.strip()
    yield (slashes := text.strip().replace("\\", os.sep))
    yield unicodedata.normalize("NFC", slashes)
    yield unicodedata.normalize("NFD", slashes)


def _parts(text: str) -> tuple[str, ...]:
    """The parts of an absolute path of this or another system; none of a relative one."""
    for path in (PurePosixPath(text.strip()), PureWindowsPath(text.strip())):
        if path.is_absolute():
            return path.parts
    return ()


def _joined(parts: tuple[str, ...]) -> str:
    return os.path.join(*parts) if parts[0].startswith("/") else str(PureWindowsPath(*parts))


def _common(paths: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    """The folder that all of these lie in."""
    first, last = min(paths), max(paths)
    same = next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first))
    return first[: min(same, len(first) - 1)]


def _moved(paths: list[tuple[str, ...]], root: str) -> tuple[str, ...]:
    """The folder of other machine's absolute paths that `root` stands for; none if they are paths of this one."""
    tried = paths[:_TRIED]
    if not paths or any(os.path.lexists(os.path.join(*parts)) for parts in tried):
        return ()
    common = _common(paths)
    for length in range(1, len(common) + 1):
        if any(os.path.lexists(os.path.join(root, *parts[length:])) for parts in tried):
            return common[:length]
    return ()
