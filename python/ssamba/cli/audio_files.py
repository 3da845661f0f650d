"""Audio files named on the command line, and reading them in batches."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from ..audio.reading import AudioError, read_audio
from ..data.manifest import AUDIO_SUFFIXES

_SAMPLES_TOGETHER = 1 << 25  # 35 minutes at 16 kHz; with their log-mel about half a GB


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
