"""Sound that libsndfile cannot decode, by FFmpeg through PyAV: m4a, mp4, aac, amr, wma, webm, mkv, ac3, ape, wv, ...

PyAV is optional (`pip install "ssamba[formats]"`) and imported when the first such file is opened. Of the packages that
decode more than libsndfile it reads the most and needs nothing beside it: its wheels, for Linux, macOS and Windows,
hold FFmpeg, and fit every torch. torchcodec's wheels hold no FFmpeg, which has to be installed beside them, and each
fits one release of torch; miniaudio reads wav, flac, mp3 and Ogg Vorbis, as libsndfile does.

What FFmpeg decodes is what is read: encoder delay and padding are left away where it leaves them away. No container is
trusted with its length. A file is decoded once when it is opened, which costs as much as reading it: that counts its
samples and finds damage, which FFmpeg conceals where it can. Sound of up to `_KEPT` bytes is kept from that pass; of
longer sound only the count and a place a second are, and the next opening in this process has them too.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .causes import conversion, encrypted, not_sound, unreadable
from .containers import shortfall, sound_kind
from .errors import AudioError
from .pyav_track import Places, Track, UndecodableError, layout, samples_of

_KEPT = 1 << 24  # bytes of float32: 43 s of 48 kHz stereo, 4 minutes of 16 kHz mono
_PLACES_APART = 1.0  # seconds
_RUN_IN = 2.0  # seconds decoded and dropped after a seek: Opus, AMR and G.722 lean on what came before
_SURVEYS_KEPT = 4096
_LENGTH_IN_HEADER = {"mov", "matroska", "caf", "wv", "tta", "ape", "flv", "avi", "rm", "dsf", "mpc8", "tak"}
_GAP = 0.02  # seconds; below, time stamps are rounded, or jitter
_SILENT_PACKETS = 4  # at the end, that mean no damage
_LENGTH_SLACK = 0.01  # seconds; beside one packet and a half, what stated lengths are rounded by


def open_pyav(path: str | os.PathLike) -> PyAVSource:
    """Open a file for reading its default (else first) track of sound with FFmpeg.

    Raises:
        AudioError: no sound, damaged, cut off, encrypted, rate or channels change on the way, or PyAV is not installed.
    """
    path = Path(os.fsdecode(path))
    try:
        reason = not_sound(path) or encrypted(path)
    except OSError as error:
        raise AudioError(path, f"cannot be opened: {error.strerror}") from error
    if reason:
        raise AudioError(path, reason)
    try:
        import av  # noqa: F401
    except ImportError as error:
        raise AudioError(path, unreadable(path) or _without_pyav(path)) from error
    return PyAVSource(path)


def _without_pyav(path: Path) -> str:
    kind = sound_kind(path)
    found = f"is {kind}, which libsndfile cannot read" if kind else "begins as nothing that libsndfile can read"
    return (
        f'{found}; PyAV {"reads it" if kind else "may"}: pip install "ssamba[formats]", '
        f"or convert it: {conversion(path)}"
    )


class PyAVSource:
    """The sound of one file, for one thread at a time.

    Attributes: sample_rate (Hz), channels, frames (samples per channel, counted by decoding), format ("MP4/AAC"), and
    notes, what is odd about a file that is read all the same.
    """

    def __init__(self, path: Path):
        survey, self._kept = _survey_once(path)
        self.sample_rate, self.channels, self.frames = survey.sample_rate, survey.channels, survey.frames
        self.format, self.notes = survey.format, list(survey.notes)
        self._path, self._places = path, survey.places
        self._track: Track | None = None
        self._blocks: Iterator[np.ndarray] = iter(())
        self._block = np.empty((0, self.channels), np.float32)  # decoded and not yet read
        self._decoded = 0  # samples up to the end of _block
        self._position = 0

    def seek(self, frame: int) -> None:
        """Go to a sample, 0 to `frames`; what is read from there equals that part of the whole."""
        self._position = min(max(0, frame), self.frames)

    def read(self, frames: int) -> np.ndarray:
        """The next samples, (n, channels) float32; n < `frames` only at the end."""
        stop = min(self._position + max(0, frames), self.frames)
        if self._kept is not None:
            samples = self._kept[self._position : stop].copy()
        else:
            samples = self._decode(self._position, stop)
        self._position = stop
        return samples

    def close(self) -> None:
        self._kept, self._blocks = None, iter(())
        if self._track:
            self._track.close()

    def _decode(self, start: int, stop: int) -> np.ndarray:
        if not 0 <= start - (self._decoded - len(self._block)) <= _RUN_IN * self.sample_rate or not self._track:
            self._go_before(start)
        samples, filled = np.empty((stop - start, self.channels), np.float32), 0
        while filled < len(samples):
            while self._decoded <= start + filled:
                self._block = self._next_block()
                self._decoded += len(self._block)
            part = self._block[len(self._block) - (self._decoded - start - filled) :][: len(samples) - filled]
            samples[filled : filled + len(part)] = part
            filled += len(part)
        self._block = self._block[len(self._block) - (self._decoded - stop) :]
        return samples

    def _go_before(self, frame: int) -> None:
        """Decode from a place before `frame` on: from the beginning, if no seek gets to one."""
        self._block = self._block[:0]
        target = self._places.before(frame)
        start = target and self._places.before(target.frame - round(_RUN_IN * self.sample_rate))
        if start:
            self._track = self._track or Track(self._path)
            if packets := self._track.packets_from(start, target):
                self._blocks, self._decoded = self._blocks_of(packets), target.frame
                return
        if self._track:
            self._track.close()
        self._track = Track(self._path)
        self._blocks, self._decoded = self._blocks_of(self._track.packets()), 0

    def _blocks_of(self, packets: Iterator) -> Iterator[np.ndarray]:
        for packet in packets:
            try:
                frames = self._track.decode(packet)
            except UndecodableError as error:
                if self._decoded:
                    raise AudioError(self._path, f"cannot be decoded any more after {self._decoded} samples") from error
                continue  # before the first sample: the survey has noted it
            yield from map(samples_of, frames)

    def _next_block(self) -> np.ndarray:
        if (block := next(self._blocks, None)) is None:
            raise AudioError(self._path, f"ends at sample {self._decoded} of {self.frames}: it has changed while read")
        return block


@dataclass(frozen=True)
class Survey:
    """What decoding a whole file tells of it."""

    frames: int
    sample_rate: int
    channels: int
    format: str
    notes: tuple[str, ...]
    places: Places


_surveys: dict[tuple, Survey] = {}


def _survey_once(path: Path) -> tuple[Survey, np.ndarray | None]:
    """The survey of a file, and its samples (frames, channels) if they are few."""
    try:
        state = path.stat()
    except OSError as error:
        raise AudioError(path, f"cannot be opened: {error.strerror}") from error
    key = (os.path.abspath(path), state.st_size, state.st_mtime_ns)
    if key in _surveys:
        return _surveys[key], None
    track = Track(path)
    try:
        survey, kept = _Surveyor(track).survey()
    finally:
        track.close()
    if kept is None:
        while len(_surveys) >= _SURVEYS_KEPT:
            _surveys.pop(next(iter(_surveys)), None)
        _surveys[key] = survey
    return survey, kept


class _Surveyor:
    """Decodes a track from its beginning to its end."""

    def __init__(self, track: Track):
        self._track, self._path = track, track.path
        self._frames = self._rate = self._channels = 0
        self._places, self._next_place = Places(), 0
        self._kept: list[np.ndarray] | None = []
        self._kept_bytes = 0
        self._longest = 0  # samples of a packet
        self._refused = 0  # packets before the first sample
        self._silent = 0  # packets behind the last sample, which gave none
        self._last = None  # packet with anything in it
        self._lack = shortfall(track.path)
        self._lag: float | None = None  # seconds that the time stamps are ahead of the samples
        self._gaps: list[tuple[float, float]] = []  # (where, how long), seconds

    def survey(self) -> tuple[Survey, np.ndarray | None]:
        for packet in self._track.packets():
            before = self._frames
            try:
                frames = self._track.decode(packet)
            except UndecodableError as error:
                if self._frames:
                    raise self._damage() from error
                self._refused += 1
                continue
            for frame in frames:
                self._take(frame)
            if self._frames > before and packet.size and packet.pts is not None and before >= self._next_place:
                self._places.add(before, packet)
                self._next_place = before + round(_PLACES_APART * self._rate)
            self._silent = 0 if self._frames > before else self._silent + 1
            self._last = packet if packet.size else self._last
            self._longest = max(self._longest, self._frames - before)
        self._check_the_end()
        survey = Survey(self._frames, self._rate, self._channels, self._track.format, self._notes(), self._places)
        return survey, None if self._kept is None else np.concatenate(self._kept)

    def _take(self, frame) -> None:
        rate, channels = frame.sample_rate, frame.layout.nb_channels
        if not self._frames:
            self._rate, self._channels = rate, channels
        elif (rate, channels) != (self._rate, self._channels):
            command = conversion(self._path, writing=f"-ar {self._rate} -ac {self._channels}")
            raise AudioError(
                self._path,
                f"changes from {layout(self._rate, self._channels)} to {layout(rate, channels)} after "
                f"{self._frames / self._rate:.2f} s, a file is read at one rate: split it, or convert it: {command}",
            )
        self._watch_the_clock(frame)
        self._frames += frame.samples
        if self._kept is not None:
            self._kept_bytes += 4 * frame.samples * channels
            if self._kept_bytes > _KEPT:
                self._kept = None
            else:
                self._kept.append(samples_of(frame))

    def _watch_the_clock(self, frame) -> None:
        """Sound that a container lost between two packets shows in the time stamps alone."""
        if frame.pts is None:
            return
        lag, self._lag = self._lag, frame.pts * self._track.tick - self._frames / self._rate
        if lag is not None and (gap := self._lag - lag) > _GAP:
            self._gaps.append((self._frames / self._rate, gap))

    def _check_the_end(self) -> None:
        if not self._frames:
            raise AudioError(self._path, f"holds no sound that FFmpeg's decoder takes ({self._track.format})")
        stated = self._stated()
        slack = _LENGTH_SLACK + (0.0 if self._lack else 1.5 * self._longest / self._rate)
        whole = stated is None or self._frames / self._rate >= stated - slack
        if self._track.container not in _LENGTH_IN_HEADER:
            whole &= not (self._lack or self._track.fault or self._track.ends_in_a_frame(self._last))
        if not whole or self._silent > _SILENT_PACKETS:
            raise self._damage()

    def _stated(self) -> float | None:
        return self._track.stated_seconds if self._track.container in _LENGTH_IN_HEADER | {"ogg"} else None

    def _damage(self) -> AudioError:
        lack = f"{self._lack}, and " if self._lack else ""
        stated = self._stated()
        of = f" of the stated {stated:.2f} s" if stated else ""
        part = f"only the first {self._frames / self._rate:.2f} s{of} can be decoded"
        return AudioError(self._path, f"is damaged or cut off: {lack}{part}")

    def _notes(self) -> tuple[str, ...]:
        notes = []
        if others := self._track.others:
            read = self._track.description
            notes.append(f"has {len(others) + 1} tracks of sound: {read} is read, not {' or '.join(others)}")
        if self._refused:
            notes.append(f"its beginning, {self._refused} packets, cannot be decoded: the sound behind it is read")
        if self._gaps:
            total, first = sum(gap for _, gap in self._gaps), self._gaps[0][0]
            notes.append(f"its time stamps leave out {total:.2f} s, first after {first:.2f} s: read without a pause")
        if self._lack:
            notes.append(f"its end is missing ({self._lack}), none of its sound")
        return tuple(notes)
