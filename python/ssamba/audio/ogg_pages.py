"""Ogg as its pages lie in a file: the links of a chain, the streams of each, and whether every page is there."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from typing import BinaryIO

from .spliced import Piece

_LARGEST = 65307  # bytes of a page
_CONTINUED, _BEGINS, _ENDS = 1, 2, 4  # flags of a page
_VORBIS_PACKET = 4096  # samples, the most that one packet can give
_CODECS = {  # by the first bytes of a stream; what is not here has no sound
    b"\x01vorbis": "vorbis",
    b"OpusHead": "opus",
    b"\x7fFLAC": "flac",
    b"Speex   ": "speex",
    b"\x80theora": "video",
    b"BBCD\0": "video",
    b"\x01video\0": "video",
    b"OVP80": "video",
}


@dataclass
class OggStream:
    """One stream of a link: the places of its pages, and what its last page says."""

    codec: str | None
    ranges: list[list[int]] = field(default_factory=list)  # [first byte, length]
    pages: int = 0
    number: int = -1  # of the last page
    missing: int | None = None  # byte before which pages are missing
    granule: int = 0
    first_granule: int | None = None  # of the first page that completes packets of sound
    first_packets: int = 0
    ended: bool = False
    last: tuple[int, int] = (0, 0)  # first byte and length of the last page

    @property
    def starts_late(self) -> bool:
        """Whether it was joined while it ran, so that its granules do not count from its beginning."""
        return (
            self.codec == "vorbis"
            and self.first_granule is not None
            and self.first_granule > self.first_packets * _VORBIS_PACKET
        )


@dataclass
class OggMap:
    """The links of a chain, each a dict of streams by serial number; `junk` is (first byte, length) between pages."""

    links: list[dict[int, OggStream]] = field(default_factory=list)
    junk: list[tuple[int, int]] = field(default_factory=list)
    cut: int | None = None  # where a page begins of which the end is missing


def walk(raw: BinaryIO, start: int, stop: int) -> OggMap:
    """Go from page to page through bytes start..stop of a file, reading their headers alone."""
    found = OggMap()
    position, beginning = start, False
    while position < stop:
        raw.seek(position)
        head = raw.read(min(27 + 255, stop - position))
        if head[:4] != b"OggS"[: len(head)]:
            following = _next_page(raw, position + 1, stop)
            found.junk.append((position, (following or stop) - position))
            position = following or stop
            continue
        segments = head[27 : 27 + head[26]] if len(head) > 26 else b""
        size = 27 + len(segments) + sum(segments)
        if len(head) < 27 or len(segments) < head[26] or position + size > stop:
            following = _next_page(raw, position + 1, stop)
            if following is None:
                found.cut = position
                break
            found.junk.append((position, following - position))
            position = following
            continue
        flags, granule = head[5], int.from_bytes(head[6:14], "little", signed=True)
        serial, number = int.from_bytes(head[14:18], "little"), int.from_bytes(head[18:22], "little")
        if flags & _BEGINS:
            if not beginning:
                found.links.append({})
            begins = raw.seek(position + 27 + len(segments)) and raw.read(8)
            codec = next((name for magic, name in _CODECS.items() if begins.startswith(magic)), None)
            found.links[-1][serial] = OggStream(codec)
        beginning = bool(flags & _BEGINS)
        stream = found.links[-1].get(serial) if found.links else None
        if stream is None:
            found.junk.append((position, size))
        else:
            _add(stream, position, size, number, granule, flags, segments)
        position += size
    return found


def _add(stream: OggStream, position: int, size: int, number: int, granule: int, flags: int, segments: bytes) -> None:
    if stream.pages and number != stream.number + 1 and stream.granule > 0:
        stream.missing = position if stream.missing is None else stream.missing
    stream.number, stream.pages = number, stream.pages + 1
    if granule > 0:
        if stream.first_granule is None:
            stream.first_granule, stream.first_packets = granule, sum(lace < 255 for lace in segments)
        stream.granule = granule
    stream.ended = bool(flags & _ENDS)
    stream.last = position, size
    if stream.ranges and sum(stream.ranges[-1]) == position:
        stream.ranges[-1][1] += size
    else:
        stream.ranges.append([position, size])


def pieces(raw: BinaryIO, stream: OggStream) -> list[Piece]:
    """The pages of a stream alone, the last of them marked as the end, without which libsndfile reads no Opus."""
    parts: list[Piece] = [(begin, length) for begin, length in stream.ranges]
    if stream.ended:
        return parts
    begin, length = parts[-1]
    raw.seek(stream.last[0])
    return [*parts[:-1], (begin, length - stream.last[1]), _marked_as_end(raw.read(stream.last[1]))]


def _marked_as_end(page: bytes) -> bytes:
    page = page[:5] + bytes([page[5] | _ENDS]) + page[6:22] + bytes(4) + page[26:]
    return page[:22] + checksum(page).to_bytes(4, "little") + page[26:]


_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def checksum(page: bytes) -> int:
    """CRC of a page whose own four bytes of it are 0: zlib's polynomial with the bits the other way, begun with 0."""
    mirrored = zlib.crc32(page.translate(_REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{mirrored:032b}"[::-1], 2)


def _next_page(raw: BinaryIO, position: int, stop: int) -> int | None:
    while position < stop:
        raw.seek(position)
        data = raw.read(min(_LARGEST, stop - position))
        at = data.find(b"OggS")
        if at >= 0:
            return position + at
        if len(data) < 4:
            return None
        position += len(data) - 3
    return None
