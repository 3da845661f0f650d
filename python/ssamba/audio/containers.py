"""What containers say of themselves: which they are, how many bytes they should hold, what lies in them."""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

HEAD = 65536  # bytes; what tells a format lies within
_STREAMED = {
    0,
    0x7FFFFFFF,
    0x7FFFF000,
    0x80000000,
    0xFFFFFFFF,
}  # what a writer states that cannot go back to its header
_SLACK = 64  # bytes; some writers count their header in, or a padding byte that they never wrote
_MP4_FOLDERS = {b"moov", b"trak", b"mdia", b"minf", b"stbl"}
_MOV = re.compile(rb".{4}(?:ftyp|moov|mdat|moof|wide|free|skip|pnot|styp)", re.DOTALL)
_EBML, _SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"
_ASF = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_ASF_FILE_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")

# How a file begins, and what it then is: of those that libsndfile cannot read, or not in every coding.
_SOUND = [
    (re.compile(pattern, re.DOTALL), name)
    for pattern, name in (
        (rb".{4}ftyp(?:M4A|M4B)", "M4A (AAC or Apple Lossless)"),
        (rb".{4}ftyp3g", "3GP"),
        (rb".{4}ftypqt", "QuickTime (mov)"),
        (rb".{4}(?:ftyp|styp)", "MP4"),
        (rb".{4}(?:moov|mdat|wide)", "QuickTime (mov)"),
        (rb"\x1a\x45\xdf\xa3.{0,64}?webm", "WebM"),
        (rb"\x1a\x45\xdf\xa3", "Matroska"),
        (rb"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "ASF (Windows Media)"),
        (rb"#!AMR-WB\n", "AMR-WB"),
        (rb"#!AMR\n", "AMR-NB"),
        (rb"\x0b\x77", "Dolby Digital (AC-3 or E-AC-3)"),
        (rb"MAC ", "Monkey's Audio (APE)"),
        (rb"wvpk", "WavPack"),
        (rb"TTA[12]", "True Audio (TTA)"),
        (rb"DSD .{8}", "DSF (DSD)"),
        (rb"FRM8.{8}DSD ", "DSDIFF (DSD)"),
        (rb"MPCK|MP\+", "Musepack"),
        (rb"tBaK", "TAK"),
        (rb"qoaf", "QOA"),
        (rb"ajkg", "Shorten"),
        (rb"FLV\x01", "Flash video"),
        (rb"\.RMF", "RealMedia"),
        (rb"\.ra\xfd", "RealAudio"),
        (rb"RIFF.{4}AVI ", "AVI"),
        (rb"(?:RIFF|RIFX|RF64).{4}WAVE", "WAV"),
        (rb"FORM.{4}AIF[FC]", "AIFF"),
        (rb"caff", "CAF"),
        (rb"OggS", "Ogg"),
        (rb"\x00\x00\x01\xba", "MPEG program stream"),
        (rb"\x47.{187}\x47.{187}\x47", "MPEG transport stream"),
        (rb"\x7f\xfe\x80\x01|\xfe\x7f\x01\x80", "DTS"),
        (rb"\xff[\xf0\xf1\xf8\xf9]", "AAC (ADTS)"),
        (rb"\xff[\xf2-\xf7\xfa-\xff]", "MPEG audio (mp2 or mp3)"),
    )
]


def sound_kind(path: str | os.PathLike) -> str | None:
    """What container of sound a file begins as ("M4A (AAC or Apple Lossless)"), or None."""
    with open(path, "rb") as file:
        head = file.read(HEAD)
    if head.startswith(b"ID3") and len(head) > 10:
        head = head[10 + sum((byte & 127) << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=True)) :]
    return next((name for pattern, name in _SOUND if pattern.match(head)), None)


def missing_bytes(path: str | os.PathLike) -> int:
    """How many bytes a file lacks of what its container states; 0 where it is whole, or its container states nothing."""
    size = Path(path).stat().st_size
    with open(path, "rb") as file:
        head = file.read(HEAD)
        if _MOV.match(head):
            stated = max((end for _, _, end in boxes(file, 0, size)), default=0)
        elif head.startswith(_EBML):
            stated = _matroska_end(head)
        elif head.startswith(_ASF):
            place = head.find(_ASF_FILE_PROPERTIES)
            stated = struct.unpack_from("<Q", head, place + 40)[0] if 0 <= place <= len(head) - 48 else 0
        elif head[:4] in (b"RIFF", b"RIFX", b"FORM") and len(head) >= 8:
            number = struct.unpack("<I" if head[:4] == b"RIFF" else ">I", head[4:8])[0]
            stated = 0 if number in _STREAMED else number + 8 - _SLACK
        elif head.startswith(b"OggS"):
            stated = size + _ogg_lacks(file, size)
        elif head.startswith(b"wvpk"):
            stated = _wavpack_end(file, size)
        else:
            stated = 0
    return max(0, stated - size)


def boxes(file: BinaryIO, start: int, stop: int) -> Iterator[tuple[bytes, int, int]]:
    """(name, start of its content, end) of each box of an MP4 or QuickTime file between two places, as they state it."""
    while start + 8 <= stop:
        file.seek(start)
        length, name = struct.unpack(">I4s", file.read(8))
        content = start + 8
        if length == 1:
            length, content = int.from_bytes(file.read(8), "big"), content + 8
        end = stop if length == 0 else start + length  # 0: to the end
        if end < content or not re.fullmatch(rb"[\x20-\x7e\xa9]{4}", name):
            return  # not a box: what some append to a file
        yield name, content, end
        start = end


def mp4_codings(file: BinaryIO, start: int, stop: int) -> Iterator[bytes]:
    """The four-letter codings that the tracks of an MP4 or QuickTime file state, `mp4a` or `enca` for example."""
    for name, content, end in boxes(file, start, stop):
        if name in _MP4_FOLDERS:
            yield from mp4_codings(file, content, min(end, stop))
        elif name == b"stsd":
            yield from (coding for coding, _, _ in boxes(file, content + 8, min(end, stop)))


def chunks(head: bytes) -> Iterator[tuple[bytes, bytes]]:
    """(name, content) of the chunks of a RIFF or RIFX file, as far as `head` goes."""
    order, place = "<I" if head[:4] != b"RIFX" else ">I", 12
    while place + 8 <= len(head):
        length = struct.unpack_from(order, head, place + 4)[0]
        yield head[place : place + 4], head[place + 8 : place + 8 + length]
        place += 8 + length + length % 2


def tag_bytes(path: str | os.PathLike) -> int:
    """How many bytes at a file's end are an ID3v1 or APE tag: they describe the sound and are none."""
    size = Path(path).stat().st_size
    with open(path, "rb") as file:
        file.seek(max(0, size - 160))
        tail = file.read()
    tags = 128 if tail[-128:-125] == b"TAG" else 0
    footer = tail[len(tail) - tags - 32 : len(tail) - tags]
    if footer.startswith(b"APETAGEX"):
        length, _, flags = struct.unpack_from("<III", footer, 12)
        tags += length + (32 if flags & 1 << 31 else 0)
    return tags if tags < size else 0


def _matroska_end(head: bytes) -> int:
    """Where the segment ends; 0 if its writer did not know."""
    place = head.find(_SEGMENT)
    if not 0 <= place < len(head) - 12:
        return 0
    first = head[place + 4]
    width = 9 - first.bit_length()
    if not 1 <= width <= 8:
        return 0
    length = int.from_bytes(head[place + 4 : place + 4 + width], "big") & ((1 << 7 * width) - 1)
    return 0 if length == (1 << 7 * width) - 1 else place + 4 + width + length


def _wavpack_end(file: BinaryIO, size: int) -> int:
    place = 0
    while place + 8 <= size:
        file.seek(place)
        name, length = struct.unpack("<4sI", file.read(8))
        if name != b"wvpk":
            break
        place += length + 8
    return place


def _ogg_lacks(file: BinaryIO, size: int) -> int:
    """Bytes that the last page lacks; 1 if it is whole and not marked as the last."""
    file.seek(max(0, size - HEAD))  # a page is at most 65,307 bytes
    tail = file.read()
    page = tail[max(0, tail.rfind(b"OggS")) :]
    if len(page) < 27 or len(page) < 27 + page[26]:
        return 27
    lacks = 27 + page[26] + sum(page[27 : 27 + page[26]]) - len(page)
    return max(lacks, 0 if page[5] & 4 else 1)
