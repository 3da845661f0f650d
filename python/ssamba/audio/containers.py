"""What containers say of themselves: which they are, how many bytes they should hold, what lies in them."""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from . import ogg_pages
from .wav_header import Wav, read_wavs

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
_W64 = bytes.fromhex("726966662e91cf11a5d628db04c10000")
_ASF = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_ASF_FILE_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")

_WAV_CODINGS = {  # format tags of those that libsndfile or FFmpeg may lack
    0x0002: "Microsoft ADPCM",
    0x0011: "IMA ADPCM",
    0x0014: "G.723 ADPCM",
    0x0020: "Yamaha ADPCM",
    0x0022: "DSP Group TrueSpeech",
    0x0031: "GSM 6.10",
    0x0040: "G.721 ADPCM",
    0x0042: "G.723.1",
    0x0045: "G.726 ADPCM",
    0x0050: "MPEG layer 1 or 2",
    0x0055: "MPEG layer 3",
    0x0064: "G.726 ADPCM",
    0x0065: "G.722",
    0x0069: "Xbox ADPCM",
    0x0083: "G.729",
    0x00FF: "AAC",
    0x0130: "Sipro ACELP",
    0x0160: "Windows Media Audio 1",
    0x0161: "Windows Media Audio 2",
    0x0162: "Windows Media Audio Professional",
    0x0163: "Windows Media Audio Lossless",
    0x0200: "Creative ADPCM",
    0x0270: "ATRAC3",
    0x028F: "G.722",
    0x1610: "AAC",
    0x1600: "AAC",
    0x1602: "AAC",
    0x2000: "AC-3",
    0x2001: "DTS",
    0xF1AC: "FLAC",
}
_SAMPLES = {0x0001, 0x0003, 0x0006, 0x0007}  # integers, floats, A-law, µ-law

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
        (rb"fLaC", "FLAC"),
        (rb"\.snd", "AU"),
        (rb"riff\x2e\x91\xcf\x11", "W64"),
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
    kind = next((name for pattern, name in _SOUND if pattern.match(head)), None)
    if kind == "WAV" and (wavs := wavs_of(path)) and (code := wavs[0].code) not in _SAMPLES:
        kind += f" with {_WAV_CODINGS.get(code, 'an unknown coding')} in it (format tag 0x{code:04x})"
    return kind


def wavs_of(path: str | os.PathLike) -> list[Wav]:
    """The WAVs of a file; none if it is another, or breaks off before its samples."""
    with open(path, "rb") as file:
        return read_wavs(file, Path(path).stat().st_size)


def shortfall(path: str | os.PathLike) -> str | None:
    """What a file lacks of what its container states, "it lacks 5 bytes that it states"; None: nothing that shows."""
    size = Path(path).stat().st_size
    with open(path, "rb") as file:
        head = file.read(HEAD)
        if head.startswith(b"OggS"):
            return _ogg_end(file, size)
        if _MOV.match(head):
            stated = max((end for _, _, end in boxes(file, 0, size)), default=0)
        elif head.startswith(_EBML):
            stated = _matroska_end(head)
        elif head.startswith(_ASF):
            place = head.find(_ASF_FILE_PROPERTIES)
            stated = struct.unpack_from("<Q", head, place + 40)[0] if 0 <= place <= len(head) - 48 else 0
        elif wavs := read_wavs(file, size):
            stated = wavs[-1].start + wavs[-1].stated if wavs[-1].note == "more" else 0
        elif head[:4] in (b"RIFF", b"FORM") and len(head) >= 8:  # AVI, AIFF
            number = struct.unpack("<I" if head[:4] == b"RIFF" else ">I", head[4:8])[0]
            stated = 0 if number in _STREAMED else number + 8 - _SLACK
        elif head.startswith(_W64) and len(head) >= 24:
            stated = struct.unpack_from("<Q", head, 16)[0] - _SLACK
        elif head.startswith(b"wvpk"):
            stated = _wavpack_end(file, size)
        else:
            stated = 0
    return f"it lacks {stated - size} bytes that it states" if stated > size else None


def boxes(file: BinaryIO, start: int, stop: int) -> Iterator[tuple[bytes, int, int]]:
    """(name, start of the content, end) of each box of an MP4 or QuickTime file between two places, as it states."""
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


def _ogg_end(file: BinaryIO, size: int) -> str | None:
    found = ogg_pages.walk(file, 0, size)
    if found.cut is not None:
        return "its last page is cut off"
    for stream in found.links[-1].values() if found.links else ():
        place, length = stream.last
        file.seek(place)
        page = file.read(length)
        if ogg_pages.checksum(page[:22] + bytes(4) + page[26:]) != int.from_bytes(page[22:26], "little"):
            return "its last page is damaged"
        if not stream.ended:
            return "it has no page that is marked as the last"
    return None
