"""Audio files named on the command line, and reading them in batches."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

import numpy as np

from ..audio.reading import AudioError, read_audio
from ..data.folders import audio_below, full_names, other_files_below

_SAMPLES_TOGETHER = 1 << 25  # 35 minutes at 16 kHz; with their log-mel about half a GB


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


class AudioReader:
    """Waveforms of files; what cannot be used is kept in `skipped` as (path, reason), or raised if `strict`."""

    def __init__(self, sample_rate: int, min_samples: int, strict: bool):
        self.sample_rate, self.min_samples, self.strict = sample_rate, min_samples, strict
        self.skipped: list[tuple[str, str]] = []

    def read(self, path: str) -> np.ndarray | None:
        try:
            wave = read_audio(path, self.sample_rate)
            if len(wave) < self.min_samples:
                seconds, needed = len(wave) / self.sample_rate, self.min_samples / self.sample_rate
                raise AudioError(path, f"is too short: {seconds:.3g} s, at least {needed:.3g} s are needed")
            return wave
        except AudioError as error:
            if self.strict:
                raise
            self.skipped.append((path, error.reason))
            return None

    def batches(self, files: Iterable[str], batch_size: int) -> Iterator[tuple[list[str], np.ndarray]]:
        """(paths, waves (B, samples)) of consecutive files of equal length, at most `batch_size` together.

        Of long files fewer, for memory.
        """
        paths: list[str] = []
        waves: list[np.ndarray] = []
        for path in files:
            wave = self.read(path)
            if wave is None:
                continue
            together = min(batch_size, max(1, _SAMPLES_TOGETHER // len(wave)))
            if waves and (len(waves) >= together or len(wave) != len(waves[0])):
                yield paths, np.stack(waves)
                paths, waves = [], []
            paths.append(path)
            waves.append(wave)
        if waves:
            yield paths, np.stack(waves)
