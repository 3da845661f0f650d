"""The one error for everything that a file of sound can be."""

from __future__ import annotations

import os


class AudioError(ValueError):
    """An audio file that cannot be used; the message names the file and the reason. Attributes: path, reason."""

    def __init__(self, path: str | os.PathLike, reason: str = ""):
        super().__init__(f"{os.fspath(path)}: {reason}" if reason else os.fspath(path))
        self.path, self.reason = os.fspath(path), reason
