"""Reading audio files: any format libsndfile knows, any rate, to mono float32, or an error that says what is wrong."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr

_BLOCK = 1 << 18  # samples read at once where the signal is only looked at
_RESAMPLER_REACH = 0.02  # seconds; from further away a sample moves soxr's output by float32 rounding at most
_UNKNOWN_LENGTH = 1 << 62  # of a streamed FLAC libsndfile says 2^63 - 1 samples
_STREAMED_CHUNK = 0x7FFF0000  # a streamed WAV states a chunk of about 2 or 4 GiB
_HEADER_SLACK = 64  # bytes; some writers count their header in
_MP3_RUN_IN = 16 * 1152  # samples decoded and dropped after a seek: MP3 frames lean on earlier ones
_MP3_SLACK = 2 * 1152  # without a Xing header the length is an estimate, good to a frame or two


class AudioError(ValueError):
    """An audio file that cannot be used; the message names the file and the reason. Attributes: path, reason."""

    def __init__(self, path: str | os.PathLike, reason: str = ""):
        super().__init__(f"{os.fspath(path)}: {reason}" if reason else os.fspath(path))
        self.path, self.reason = os.fspath(path), reason


@dataclass(frozen=True)
class AudioInfo:
    """What a file's header states. `frames` is samples per channel at `sample_rate` Hz; `duration` is in seconds."""

    frames: int
    sample_rate: int
    channels: int
    format: str

    @property
    def duration(self) -> float:
        return self.frames / self.sample_rate


def probe(path: str | os.PathLike) -> AudioInfo:
    """Length, rate, channels and format of an audio file, from its header alone.

    Raises:
        AudioError: the file is missing, a directory, empty, not audio, visibly cut off, or holds no samples.
    """
    with _open(path) as file:
        return AudioInfo(file.frames, file.samplerate, file.channels, file.format)


def read_audio(
    path: str | os.PathLike, sample_rate: int = 16000, start: float = 0.0, seconds: float | None = None
) -> np.ndarray:
    """Read a file, or a part of it, as mono float32 samples at `sample_rate` Hz.

    Channels are averaged, then soxr (HQ) resamples. Only the wanted part is read, with the margin the resampler needs,
    so a part equals the same slice of the whole file to float32 rounding.

    Args:
        path: wav, flac, ogg, mp3, opus, aiff or another format of libsndfile.
        sample_rate: wanted rate in Hz, a positive whole number.
        start: where to begin, in seconds, at least 0, rounded to a sample of the result.
        seconds: how much to read, above 0; None: to the end. A file that ends earlier gives less.

    Returns:
        (samples,) float32; whole file: round(frames * sample_rate / rate of the file) samples.

    Raises:
        AudioError: as `probe`; also undecodable or truncated data, NaN or infinite samples, nothing left at `start`,
            or a silent file (all samples equal). A part may be silent where the rest of the file is not.
        ValueError: `sample_rate`, `start` or `seconds` out of range.
    """
    if sample_rate != int(sample_rate) or sample_rate <= 0:
        raise ValueError(f"sample_rate must be a positive whole number of Hz, got {sample_rate}")
    if not (math.isfinite(start) and start >= 0):
        raise ValueError(f"start must be at least 0 seconds, got {start}")
    if seconds is not None and not (math.isfinite(seconds) and round(seconds * sample_rate) > 0):
        raise ValueError(f"seconds must be long enough for one sample, got {seconds}")
    with _open(path) as file:
        return _read_part(file, path, int(sample_rate), start, seconds)


def _open(path: str | os.PathLike) -> soundfile.SoundFile:
    path = Path(path)
    if path.is_dir():
        raise AudioError(path, "is a directory, not an audio file")
    try:
        if path.stat().st_size == 0:
            raise AudioError(path, "is empty (0 bytes)")
        with open(path, "rb"):
            pass  # libsndfile calls every failure to open "System error"; Python knows the reason
    except FileNotFoundError:
        raise AudioError(path, "does not exist") from None
    except OSError as error:
        raise AudioError(path, f"cannot be opened: {error.strerror}") from error
    try:
        file = soundfile.SoundFile(path)
    except (soundfile.SoundFileError, TypeError) as error:  # TypeError: headerless formats such as .raw
        reason = getattr(error, "error_string", None) or str(error)
        if "does not exist" in reason:  # which libsndfile says of anything that ends in .mp3 and holds no MP3
            reason = "damaged, or of another format than its name says"
        hint = f"convert it, for example: ffmpeg -i {path.name} {path.stem}.flac"
        raise AudioError(path, f"is not audio that libsndfile can read ({reason.rstrip('. ')}); {hint}") from error
    if fault := _fault(file, path):
        file.close()
        raise AudioError(path, fault)
    return file


def _fault(file: soundfile.SoundFile, path: Path) -> str | None:
    """What is visibly wrong with an open file, or None; libsndfile takes what is there of a truncated one silently."""
    if file.frames == 0:
        return "contains no samples"
    if file.frames >= _UNKNOWN_LENGTH:
        return f"does not state its length; write it anew, for example: ffmpeg -i {path.name} {path.stem}.wav"
    chunk = re.search(r"^\s*(?:data|SSND)\s*:\s*(\d+) \(should be (\d+)\)", file.extra_info, re.MULTILINE)
    if chunk and int(chunk[2]) + _HEADER_SLACK < int(chunk[1]) < _STREAMED_CHUNK:
        return f"is truncated: its header states {chunk[1]} bytes of samples, the file holds {chunk[2]}"
    if file.format == "OGG":
        with open(path, "rb") as raw:
            raw.seek(max(0, path.stat().st_size - 65536))  # an Ogg page is at most 65,307 bytes
            tail = raw.read()
        page = tail[max(0, tail.rfind(b"OggS")) :]
        complete = len(page) > 26 and len(page) >= 27 + page[26] + sum(page[27 : 27 + page[26]])
        if not complete or not page[5] & 4:  # flag 4 marks the last page of a stream
            return "is truncated: it stops before the last page of the Ogg stream"
    return None


def _read_part(file: soundfile.SoundFile, path, sample_rate: int, start: float, seconds: float | None) -> np.ndarray:
    rate = file.samplerate
    common = math.gcd(rate, sample_rate)
    grid, grid_out = rate // common, sample_rate // common  # so many samples of the file are so many of the result
    first = round(start * sample_rate)
    begin = max(0, first // grid_out - math.ceil(_RESAMPLER_REACH * sample_rate / grid_out)) * grid
    if first * rate >= file.frames * sample_rate:
        raise AudioError(path, f"ends before start={start:g} s: it is {file.frames / rate:g} s long")
    stop = None
    if seconds is not None:
        last = first + round(seconds * sample_rate)
        stop = math.ceil((last / sample_rate + _RESAMPLER_REACH) * rate) if rate != sample_rate else last
    wave = _decode(file, path, begin, stop)
    if len(wave) and (wave == wave[0]).all() and _is_silent(path):
        raise AudioError(path, f"is silent: every sample is {wave[0]:g}")
    if rate != sample_rate:
        wave = soxr.resample(wave, rate, sample_rate)
    offset = first - begin // grid * grid_out
    wave = wave[offset:] if seconds is None else wave[offset : offset + round(seconds * sample_rate)]
    if not len(wave):
        raise AudioError(
            path, f"has no sample of {sample_rate} Hz from start={start:g} s: it is {file.frames / rate:g} s long"
        )
    return np.ascontiguousarray(wave)


def _decode(file: soundfile.SoundFile, path, begin: int, stop: int | None) -> np.ndarray:
    """Samples begin..stop of the file (to the end if None) as mono float32; less than the header states is an error."""
    end = file.frames if stop is None else min(stop, file.frames)
    run_in = min(begin, _MP3_RUN_IN) if file.format == "MP3" else 0
    samples = _read(file, run_in + end - begin, begin - run_in)[run_in:]
    slack = _MP3_SLACK if file.format == "MP3" else 0
    if len(samples) < end - begin - slack:
        raise AudioError(path, f"is truncated or corrupt: {len(samples)} of {end - begin} samples could be decoded")
    wave = samples.mean(axis=1, dtype=np.float32) if samples.shape[1] > 1 else samples[:, 0]
    if not np.isfinite(wave).all():
        place = begin + int((~np.isfinite(wave)).argmax())
        raise AudioError(path, f"has a sample that is not a finite number, at {place}")
    return wave


def _blocks(file: soundfile.SoundFile) -> Iterator[np.ndarray]:
    while len(block := _read(file, _BLOCK)):
        yield block


def _read(file: soundfile.SoundFile, frames: int, begin: int | None = None) -> np.ndarray:
    """Up to so many samples, (samples, channels) float32, from `begin` or where the file stands."""
    try:
        if begin is not None:
            file.seek(begin)
        return file.read(frames, dtype="float32", always_2d=True)
    except soundfile.SoundFileError as error:
        reason = getattr(error, "error_string", None) or str(error)
        raise AudioError(file.name, f"cannot be decoded ({reason.rstrip('. ')}): truncated or corrupt") from error
    except MemoryError as error:
        raise AudioError(file.name, f"states {frames} samples, more than memory holds; read it in parts") from error


def _is_silent(path) -> bool:
    """Whether all samples of the whole file, channels averaged, are equal; stops at the first that is not."""
    first = None
    with _open(path) as file:
        for block in _blocks(file):
            wave = block.mean(axis=1)
            first = wave[0] if first is None else first
            if (wave != first).any():
                return False
    return True


class AudioFile:
    """Stub."""

    def __init__(self, path):
        self.path, self.info, self.notes = path, probe(path), []

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        pass

    def read(self, sample_rate=16000, start=0.0, seconds=None):
        return read_audio(self.path, sample_rate, start, seconds)

    def blocks(self, sample_rate=16000, seconds=30.0):
        rate, size = self.info.sample_rate, round(seconds * sample_rate)
        resampler = soxr.ResampleStream(rate, sample_rate, 1) if rate != sample_rate else None
        rest, level, silent = np.empty(0, np.float32), None, True
        with _open(self.path) as file:
            while True:
                block = _read(file, _BLOCK).mean(axis=1)
                done = not len(block)
                if len(block):
                    level = block[0] if level is None else level
                    silent = silent and bool((block == level).all())
                rest = np.concatenate([rest, resampler.resample_chunk(block, last=done) if resampler else block])
                while len(rest) >= size:
                    yield rest[:size].copy()
                    rest = rest[size:]
                if done:
                    break
        if silent:
            raise AudioError(self.path, f"is silent: every sample is {level:g}")
        if len(rest):
            yield rest
