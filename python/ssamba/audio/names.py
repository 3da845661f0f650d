"""Names of files as text: on Linux any bytes are a name, and a line of text takes only characters with a shape."""

from __future__ import annotations

import os
import shlex
from pathlib import Path


def printable(path: str | os.PathLike) -> str:
    r"""The name for a line of text: what has no shape stands as an escape.

    A byte that is not UTF-8 is \xe9, a line end \n; every other name, spaces and accents included, stays as it is.
    """
    text = os.fspath(path)
    return text if text.isprintable() else "".join(map(_shown, text))


def quoted(path: str | os.PathLike, suffix: str | None = None) -> str:
    """A file's name without its folder, with another suffix if one is given, as a shell takes it."""
    path = Path(os.fsdecode(path))
    return shlex.quote(path.name if suffix is None else path.stem + suffix)


def _shown(character: str) -> str:
    if character.isprintable():
        return character
    if "\udc80" <= character <= "\udcff":  # how Python keeps such a byte
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode()
