"""Clips of a manifest as waveforms: checked files, crops that a seed reproduces, unusable files named and counted."""

from __future__ import annotations

import copy
import logging
import math
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from ..audio.log_mel import FRAME_SHIFT, SAMPLE_RATE, frame_count
from ..audio.names import printable
from ..audio.reading import AudioError, AudioFile, new_notes, read_audio
from .clips import Clip, Manifest, ManifestError
from .feature_cache import FeatureCache

_log = logging.getLogger(__name__)
_NAMED_AT_ONCE = 20  # files in one log message; `skipped` has all that are left out
_CHECKED_AT_ONCE = 4096


class AudioDataset(Dataset):
    """The usable clips of a manifest; item i is dict(wave (samples,) float32, labels (C,) float32 multi-hot, index i).

    With a feature cache, an item holds log_mel (T, 128) float32 in place of wave.

    The header of every file is read at construction; a file that is missing, unreadable, empty or shorter than
    `min_seconds` is logged and left out, and what is odd about one that is read all the same is logged. Damage that
    only decoding shows, and silence, come to light when a clip is first read: it is logged once, marked for good, and
    from then on its batches are smaller by one. Nothing takes its place, so every other clip keeps its index, order and
    crop; only where a whole batch is unusable the next usable clip stands in, for a batch is never empty. `skipped`
    holds both kinds, also what worker processes found. Indexing one clip (`dataset[i]`) raises AudioError where a batch
    leaves it out.

    A random crop is drawn from (seed, epoch, index) alone: neither the number of workers nor a resumed run changes it.

    Args:
        manifest: what `read_manifest` returns.
        sample_rate: rate of the waveforms in Hz; files of another rate are resampled.
        seconds: longest waveform; of longer clips a part is taken. None: whole clips.
        random_crop: take that part at random; otherwise the clip's beginning, as the published evaluation does.
        seed: of the crops, at least 0.
        strict: an unusable file raises AudioError, at construction or when it is read.
        min_seconds: shortest usable clip; by default one patch of 16 frames.
        cache: decode every clip at construction and keep them all (4 bytes a sample), for data sets that fit in memory.
        per_second: labels are those of each second, (S, C); random crops then begin at a whole second.
        feature_cache: read log-mel from it, of the cache's own settings. Random crops then begin at whole frames, every
            10 ms, and have the features of that part of the sound; a file is decoded as a whole when it is first read,
            so that damage anywhere in it is found.

    Attributes:
        clips, classes: what is left of the manifest's clips, and its classes.
        durations: (clips,) seconds, exactly those that reading gives.

    Raises:
        AudioError: `strict` and a file is unusable, or no file is usable.
        ValueError: an argument out of range, or a manifest without clips.
    """

    def __init__(
        self,
        manifest: Manifest,
        sample_rate: int = 16000,
        seconds: float | None = None,
        random_crop: bool = False,
        seed: int = 0,
        strict: bool = False,
        *,
        min_seconds: float = 0.175,
        cache: bool = False,
        per_second: bool = False,
        feature_cache: FeatureCache | None = None,
    ):
        if seconds is not None and seconds < min_seconds:
            raise ValueError(f"seconds must be at least min_seconds ({min_seconds:g}), got {seconds:g}")
        if random_crop and seconds is None:
            raise ValueError("random_crop needs the length of the crop: give seconds")
        if seed < 0:
            raise ValueError(f"seed must be at least 0, got {seed}")
        if not len(manifest):
            raise ValueError("the manifest has no clips")
        if cache and feature_cache is not None:
            raise ValueError("cache keeps waveforms, which feature_cache does not read; leave one of the two out")
        self.sample_rate, self.seconds, self.random_crop = sample_rate, seconds, random_crop
        self.seed, self.strict, self.min_seconds, self.per_second = seed, strict, min_seconds, per_second
        self.feature_cache = feature_cache
        self.classes = tuple(manifest.classes)
        self._class_index = {name: index for index, name in enumerate(self.classes)}
        self._cached: list[Tensor] | None = None
        self._reasons: dict[int, str] = {}
        if per_second and (lacking := next((clip.path for clip in manifest.clips if not clip.seconds), None)):
            raise ManifestError(
                f"{lacking} has no labels by the second; give a CSV with a column seconds, the class of each second, "
                "joined by ';'"
            )
        self._check_files(manifest.clips, cache)
        if per_second:
            self._check_seconds()
        # Shared with worker processes: they learn the epoch, and the main process learns what they could not read.
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()
        self._unreadable = torch.zeros(len(self.clips), dtype=torch.bool).share_memory_()

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, index: int) -> dict[str, Any]:
        index = range(len(self.clips))[index]
        start = self._start(index)
        labels = self._labels_by_second(index, start) if self.per_second else self.labels(index)
        if self.feature_cache is None:
            return {"wave": self._read(index, start, self.seconds), "labels": labels, "index": index}
        return {"log_mel": self._read_log_mel(index, start), "labels": labels, "index": index}

    def __getitems__(self, indices: list[int]) -> list[dict[str, Any]]:
        """The items of a batch without those that cannot be read; DataLoader calls this."""
        items = [item for item in map(self._item_if_readable, indices) if item is not None]
        if not items and indices:
            following = ((indices[-1] + step) % len(self) for step in range(1, len(self) + 1))
            items = [next(filter(None, map(self._item_if_readable, following)), None)]
            if items == [None]:
                reason = self._reason(indices[-1])
                raise AudioError(
                    self.clips[indices[-1]].path, f"{reason}; no other clip of this data set can be read either"
                )
        return items

    def labels(self, index: int) -> Tensor:
        """Labels of a clip, (C,) float32: 1 for its classes, 0 elsewhere."""
        labels = torch.zeros(len(self.classes))
        labels[[self._class_index[label] for label in self.clips[index].labels]] = 1.0
        return labels

    def _labels_by_second(self, index: int, start: float) -> Tensor:
        """Labels of the seconds of a clip from `start` on, (S, C)."""
        end = None if self.seconds is None else round(start) + math.ceil(self.seconds)
        seconds = self.clips[index].seconds[round(start) : end]
        labels = torch.zeros(len(seconds), len(self.classes))
        labels[range(len(seconds)), [self._class_index[label] for label in seconds]] = 1.0
        return labels

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch (at least 0) whose random crops are drawn; workers that already run see it too."""
        self._epoch.fill_(epoch)

    def beginnings(self) -> AudioDataset:
        """The same clips, each from its beginning; what cannot be read in one is left out, and logged, for both."""
        view = copy.copy(self)
        view.random_crop = False
        return view

    @property
    def skipped(self) -> list[tuple[str, str]]:
        """(path, reason) of every file left out so far, at construction or while reading."""
        found = self._unreadable.nonzero()[:, 0].tolist()
        return self._skipped_at_start + [(self.clips[index].path, self._reason(index)) for index in found]

    def _reason(self, index: int) -> str:
        """Why a clip was found unreadable; if a worker process found it, that is learnt by reading it again."""
        if index not in self._reasons:
            try:
                self._read(index, 0.0, None)
                self._reasons[index] = "could not be read by a worker process, though it can be now"
            except AudioError as error:
                self._reasons[index] = error.reason
        return self._reasons[index]

    def _check_files(self, clips: list[Clip], cache: bool) -> None:
        self._skipped_at_start: list[tuple[str, str]] = []
        self.clips: list[Clip] = []
        durations, waves, odd = [], [], []
        with ThreadPoolExecutor(8) as pool:
            for first in range(0, len(clips), _CHECKED_AT_ONCE):
                part = clips[first : first + _CHECKED_AT_ONCE]
                for clip, found in zip(part, pool.map(partial(self._check, cache=cache), part), strict=True):
                    if isinstance(found, AudioError):
                        self._skipped_at_start.append((clip.path, found.reason))
                    else:
                        self.clips.append(clip)
                        durations.append(found[0])
                        waves.append(found[1])
                        odd += [f"{printable(clip.path)}: {'; '.join(found[2])}"] if found[2] else []
        self.durations = np.array(durations)
        if cache:
            self._cached = waves
        if odd:
            _log.warning(_listed(f"{len(odd)} of {len(clips)} files are read all the same:", odd))
        if not self._skipped_at_start:
            return
        path, reason = self._skipped_at_start[0]
        count = f"{len(self._skipped_at_start)} of {len(clips)} files cannot be used"
        if self.strict or not self.clips:
            raise AudioError(path, reason if len(clips) == 1 else f"{reason} ({count})")
        named = [f"{printable(path)}: {reason}" for path, reason in self._skipped_at_start]
        _log.warning(_listed(f"{count} and are left out:", named))

    def _check_seconds(self) -> None:
        for clip, duration in zip(self.clips, self.durations, strict=True):
            if abs(len(clip.seconds) - duration) > 1:
                raise ManifestError(
                    f"{clip.path} lasts {duration:g} s, but {len(clip.seconds)} seconds of it have labels"
                )

    def _check(self, clip: Clip, cache: bool) -> tuple[float, Tensor | None, list[str]] | AudioError:
        """Seconds, waveform if wanted, and what is odd about a clip, or what is wrong with it."""
        try:
            with AudioFile(clip.path) as file:
                wave = torch.from_numpy(file.read(self.sample_rate)) if cache else None
                seconds = file.info.duration if wave is None else len(wave) / self.sample_rate
                self._require_length(clip, seconds)
                return seconds, wave, new_notes(file)
        except AudioError as error:
            return error

    def _require_length(self, clip: Clip, seconds: float) -> None:
        if round(seconds * self.sample_rate) < round(self.min_seconds * self.sample_rate):
            raise AudioError(clip.path, f"is too short: {seconds:.3g} s, at least {self.min_seconds:g} s are needed")

    def _item_if_readable(self, index: int) -> dict[str, Any] | None:
        if self._unreadable[index]:
            return None
        try:
            return self[index]
        except AudioError as error:
            if self.strict:
                raise
            self._unreadable[index] = True
            self._reasons[index] = error.reason
            _log.warning("left out from now on: %s: %s", printable(error.path), error.reason)
            return None

    def _start(self, index: int) -> float:
        """Second at which the wanted part of a clip begins."""
        if self.seconds is None or not self.random_crop:
            return 0.0
        unit = 1 if self.feature_cache is None else self.sample_rate * FRAME_SHIFT / SAMPLE_RATE
        unit = self.sample_rate if self.per_second else unit  # samples from one possible beginning to the next
        spare = round(self.durations[index] * self.sample_rate) - round(self.seconds * self.sample_rate)
        if spare < unit:
            return 0.0
        random = np.random.default_rng((self.seed, int(self._epoch), index))
        return int(random.integers(int(spare // unit) + 1)) * unit / self.sample_rate

    def _read(self, index: int, start: float, seconds: float | None) -> Tensor:
        if self._cached is not None:
            first = round(start * self.sample_rate)
            last = None if seconds is None else first + round(seconds * self.sample_rate)
            return self._cached[index][first:last].clone()
        clip = self.clips[index]
        wave = torch.from_numpy(read_audio(clip.path, self.sample_rate, start, seconds))
        self._require_length(clip, len(wave) / self.sample_rate)
        return wave

    def _read_log_mel(self, index: int, start: float) -> Tensor:
        """Frames (T, 128) of the part of a clip that begins at `start`."""
        path, frames = self.clips[index].path, None if self.seconds is None else self._frames(self.seconds)
        x = self.feature_cache.read(path, round(start * SAMPLE_RATE / FRAME_SHIFT), frames)
        if len(x) < self._frames(self.min_seconds):
            raise AudioError(
                path, f"is too short: {len(x)} frames, at least {self._frames(self.min_seconds)} are needed"
            )
        return x

    def _frames(self, seconds: float) -> int:
        return frame_count(round(seconds * self.sample_rate), self.sample_rate)


def _listed(heading: str, lines: list[str]) -> str:
    more = len(lines) - _NAMED_AT_ONCE
    return "\n  ".join([heading, *lines[:_NAMED_AT_ONCE], *([f"and {more} more"] if more > 0 else [])])
