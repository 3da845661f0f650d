"""Audio files named on the command line."""

from __future__ import annotations

import os

from ..data.folders import audio_below, full_names, other_files_below


def audio_files(paths: tuple[str, ...]) -> list[str]:
    """Files among `paths`, and all audio files below the folders among them (`audio_below`), each once.

    A file named twice, in two spellings or also by its folder, comes where it is first named; a link is a file of its
    own, whose name people look for in the results. What does not exist or cannot be listed is in the list, so that
    reading names it.

    Raises ValueError if none of the paths exists, or for a folder without audio.
    """
    if not any(map(os.path.lexists, paths)):
        raise ValueError(f"{paths[0]} does not exist")
    files: list[str] = []
    for path in paths:
        try:
            found = audio_below(path) if os.path.isdir(path) else [path]
        except OSError:
            found = [path]
        if not found:
            raise ValueError(f"{path} holds no audio files ({other_files_below(path)})")
        files += found
    first: dict[str, str] = {}
    for name, file in zip(full_names(files), files, strict=True):
        first.setdefault(name, file)
    return list(first.values())
