"""Reading audio files: any format, any rate, to mono float32, or an error that says what is wrong."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import soxr

from .errors import AudioError
from .names import printable
from .opening import open_source
from .sources import Source

__all__ = ["AudioError", "AudioFile", "AudioInfo", "log_notes", "new_notes", "probe", "read_audio"]

_log = logging.getLogger(__name__)
_BLOCK = 1 << 18  # samples, of all channels together, decoded at once
_RESAMPLER_REACH = 160  # samples of the lower rate; what is further away moves soxr's output by rounding at most
_FULL_SCALE = 10.0  # 20 dB above full scale: floats reach 2 or 4, whole numbers of 8 bits 128
_LOSSY = ("MP3", "OGG")  # no encoder of these stores whole numbers as floats
_MOST = 1 << 31  # samples of one result, 8 GiB
_told: set[tuple[str, str]] = set()


@dataclass(frozen=True)
class AudioInfo:
    """What a file holds. `frames` is samples per channel at `sample_rate` Hz; `duration` is in seconds."""

    frames: int
    sample_rate: int
    channels: int
    format: str

    @property
    def duration(self) -> float:
        return self.frames / self.sample_rate

    def samples_at(self, sample_rate: int) -> int:
        """Samples that the whole file has when it is read at this rate."""
        return (2 * self.frames * sample_rate + self.sample_rate) // (2 * self.sample_rate)


class AudioFile:
    """An open audio file, to be read as a whole, in part, or in blocks; a context manager, for one thread at a time.

    Attributes:
        path: as given.
        info: AudioInfo; its `frames` are exactly those that reading gives.
        notes: what is odd about a file that is read all the same, a sentence each; grows by what reading finds.

    Raises:
        AudioError: the file is missing, a directory, empty, not audio, visibly cut off, or holds no samples.
    """

    def __init__(self, path: str | os.PathLike):
        self.path = path
        self._source: Source = open_source(path)
        self.info = AudioInfo(self._source.frames, self._source.sample_rate, self._source.channels, self._source.format)
        self.notes = list(self._source.notes)
        self._loud = False

    def __enter__(self) -> AudioFile:
        return self

    def __exit__(self, *exception) -> None:
        self.close()

    def close(self) -> None:
        self._source.close()

    def read(self, sample_rate: int = 16000, start: float = 0.0, seconds: float | None = None) -> np.ndarray:
        """The file, or a part of it, as `read_audio` documents."""
        sample_rate = _checked_rate(sample_rate)
        if not (math.isfinite(start) and start >= 0):
            raise ValueError(f"start must be at least 0 seconds, got {start}")
        if seconds is not None and not (math.isfinite(seconds) and round(seconds * sample_rate) > 0):
            raise ValueError(f"seconds must be long enough for one sample, got {seconds}")
        frames, rate = self.info.frames, self.info.sample_rate
        first = round(start * sample_rate)
        if first * rate >= frames * sample_rate:
            raise AudioError(self.path, f"ends before start={start:g} s: it is {frames / rate:g} s long")
        common = math.gcd(rate, sample_rate)
        grid, grid_out = rate // common, sample_rate // common  # so many samples of the file are so many of the result
        reach = max(0.02, _RESAMPLER_REACH / min(rate, sample_rate))  # seconds
        begin = max(0, first // grid_out - math.ceil(reach * sample_rate / grid_out)) * grid
        end = frames
        if seconds is not None:
            last = first + round(seconds * sample_rate)
            end = min(end, math.ceil((last / sample_rate + reach) * rate) if rate != sample_rate else last)
        self._require_room((end - begin) * max(1.0, sample_rate / rate))
        wave = self._decode(begin, end)
        if len(wave) and (wave == wave[0]).all() and self._is_silent(wave[0]):
            raise AudioError(self.path, f"is silent: every sample is {wave[0]:g}")
        if rate != sample_rate:
            wave = soxr.resample(wave, rate, sample_rate)
        offset = first - begin // grid * grid_out
        wave = wave[offset:] if seconds is None else wave[offset : offset + round(seconds * sample_rate)]
        if not len(wave):
            raise AudioError(
                self.path, f"has no sample of {sample_rate} Hz from start={start:g} s: it is {frames / rate:g} s long"
            )
        return np.ascontiguousarray(wave)

    def blocks(self, sample_rate: int = 16000, seconds: float = 30.0) -> Iterator[np.ndarray]:
        """The whole file in blocks of `seconds`, (samples,) float32, the last one shorter.

        Together they are `read(sample_rate)` to float32 rounding, though memory does not grow with the file's length.

        Raises:
            AudioError: as `read`; damage where it is met, silence at the end.
            ValueError: `sample_rate` or `seconds` out of range.
        """
        sample_rate = _checked_rate(sample_rate)
        if not (math.isfinite(seconds) and round(seconds * sample_rate) > 0):
            raise ValueError(f"seconds must be long enough for one sample, got {seconds}")
        return _regular(self._resampled(sample_rate), round(seconds * sample_rate))

    def _resampled(self, sample_rate: int) -> Iterator[np.ndarray]:
        """The whole file at another rate, in pieces as they come."""
        rate, first, silent = self.info.sample_rate, None, True
        stream = soxr.ResampleStream(rate, sample_rate, 1) if rate != sample_rate else None
        for wave in self._decoded(0, self.info.frames):
            first = wave[0] if first is None else first
            silent = silent and bool((wave == first).all())
            yield wave if stream is None else stream.resample_chunk(wave)
        if silent:
            raise AudioError(self.path, f"is silent: every sample is {first:g}")
        if stream is not None:
            yield stream.resample_chunk(np.zeros(0, np.float32), last=True)

    def _decode(self, begin: int, end: int) -> np.ndarray:
        parts = list(self._decoded(begin, end))
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _decoded(self, begin: int, end: int) -> Iterator[np.ndarray]:
        """Samples begin..end of the file, channels averaged, in pieces as they are decoded."""
        self._source.seek(begin)
        step = max(1, _BLOCK // self.info.channels)
        for place in range(begin, end, step):
            wanted = min(step, end - place)
            samples = self._source.read(wanted)
            if len(samples) < wanted:
                decoded, whole = ((n / self.info.sample_rate) for n in (place + len(samples), self.info.frames))
                raise AudioError(self.path, f"is truncated or corrupt: {decoded:.3g} of {whole:.3g} s could be decoded")
            wave = samples.mean(axis=1, dtype=np.float32) if samples.shape[1] > 1 else samples[:, 0]
            self._look_at(wave, place)
            yield wave

    def _look_at(self, wave: np.ndarray, place: int) -> None:
        """Refuse what is no number, and note what is no sound between -1 and 1."""
        low, high = wave.min(), wave.max()
        if not (np.isfinite(low) and np.isfinite(high)):
            place += int((~np.isfinite(wave)).argmax())
            raise AudioError(self.path, f"has a sample that is not a finite number, at {place}")
        peak = max(-low, high)
        if peak > _FULL_SCALE and not self._loud:
            self._loud = True
            likely = f"whole numbers stored as floats, it seems: divide them by {_full_scale(peak)} and write it anew"
            if self.info.format in _LOSSY:
                likely = "damage, it seems: listen to it"
            self.notes.append(f"has samples as large as {peak:g}, where [-1, 1] is expected; {likely}")

    def _is_silent(self, value: float) -> bool:
        """Whether all samples of the whole file, channels averaged, are equal; stops at the first that is not."""
        return all((wave == value).all() for wave in self._decoded(0, self.info.frames))

    def _require_room(self, samples: float) -> None:
        if samples > _MOST:
            raise AudioError(self.path, f"has {samples:.3g} samples, more than one array may hold; read it in parts")


def probe(path: str | os.PathLike) -> AudioInfo:
    """Length, rate, channels and format of an audio file; the length is that which reading gives, exact to a sample.

    Raises:
        AudioError: as `AudioFile`.
    """
    with AudioFile(path) as file:
        return file.info


def read_audio(
    path: str | os.PathLike, sample_rate: int = 16000, start: float = 0.0, seconds: float | None = None
) -> np.ndarray:
    """Read a file, or a part of it, as mono float32 samples at `sample_rate` Hz.

    Channels are averaged, then soxr (HQ) resamples. Only the wanted part is read, with the margin the resampler needs,
    so a part equals the same slice of the whole file to float32 rounding. What is odd about a file that is read all the
    same, such as a header that states another length, is logged once a process.

    Args:
        path: wav, flac, ogg, mp3, opus, aiff or another format of libsndfile, or of FFmpeg where PyAV is installed.
        sample_rate: wanted rate in Hz, a positive whole number.
        start: where to begin, in seconds, at least 0, rounded to a sample of the result.
        seconds: how much to read, above 0; None: to the end. A file that ends earlier gives less.

    Returns:
        (samples,) float32; whole file: round(frames * sample_rate / rate of the file) samples.

    Raises:
        AudioError: as `AudioFile`; also undecodable or truncated data, NaN or infinite samples, nothing left at
            `start`, or a silent file (all samples equal). A part may be silent where the rest of the file is not.
        ValueError: `sample_rate`, `start` or `seconds` out of range.
    """
    with AudioFile(path) as file:
        wave = file.read(sample_rate, start, seconds)
    log_notes(file)
    return wave


def log_notes(file: AudioFile) -> None:
    """Log what is odd about a file, each thing once a process."""
    for note in new_notes(file):
        _log.warning("%s: %s", printable(os.fsdecode(file.path)), note)


def new_notes(file: AudioFile) -> list[str]:
    """The notes of a file that this process has not asked for before; whoever asks tells them."""
    path = os.path.abspath(os.fsdecode(file.path))
    new = [note for note in file.notes if (path, note) not in _told]
    _told.update((path, note) for note in new)
    return new


def _checked_rate(sample_rate: int) -> int:
    if sample_rate != int(sample_rate) or sample_rate <= 0:
        raise ValueError(f"sample_rate must be a positive whole number of Hz, got {sample_rate}")
    return int(sample_rate)


def _regular(pieces: Iterator[np.ndarray], length: int) -> Iterator[np.ndarray]:
    """The same samples in blocks of one length, the last one shorter."""
    held, kept = 0, []
    for piece in pieces:
        while held + len(piece) >= length:
            yield np.concatenate([*kept, piece[: length - held]])
            piece = piece[length - held :]
            held, kept = 0, []
        if len(piece):
            kept.append(piece)
            held += len(piece)
    if held:
        yield np.concatenate(kept)


def _full_scale(peak: float) -> int:
    """The full scale of the smallest whole numbers that hold `peak`."""
    return next((1 << bits for bits in (7, 15, 23) if peak <= 1 << bits), 1 << 31)
