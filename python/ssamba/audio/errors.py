"""The one error for everything that a file of sound can be."""

from __future__ import annotations

import os

from .names import printable


class AudioError(ValueError):
    """An audio file that cannot be used; the message names the file and the reason. Attributes: path, reason."""

    def __init__(self, path: str | os.PathLike, reason: str = ""):
        path = os.fsdecode(path)
        super().__init__(f"{printable(path)}: {reason}" if reason else path)  # torch makes anew what a worker raised
        self.path, self.reason = path, reason
