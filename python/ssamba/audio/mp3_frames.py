"""MPEG audio (mp3, mp2, mp1) as its frames lie in a file: their exact number, and the bytes that are no frames.

A file states its length, if at all, in an Info or Xing frame, which joining, cutting and streaming leave untrue.
"""

from __future__ import annotations

import struct
from array import array
from bisect import bisect_left
from dataclasses import dataclass, field
from functools import lru_cache
from typing import BinaryIO

from .spliced import Piece

_WINDOW = 1 << 20  # bytes held while walking
_MARK = 32  # frames from one place that is remembered to the next; a frame leans on up to 24 earlier ones
_CONFIRMED = 3  # frames in a row that make a beginning
_SEARCHED = 1 << 18  # bytes in which a first frame is looked for
_DECODER_DELAY = 529  # samples that every decoder of layer III is late
_LENGTH_TAGS = (b"Info", b"Xing", b"VBRI")  # in frames that state a length
_KBITS = {  # by (MPEG 1 or not, layer), of indices 1 .. 14
    (True, 1): range(32, 449, 32),
    (True, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}


@dataclass(frozen=True)
class Kind:
    """What all frames of one stream have in common."""

    version: int  # 1, 2, or 25 for MPEG 2.5
    layer: int
    sample_rate: int
    channels: int

    @property
    def samples(self) -> int:
        """Samples of each channel in a frame."""
        return {1: 384, 2: 1152, 3: 1152 if self.version == 1 else 576}[self.layer]

    @property
    def side_info(self) -> int:
        """Bytes between the header of a frame of layer III and its sound, or its Info or Xing tag."""
        return {(1, 1): 17, (1, 2): 32, (0, 1): 9, (0, 2): 17}[int(self.version == 1), self.channels]


@lru_cache(4096)
def _header(second: int, third: int, fourth: int) -> tuple[Kind, int] | None:
    """Kind and bytes of a frame by its header, whose first byte is 255; 0 bytes: free format; None: it is none."""
    if second < 0xE0:
        return None
    version, layer = {0: 25, 2: 2, 3: 1}.get(second >> 3 & 3), 4 - (second >> 1 & 3)
    bit_rate, rate, padding = third >> 4, third >> 2 & 3, third >> 1 & 1
    if version is None or layer == 4 or bit_rate == 15 or rate == 3:
        return None
    rate = (44100, 48000, 32000)[rate] // {1: 1, 2: 2, 25: 4}[version]
    kind = Kind(version, layer, rate, 1 if fourth >> 6 == 3 else 2)
    if bit_rate == 0:
        return kind, 0
    bits = 1000 * _KBITS[version == 1, layer][bit_rate - 1]
    if layer == 1:
        return kind, 4 * (12 * bits // rate + padding)
    return kind, kind.samples // 8 * bits // rate + padding


@dataclass
class Mp3Part:
    """A stream of frames: what one encoder wrote. `frames` counts its frames, without an Info or Xing frame."""

    kind: Kind
    info: bytes = b""  # the whole Info or Xing frame
    frames: int = 0
    ranges: list[list[int]] = field(default_factory=list)  # [first byte, length] of frames that lie without a gap
    marks: array = field(default_factory=lambda: array("Q"))  # places of every 32nd frame

    @property
    def stated_frames(self) -> int | None:
        """Frames that its Info or Xing frame states."""
        at = 4 + self.kind.side_info if self.info else 0
        flags = int.from_bytes(self.info[at + 4 : at + 8], "big")
        return int.from_bytes(self.info[at + 8 : at + 12], "big") if flags & 1 else None

    @property
    def trimmed(self) -> tuple[int, int]:
        """Samples that the encoder added in front and behind, decoder delay counted in; 0 where it does not say."""
        at = 4 + self.kind.side_info if self.info else 0
        flags = int.from_bytes(self.info[at + 4 : at + 8], "big")
        at += 8 + 4 * (flags & 1) + 4 * (flags >> 1 & 1) + 100 * (flags >> 2 & 1) + 4 * (flags >> 3 & 1)
        tag = self.info[at : at + 24]  # encoder (9), ..., delay and padding of 12 bits each
        if len(tag) < 24 or not tag[0]:
            return 0, 0
        both = int.from_bytes(tag[21:24], "big")
        delay, padding = (both >> 12) + _DECODER_DELAY, max(0, (both & 4095) - _DECODER_DELAY)
        if self.stated_frames not in (None, self.frames):
            padding = 0  # the end is not the one that the encoder made
        return (delay, padding) if delay + padding < self.frames * self.kind.samples else (0, 0)

    @property
    def samples(self) -> int:
        """Samples of each channel that decoding gives."""
        return self.frames * self.kind.samples - sum(self.trimmed)

    def extend(self, position: int, size: int) -> None:
        """Add bytes that hold frames."""
        if self.ranges and sum(self.ranges[-1]) == position:
            self.ranges[-1][1] += size
        else:
            self.ranges.append([position, size])

    def from_frame(self, frame: int) -> tuple[list[Piece], int]:
        """Clean data from which `frame` can be decoded, and the number of the frame that it begins with.

        A silent frame goes before, as small as one can be: libsndfile takes the size of the first for that of all and
        reads no more frames than fit the length.
        """
        mark = max(0, frame // _MARK - 1)
        place = self.marks[mark]
        first = max(0, bisect_left(self.ranges, [place + 1, 0]) - 1)
        pieces: list[Piece] = [(begin, length) for begin, length in self.ranges[first:]]
        begin, length = self.ranges[first]
        pieces[0] = (place, begin + length - place)
        return [_silent_frame(self.kind), *pieces], mark * _MARK


def _silent_frame(kind: Kind) -> bytes:
    rates = [rate // {1: 1, 2: 2, 25: 4}[kind.version] for rate in (44100, 48000, 32000)]
    second = 0xE1 | {25: 0, 2: 2, 1: 3}[kind.version] << 3 | (4 - kind.layer) << 1  # no CRC
    third, fourth = 1 << 4 | rates.index(kind.sample_rate) << 2, 0xC0 if kind.channels == 1 else 0
    return bytes([255, second, third, fourth]).ljust(_header(second, third, fourth)[1], b"\0")


@dataclass
class Mp3Map:
    """The parts of a file; `junk` is (first byte, length) of what is neither frame nor tag, `cut` where one stops."""

    parts: list[Mp3Part] = field(default_factory=list)
    junk: list[tuple[int, int]] = field(default_factory=list)
    cut: int | None = None

    @property
    def duration(self) -> float:
        return sum(part.samples / part.kind.sample_rate for part in self.parts)


class FreeFormat(ValueError):
    """Frames whose header does not tell their size."""


def walk(raw: BinaryIO, start: int, stop: int) -> Mp3Map | None:
    """Go from frame to frame through bytes start..stop of a file; None if no frames begin near `start`.

    A new part begins at an Info, Xing or VBRI frame and where rate, channels or layer change. Tags (ID3v2, ID3v1, APE,
    Lyrics3) and zeros are passed over wherever they are.
    """
    found, window = Mp3Map(), _Window(raw, stop)
    position, part = start, None
    while position < stop:
        if part and (after := _straight_on(window, position, part)) > position:
            position = after
            continue
        head = window.get(position, 4)
        header = _header(*head[1:]) if len(head) == 4 and head[0] == 255 else None
        if header and part and header[0] != part.kind and not _confirmed(window, position, stop):
            header = None
        if header and not part and not _confirmed(window, position, stop):
            header = None
        if header and header[1] == 0:
            raise FreeFormat
        if not header:
            if (after := _after_tag(window, position, stop)) > position:
                position = after
                continue
            if part and head and head[0] == 255 and len(head) < 4 and _may_begin(head):
                found.cut = position
                break
            limit = stop if part else min(stop, start + _SEARCHED)
            following = _next_frame(window, position + 1, limit, stop)
            if following is None:
                if part:
                    found.junk.append((position, stop - position))
                break
            found.junk.append((position, following - position))
            position = following
            continue
        kind, size = header
        if position + size > stop:
            found.cut = position
            break
        info = _info_frame(window, position, size, kind)
        if info or part is None or kind != part.kind:
            part = Mp3Part(kind, info or b"")
            found.parts.append(part)
        if not info:
            if part.frames % _MARK == 0:
                part.marks.append(position)
            part.frames += 1
            part.extend(position, size)
        position += size
    found.parts = [part for part in found.parts if part.frames]
    return found if found.parts or found.cut is not None else None


def _straight_on(window: _Window, position: int, part: Mp3Part) -> int:
    """Add frames that follow those of `part` as long as nothing else comes up; where that is.

    What `walk` does frame by frame, for the many that need no second look.
    """
    data = window.rest(position)
    suspect = min((place for tag in _LENGTH_TAGS if (place := data.find(tag)) >= 0), default=len(data))
    sizes: dict[bytes, int] = {}
    at, frames, marks = 0, part.frames, part.marks
    while True:
        head = data[at : at + 4]
        size = sizes.get(head)
        if size is None:
            header = _header(*head[1:]) if len(head) == 4 and head[0] == 255 else None
            if not header or header[0] != part.kind or not header[1]:
                break
            size = sizes[head] = header[1]
        if at + size > suspect:
            break
        if frames % _MARK == 0:
            marks.append(position + at)
        frames += 1
        at += size
    part.frames = frames
    if at:
        part.extend(position, at)
    return position + at


class _Window:
    """Bytes of a file by their place, read a window at a time."""

    def __init__(self, raw: BinaryIO, stop: int):
        self._raw, self._stop, self._first, self._data = raw, stop, 0, b""

    def get(self, position: int, size: int) -> bytes:
        size = max(0, min(size, self._stop - position))
        at = position - self._first
        if at < 0 or at + size > len(self._data):
            self._raw.seek(position)
            self._first, self._data, at = position, self._raw.read(max(size, min(_WINDOW, self._stop - position))), 0
        return self._data[at : at + size]

    def rest(self, position: int) -> bytes:
        """All bytes at hand from `position` on."""
        return self._data[max(0, position - self._first) :] if position >= self._first else b""


def _info_frame(window: _Window, position: int, size: int, kind: Kind) -> bytes | None:
    """The frame, if it states the length of a stream and holds no sound."""
    if kind.layer != 3:
        return None
    at = 4 + kind.side_info
    info, xing, vbri = _LENGTH_TAGS
    if window.get(position + at, 4) in (info, xing):
        return window.get(position, size)
    return vbri if window.get(position + 36, 4) == vbri else None


def _confirmed(window: _Window, position: int, stop: int) -> bool:
    """Whether frames of one kind follow each other here, to the end of the file if that comes first."""
    kind = None
    for _ in range(_CONFIRMED):
        head = window.get(position, 4)
        header = _header(*head[1:]) if len(head) == 4 and head[0] == 255 else None
        if not header or (kind and header[0] != kind):
            return kind is not None and _after_tag(window, position, stop) > position
        kind, size = header
        if size == 0:
            return _is_free_format(window, position, head)
        position += size
        if position >= stop:
            return True
    return True


def _is_free_format(window: _Window, position: int, head: bytes) -> bool:
    following = window.get(position + 4, 8192)
    return sum(following[at : at + 3] == head[:3] for at in range(len(following) - 3)) > 1


def _next_frame(window: _Window, position: int, limit: int, stop: int) -> int | None:
    while position < limit:
        data = window.get(position, 4096)
        at = data.find(b"\xff")
        if at < 0:
            position += len(data)
        elif _confirmed(window, position + at, stop):
            return position + at
        else:
            position += at + 1
    return None


def _may_begin(head: bytes) -> bool:
    return len(head) < 2 or head[1] >= 0xE0


def _after_tag(window: _Window, position: int, stop: int) -> int:
    """Where a tag, or zeros, that begin here end; `position` if none do."""
    head = window.get(position, 32)
    if head[:1] == b"\0":
        while (data := window.get(position, 4096)) and not data.strip(b"\0"):
            position += len(data)
        return position + len(data) - len(data.lstrip(b"\0"))
    if (after := position + id3v2_size(head)) > position:
        return min(stop, after)
    if head[:3] == b"TAG" and stop - position >= 128:
        return position + (227 + 128 if head[3:4] == b"+" else 128)
    if head[:8] == b"APETAGEX" and len(head) == 32:
        size, _, flags = struct.unpack("<3I", head[12:24])
        return min(stop, position + size + 32) if flags >> 29 & 1 else position + 32  # 29: this is its header
    if head[:11] == b"LYRICSBEGIN":
        text = window.get(position, 1 << 16)
        return position + max((text.find(end) + 9 for end in (b"LYRICS200", b"LYRICSEND") if end in text), default=0)
    return position


def id3v2_size(head: bytes) -> int:
    """Bytes of the ID3v2 tag that begins with `head`, 0 if none does."""
    if head[:3] != b"ID3" or len(head) < 10 or head[3] == 255 or max(head[6:10]) > 127:
        return 0
    size = head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]
    return 10 + size + 10 * (head[5] >> 4 & 1)
