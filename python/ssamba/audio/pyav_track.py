"""One track of sound of a file, as FFmpeg demuxes and decodes it: packets and their samples."""

from __future__ import annotations

import io
import re
import zlib
from array import array
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np

from .causes import headerless, unreadable
from .containers import sound_kind, tag_bytes
from .errors import AudioError

# FFmpeg's sample formats: numpy's type, full scale, zero. 24 bits come as 32.
_SAMPLE_FORMATS = {
    "u8": ("u1", 2.0**7, 2.0**7),
    "s16": ("i2", 2.0**15, 0.0),
    "s32": ("i4", 2.0**31, 0.0),
    "s64": ("i8", 2.0**63, 0.0),
    "flt": ("f4", 1.0, 0.0),
    "dbl": ("f8", 1.0, 0.0),
}
_HEADERLESS = {f"{kind}{bits}{order}" for kind in "suf" for bits in (16, 24, 32, 64) for order in ("le", "be")}
_HEADERLESS |= {"s8", "u8", "alaw", "mulaw", "vidc", "dfpwm", "aptx", "aptx_hd", "codec2raw"}
_CONTAINER_NAMES = {"mov": "MP4", "matroska": "Matroska"}
_UNKNOWN = "is no sound that libsndfile or FFmpeg knows"
_OPENING = {"protocol_whitelist": "none"}  # a playlist must not make FFmpeg open other files, or the net
_DECODING = {"err_detect": "crccheck+explode"}  # a wrong checksum is an error, not a click


@dataclass(frozen=True)
class Place:
    """A packet that a seek can find again."""

    frame: int  # the first sample that it adds
    pts: int
    checksum: int

    def is_at(self, packet) -> bool:
        return packet.pts == self.pts and zlib.crc32(packet) == self.checksum


class Places:
    """Places of a file, ascending; 24 bytes each."""

    def __init__(self):
        self._frames, self._pts, self._checksums = array("q"), array("q"), array("q")

    def add(self, frame: int, packet) -> None:
        self._frames.append(frame)
        self._pts.append(packet.pts)
        self._checksums.append(zlib.crc32(packet))

    def before(self, frame: int) -> Place | None:
        """The last place at or before a sample."""
        found = bisect_right(self._frames, frame) - 1
        return Place(self._frames[found], self._pts[found], self._checksums[found]) if found >= 0 else None


class Track:
    """The default track of sound of an open file, else the first; of one thread."""

    def __init__(self, path: Path):
        import av

        self.path, self._errors = path, (av.FFmpegError, OSError)
        self.fault: Exception | None = None  # what ended the packets before the file's end
        try:
            self._file = _File(path)
        except OSError as error:
            raise AudioError(path, f"cannot be opened: {error.strerror}") from error
        try:
            self._container = self._opened(av)
            self._stream = self._chosen(av)
        except BaseException:
            self._file.close()
            raise
        self.tick = float(self._stream.time_base)  # seconds of one unit of time stamps
        self._stream.codec_context.options = _DECODING
        self._stream.codec_context.thread_count = 1
        if self.format == "CAF/ALAC":  # its last packet is of the right length, and FFmpeg would shorten it once more
            self._stream.codec_context.flags2 |= av.codec.context.Flags2.skip_manual

    @property
    def container(self) -> str:
        """FFmpeg's name of the container, `matroska` for example."""
        return self._container.format.name.split(",")[0]

    @property
    def format(self) -> str:
        coding = self._stream.codec_context.codec.canonical_name
        return f"{_CONTAINER_NAMES.get(self.container, self.container.upper())}/{coding.upper()}"

    @property
    def others(self) -> list[str]:
        """The other tracks of sound, in words."""
        return [_described(stream) for stream in self._container.streams.audio if stream is not self._stream]

    @property
    def description(self) -> str:
        return _described(self._stream)

    @property
    def stated_seconds(self) -> float | None:
        """The length that the container states of the track, or, if it holds nothing else, of the whole."""
        if self._stream.duration is not None:
            return float(self._stream.duration * self._stream.time_base)
        whole = None if self._container.duration is None else self._container.duration / 1e6
        if whole and (written := self._stream.metadata.get("DURATION")):  # Matroska's, "00:00:03.008000000"
            with suppress(ValueError):
                hours, minutes, seconds = written.split(":")
                return min(whole, 3600 * int(hours) + 60 * int(minutes) + float(seconds))
        return whole if len(self._container.streams) == 1 else None

    def packets(self) -> Iterator:
        """The packets from where the file stands; the last is empty and makes the decoder give what it holds back."""
        demuxed = self._container.demux(self._stream)
        while True:
            try:
                packet = next(demuxed, None)
            except self._errors as error:
                if not isinstance(error, self._errors[0]):
                    raise AudioError(self.path, f"cannot be read: {error}") from error
                self.fault = error
                return
            if packet is None:
                return
            yield packet

    def decode(self, packet) -> list:
        """The frames of a packet.

        Raises:
            UndecodableError: the decoder refuses it, or conceals a part of it.
        """
        try:
            frames = packet.decode()
        except EOFError:
            return []  # emptied before
        except self._errors as error:
            raise UndecodableError from error
        if any(frame.is_corrupt for frame in frames):
            raise UndecodableError
        return frames

    def ends_in_a_frame(self, last) -> bool:
        """Whether a part of a frame follows the last packet: FFmpeg drops it without a word."""
        if self.container != "aac" or last.pos is None:
            return False
        self._file.seek(last.pos + last.size)
        return bool(re.match(rb"\xff[\xf0\xf1\xf8\xf9]", self._file.read(2)))

    def packets_from(self, start: Place, target: Place) -> Iterator | None:
        """The packets from `target` on, the decoder warmed up by those from `start` on; None if no seek gets there."""
        if "dpcm" in self._stream.codec_context.codec.canonical_name:
            return None  # each step builds on all before it, and decoding them is quick
        try:
            self._container.seek(start.pts, stream=self._stream)
        except self._errors:
            return None
        packets = self.packets()
        for packet in packets:
            if target.is_at(packet):
                return chain([packet], packets)
            if packet.pts is None or packet.pts > target.pts:
                return None
            with suppress(UndecodableError):  # what it leans on was not decoded
                self.decode(packet)
        return None

    def close(self) -> None:
        self._container.close()
        self._file.close()

    def _opened(self, av):
        try:
            container = av.open(self._file, container_options=_OPENING, metadata_errors="replace")
        except (*self._errors, ValueError) as error:
            if not isinstance(error, av.FFmpegError):
                raise AudioError(self.path, f"cannot be read: {error}") from error
            kind = sound_kind(self.path)
            found = f"begins as {kind} and cannot be decoded: damaged or cut off" if kind else _UNKNOWN
            raise AudioError(self.path, unreadable(self.path) or found) from error
        if container.format.name in _HEADERLESS:
            container.close()
            raise AudioError(self.path, headerless(self.path))
        return container

    def _chosen(self, av):
        tracks = self._container.streams.audio
        if not tracks:
            held = sorted({stream.type for stream in self._container.streams} - {"unknown"})
            held = f"only {' and '.join(held)}" if held else "nothing that FFmpeg knows"
            raise AudioError(self.path, unreadable(self.path) or f"has no track of sound, {held}")
        readable = [track for track in tracks if track.codec_context is not None]
        if not readable:
            kind = sound_kind(self.path) or f"a {self.container} file"
            raise AudioError(self.path, f"is {kind}, which FFmpeg cannot decode: convert it where it was made")
        return next((track for track in readable if track.disposition & av.stream.Disposition.default), readable[0])


class UndecodableError(Exception):
    """A packet that the decoder refuses or conceals."""


class _File(io.FileIO):
    """A file without the tag at its end, under a name that says its suffix alone: FFmpeg reads names as addresses."""

    def __init__(self, path: Path):
        super().__init__(path)
        self.name = "sound" + (path.suffix.lower() if path.suffix[1:].isascii() and path.suffix[1:].isalnum() else "")
        self._end = path.stat().st_size - tag_bytes(path)

    def read(self, size: int = -1) -> bytes:
        left = max(0, self._end - self.tell())
        return super().read(left if size < 0 else min(size, left))

    def seek(self, offset: int, whence: int = 0) -> int:
        try:
            return super().seek(self._end + offset) if whence == 2 else super().seek(offset, whence)
        except OSError as error:  # before the beginning, where a damaged file points to; PyAV would print a traceback
            return -error.errno


def samples_of(frame) -> np.ndarray:
    """A frame's samples, (n, channels) float32."""
    kind, scale, zero = _SAMPLE_FORMATS[frame.format.name.removesuffix("p")]
    channels = frame.layout.nb_channels
    if frame.format.is_planar:
        planes = [np.frombuffer(plane, kind, frame.samples) for plane in frame.planes[:channels]]
        samples = np.stack(planes, axis=1)
    else:
        samples = np.frombuffer(frame.planes[0], kind, frame.samples * channels).reshape(-1, channels)
    samples = samples.astype(np.float32)
    if scale != 1.0:
        samples = (samples - np.float32(zero)) / np.float32(scale)
    return samples


def layout(rate: int, channels: int) -> str:
    return f"{rate} Hz {('mono', 'stereo')[channels - 1] if channels in (1, 2) else f'with {channels} channels'}"


def _described(stream) -> str:
    context = stream.codec_context
    coding = (
        f"{context.codec.canonical_name}, {layout(context.sample_rate, context.channels)}" if context else "unknown"
    )
    title = stream.metadata.get("title") or stream.metadata.get("language")
    return f"track {stream.index} ({coding}{f', {title}' if title else ''})"
