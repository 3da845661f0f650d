"""AU, AIFF and CAF whose header states another size of their samples than the file holds: the file with the true one.

Recorders write the size when they stop. Those that crashed, or that write into a pipe, leave a placeholder.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import BinaryIO

from .spliced import Piece
from .wav_header import LITTLE_BEHIND, after_chunks

_PLAIN_AIFF = {b"NONE", b"twos", b"sowt", b"raw ", b"in24", b"in32", b"fl32", b"FL32", b"fl64", b"FL64"}
_PLAIN_CAF = {b"lpcm", b"ulaw", b"alaw"}


@dataclass(frozen=True)
class OtherSize:
    """What a header is wrong about, in bytes of samples; `stated` is None where it leaves their size open, as CAF may.

    `pieces` are the file with the size that is `held`; there are none if all that lies behind the samples is `unclear`
    bytes that are neither samples nor chunks.
    """

    stated: int | None
    held: int
    pieces: list[Piece]
    unclear: int = 0


def read_other_size(raw: BinaryIO, size: int) -> OtherSize | None:
    """Of an AU, AIFF or CAF of `size` bytes with plain samples; None of others, and if the header is right."""
    raw.seek(0)
    magic = raw.read(4)
    read = {b".snd": _au, b"dns.": _au, b"FORM": _aiff, b"caff": _caf}.get(magic)
    return read(raw, size, magic) if read else None


def _au(raw: BinaryIO, size: int, magic: bytes) -> OtherSize | None:
    order = "big" if magic == b".snd" else "little"
    head = magic + raw.read(20)
    first, stated = (int.from_bytes(head[at : at + 4], order) for at in (4, 8))
    held = size - first
    if len(head) < 24 or first < 24 or held <= stated:
        return None
    if stated and held - stated <= LITTLE_BEHIND:
        return OtherSize(stated, stated, [], held - stated)
    return OtherSize(stated, held, [head[:8] + b"\xff" * 4 + head[12:], (24, size - 24)])


def _aiff(raw: BinaryIO, size: int, magic: bytes) -> OtherSize | None:
    raw.seek(8)
    common, block, position = 0, 0, 12
    if raw.read(4) not in (b"AIFF", b"AIFC"):
        return None
    while position + 8 <= size:
        raw.seek(position)
        name, length = raw.read(4), int.from_bytes(raw.read(4), "big")
        if name == b"COMM":
            common, content = position, raw.read(22)
            block = int.from_bytes(content[:2], "big") * ((int.from_bytes(content[6:8], "big") + 7) // 8)
            if length >= 22 and content[18:22] not in _PLAIN_AIFF:
                return None
        if name == b"SSND":
            break
        position += 8 + length + length % 2
    else:
        return None
    start = position + 16
    if any(raw.read(4)):  # samples that begin further behind
        return None
    stated, held = max(0, length - 8), (size - start) // block * block if common and block else 0
    if stated > held or not held:  # libsndfile reads to the end by itself, and says so
        return None
    _, rest = after_chunks(raw, start + stated, size, "big")
    if not rest or (stated and rest <= LITTLE_BEHIND):
        return OtherSize(stated, stated, [], rest) if rest else None
    raw.seek(0)
    head = bytearray(raw.read(start))
    head[4:8] = (size - 8).to_bytes(4, "big")
    head[position + 4 : position + 8] = (held + 8).to_bytes(4, "big")
    head[common + 10 : common + 14] = (held // block).to_bytes(4, "big")
    return OtherSize(stated, held, [bytes(head), (start, held)])


def _caf(raw: BinaryIO, size: int, magic: bytes) -> OtherSize | None:
    position, plain, block = 8, False, 1
    while position + 12 <= size:
        raw.seek(position)
        name, length = raw.read(4), int.from_bytes(raw.read(8), "big", signed=True)
        if name == b"desc":
            content = raw.read(32)
            plain, block = content[8:12] in _PLAIN_CAF, int.from_bytes(content[16:20], "big") or 1
        if name == b"data" or length < 0:
            break
        position += 12 + length
    if position + 16 > size or name != b"data" or not plain:
        return None
    start = position + 16
    stated = None if length < 0 else max(0, length - 4)
    held = (size - start) // block * block
    rest = size - start if stated is None or stated > held else _behind_caf(raw, start + stated, size)
    if not held or not rest or (stated and stated <= held and rest <= LITTLE_BEHIND):
        return OtherSize(stated, stated, [], rest) if stated and rest else None
    return OtherSize(stated, held, [(0, position + 4), (held + 4).to_bytes(8, "big"), (position + 12, 4 + held)])


def _behind_caf(raw: BinaryIO, position: int, size: int) -> int:
    """How many bytes behind the chunks from `position` on are no chunks."""
    while position + 12 <= size:
        raw.seek(position)
        name, length = raw.read(4), int.from_bytes(raw.read(8), "big", signed=True)
        if not name.isalnum() or not 0 <= length <= size - position - 12:
            break
        position += 12 + length
    return size - position
