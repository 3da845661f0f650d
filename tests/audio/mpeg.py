"""Mp3 files as encoders, recorders and editors leave them, made of what libsndfile writes."""

from __future__ import annotations

import io

import numpy as np
import soundfile


def encode(wave: np.ndarray, rate: int, mode: str = "CONSTANT", level: float = 0.9) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, wave, rate, format="MP3", bitrate_mode=mode, compression_level=level)
    return file.getvalue()


def frames(data: bytes) -> list[bytes]:
    """The frames of MPEG 1 or 2 layer III, the Info frame first if there is one."""
    found, place = [], 0
    while place < len(data):
        first = data[place + 1] & 8
        kbits = (
            (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
            if first
            else (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
        )[data[place + 2] >> 4]
        rate = (44100, 48000, 32000)[data[place + 2] >> 2 & 3] // (1 if first else 2)
        size = (144 if first else 72) * 1000 * kbits // rate + (data[place + 2] >> 1 & 1)
        assert data[place : place + 1] == b"\xff"
        found.append(data[place : place + size])
        place += size
    return found


def without_info(data: bytes) -> bytes:
    """As it is written into a pipe."""
    every = frames(data)
    return b"".join(every[1:] if b"Info" in every[0] or b"Xing" in every[0] else every)


def id3v2(size: int) -> bytes:
    """A tag in front that holds a picture of so many bytes."""
    return (
        b"ID3\3\0\0"
        + bytes([size >> 21 & 127, size >> 14 & 127, size >> 7 & 127, size & 127])
        + b"\xff\xfb" * (size // 2)
    )


def layer_two(count: int) -> bytes:
    """So many frames of layer II, 44.1 kHz, 64 kbit/s, mono, every other with a padding byte; silent."""
    return b"".join(
        bytes([0xFF, 0xFD, 0x40 | (odd := number % 2) << 1, 0xC0]).ljust(208 + odd, b"\0") for number in range(count)
    )
