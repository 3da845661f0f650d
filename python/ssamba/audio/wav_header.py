"""WAV as its chunks lie in a file: where the sound really begins and ends, whatever its header states."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import BinaryIO

from .mp3_frames import id3v2_size
from .spliced import Piece

PCM, FLOAT, MPEG, MP3, EXTENSIBLE = 1, 3, 0x50, 0x55, 0xFFFE
_STATE_SAMPLES_OF_A_BLOCK = (2, 0x11, 0x31)  # MS ADPCM, IMA ADPCM, GSM 6.10
PLACEHOLDER = 0x7FFF0000  # a size from here on, in a smaller file, is what a program writes that cannot go back
HEADER_SLACK = 64  # bytes of plain samples; some writers count their header in
LITTLE_BEHIND = 1 << 16  # bytes behind the stated sound that may be anything; more are sound


@dataclass(frozen=True)
class Wav:
    """One WAV in a file: bytes start..stop are its samples, whole blocks; `end` is where what belongs to it ends."""

    big_endian: bool
    fmt: bytes  # the content of the chunk "fmt "
    start: int
    stop: int
    stated: int  # bytes of samples that the header states
    end: int
    note: str | None
    unclear: int  # bytes up to `end` that are neither samples nor chunks

    @property
    def code(self) -> int:
        """Number of the coding; that of a chunk of the extensible kind is in its GUID."""
        return _code(self.fmt, self._order)

    @property
    def block(self) -> int:
        """Bytes that can be decoded by themselves: of PCM one sample of every channel."""
        return _number(self.fmt, 12, self._order) or 1

    @property
    def frames(self) -> int | None:
        """Samples of each channel, where the bytes tell it."""
        blocks = (self.stop - self.start) // self.block
        if self.code in (PCM, FLOAT):
            return blocks
        return blocks * _number(self.fmt, 18, self._order) if self.code in _STATE_SAMPLES_OF_A_BLOCK else None

    @property
    def _order(self) -> str:
        return "big" if self.big_endian else "little"

    def pieces(self) -> list[Piece]:
        """A clean WAV with the same samples; RF64 where they are more than 4 GB."""
        order = ">" if self.big_endian else "<"
        size = self.stop - self.start
        fmt = b"fmt " + struct.pack(order + "I", len(self.fmt)) + self.fmt + b"\0" * (len(self.fmt) % 2)
        if size < 1 << 32:
            riff = struct.pack(order + "I", min(4 + len(fmt) + 8 + size, 0xFFFFFFFF))
            head = (b"RIFX" if self.big_endian else b"RIFF") + riff + b"WAVE" + fmt
            return [head + b"data" + struct.pack(order + "I", size), (self.start, size)]
        ds64 = b"ds64" + struct.pack("<IQQQI", 28, 4 + 36 + len(fmt) + 8 + size, size, size // self.block, 0)
        return [b"RF64\xff\xff\xff\xffWAVE" + ds64 + fmt + b"data\xff\xff\xff\xff", (self.start, size)]


def read_wavs(raw: BinaryIO, size: int) -> list[Wav]:
    """Every WAV of a file, one or several joined; none if the first has no "fmt " before its samples."""
    wavs, position = [], 0
    while (wav := _read_wav(raw, position, size)) is not None:
        wavs.append(wav)
        position = wav.end
    return wavs


def _read_wav(raw: BinaryIO, position: int, size: int) -> Wav | None:
    raw.seek(position)
    head = raw.read(12)
    if head[:4] not in (b"RIFF", b"RIFX", b"RF64") or head[8:] != b"WAVE":
        return None
    order = "big" if head[:4] == b"RIFX" else "little"
    fmt, long, position = b"", 0, position + 12
    while len(chunk := _chunk(raw, position)) == 8:
        name, length = chunk[:4], int.from_bytes(chunk[4:], order)
        if name == b"data":
            length = long if length == 0xFFFFFFFF and long else length
            return _of_sound(raw, order == "big", fmt, position + 8, length, size) if fmt else None
        content = raw.read(min(length, 4096)) if name in (b"fmt ", b"ds64") else b""
        if name == b"fmt ":
            fmt = content
        elif name == b"ds64":
            long = int.from_bytes(content[8:16], "little")
        following = position + 8 + length
        padded = following + length % 2
        unpadded = length % 2 and not _is_name(_chunk(raw, padded)[:4]) and _is_name(_chunk(raw, following)[:4])
        position = following if unpadded else padded
    return None


def _of_sound(raw: BinaryIO, big_endian: bool, fmt: bytes, start: int, stated: int, size: int) -> Wav:
    """The WAV whose samples begin at `start`; its end is the stated one if chunks or nothing of weight follow it."""
    order = "big" if big_endian else "little"
    block, held = _number(fmt, 12, order) or 1, size - start
    note, unclear, stop, end = None, 0, start + stated, size
    if stated > held:
        stop = size
        slack = HEADER_SLACK if _code(fmt, order) in (PCM, FLOAT) else 0
        if held + slack < stated < PLACEHOLDER:
            note = "more"
    else:
        end, rest = after_chunks(raw, stop, size, order)
        if rest and (stated == 0 or rest > max(LITTLE_BEHIND, block)) and end - stop < 2:
            stop, end, note = size, size, "less"
        else:
            unclear = rest
            end += rest
    stop = start + (stop - start) // block * block
    return Wav(big_endian, fmt, start, stop, stated, end, note, unclear)


def after_chunks(raw: BinaryIO, position: int, size: int, order: str) -> tuple[int, int]:
    """Where the chunks and tags from `position` on end, and how many bytes follow that are neither, nor another WAV."""
    while position < size:
        raw.seek(position)
        head = raw.read(12)
        if head[:4] in (b"RIFF", b"RIFX", b"RF64") and head[8:] == b"WAVE":
            return position, 0
        if not head.strip(b"\0") and _only_zeros(raw, position, size):
            return size, 0
        if head[:1] == b"\0" and position % 2:
            position += 1
            continue
        length = int.from_bytes(head[4:8], order)
        if (tag := id3v2_size(head)) or (tag := 128 if head[:3] == b"TAG" and size - position == 128 else 0):
            position += tag
        elif len(head) >= 8 and _is_name(head[:4]) and position + 8 + length <= size:
            position += 8 + length
        else:
            return position, size - position
    return size, 0


def _only_zeros(raw: BinaryIO, position: int, size: int) -> bool:
    raw.seek(position)
    while data := raw.read(1 << 16):
        if data.strip(b"\0"):
            return False
    return True


def _chunk(raw: BinaryIO, position: int) -> bytes:
    raw.seek(position)
    return raw.read(8)


def _is_name(name: bytes) -> bool:
    return len(name) == 4 and all(32 <= byte < 127 for byte in name) and name.strip() != b""


def _code(fmt: bytes, order: str) -> int:
    code = _number(fmt, 0, order)
    return _number(fmt, 24, order) if code == EXTENSIBLE and len(fmt) >= 26 else code


def _number(data: bytes, at: int, order: str) -> int:
    return int.from_bytes(data[at : at + 2], order)
