"""The choice of a decoder for a file, by what is in it."""

from __future__ import annotations

import os
import stat
from typing import BinaryIO

from .causes import missing
from .errors import AudioError
from .native_formats import MalformedError, open_sndfile
from .pyav_source import open_pyav
from .sources import Source

LOWEST_RATE, HIGHEST_RATE = 100, 10_000_000  # Hz; hydrophones for whales begin at about 200


def open_source(path: str | os.PathLike) -> Source:
    """Open an audio file with the decoder that its content asks for; its name does not matter.

    Raises:
        AudioError: the file is missing, no regular file, empty, not audio, visibly damaged, or holds no samples.
    """
    try:
        with _open(path) as raw:
            source = open_sndfile(path, raw)
        source = source or open_pyav(path)
    except MalformedError as error:
        source = open_pyav(path)
        source.notes.append(f"{error.reason}; read by FFmpeg as far as that goes")
    fault = "contains no samples" if source.frames == 0 else None
    if not LOWEST_RATE <= source.sample_rate <= HIGHEST_RATE:
        fault = (
            f"states a rate of {source.sample_rate} Hz; sound has {LOWEST_RATE} to {HIGHEST_RATE} Hz: "
            "its header is damaged, write it anew with the true rate"
        )
    if fault:
        source.close()
        raise AudioError(path, fault)
    return source


def _open(path: str | os.PathLike) -> BinaryIO:
    """The file's bytes; Python knows why a file cannot be opened, libsndfile does not."""
    try:
        found = os.stat(path)
        if stat.S_ISDIR(found.st_mode):
            listable = os.access(path, os.R_OK | os.X_OK)
            raise AudioError(path, f"is a folder{', not an audio file' if listable else ' that may not be listed'}")
        if not stat.S_ISREG(found.st_mode):
            raise AudioError(path, "is a pipe or a device; only files can be read: write its content into one")
        if found.st_size == 0:
            raise AudioError(path, "is empty (0 bytes)")
        return open(path, "rb")
    except FileNotFoundError:
        raise AudioError(path, missing(path)) from None
    except OSError as error:
        raise AudioError(path, f"cannot be opened: {error.strerror}") from error
    except AudioError:
        raise
    except ValueError as error:  # a NUL in the name
        raise AudioError(path, f"cannot be opened, for no file can have such a name: {error}") from error
