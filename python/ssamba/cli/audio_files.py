"""Audio files named on the command line."""

from __future__ import annotations

import os
from pathlib import Path

from ..data.manifest import AUDIO_SUFFIXES


def audio_files(paths: tuple[str, ...]) -> list[str]:
    """Files among `paths`, and all audio files below the folders among them, sorted, each once.

    Raises ValueError for a path that does not exist or a folder without audio.
    """
    files: list[str] = []
    for path in paths:
        if os.path.isdir(path):
            found = sorted(str(f) for f in Path(path).rglob("*") if f.suffix.lower() in AUDIO_SUFFIXES and f.is_file())
            if not found:
                raise ValueError(f"{path} holds no audio files ({', '.join(sorted(AUDIO_SUFFIXES)[:6])}, ...)")
            files += found
        elif os.path.exists(path):
            files.append(path)
        else:
            raise ValueError(f"{path} does not exist")
    return list(dict.fromkeys(files))
