"""Names of files as text: on Linux any bytes are a name, and a line of text takes only characters with a shape."""

from __future__ import annotations

import os


def printable(path: str | os.PathLike) -> str:
    r"""The name for a line of text: what has no shape stands as an escape.

    A byte that is not UTF-8 is \xe9, a line end \n; every other name, spaces and accents included, stays as it is.
    """
    text = os.fspath(path)
    return text if text.isprintable() else "".join(map(_shown, text))


def _shown(character: str) -> str:
    if character.isprintable():
        return character
    if "\udc80" <= character <= "\udcff":  # how Python keeps such a byte
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode()
