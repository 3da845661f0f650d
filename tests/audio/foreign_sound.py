"""Files of sound in containers and codings that soundfile cannot write: by PyAV, or byte by byte."""

from __future__ import annotations

import struct
import tempfile
from collections.abc import Iterator
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from signals import sweep

av = pytest.importorskip("av", reason="needs PyAV: pip install '.[formats]'")


class Format(NamedTuple):
    """One container with one coding, and how it is written."""

    suffix: str
    container: str  # FFmpeg's name for writing
    coding: str  # the encoder's
    rate: int = 16000
    likeness: float = 0.99  # least correlation of what is read with what was written
    ends: bool = True  # whether a file that was cut off differs from a shorter one

    def __str__(self) -> str:
        return f"{self.container}-{self.coding}"


FORMATS = (
    Format("m4a", "ipod", "aac", 44100),
    Format("m4a", "ipod", "alac", 44100),
    Format("mp4", "mp4", "libmp3lame", 44100),
    Format("mp4", "mp4", "libopus", 48000),
    Format("mp4", "mp4", "flac"),
    Format("mp4", "mp4", "ac3", 48000),
    Format("mov", "mov", "pcm_s24be", 48000),
    Format("mov", "mov", "pcm_f64le"),
    Format("mov", "mov", "pcm_alaw", 8000),
    Format("3gp", "3gp", "aac"),
    Format("3gp", "3gp", "libopencore_amrnb", 8000, 0.8),
    Format("aac", "adts", "aac", 44100),
    Format("amr", "amr", "libopencore_amrnb", 8000, 0.8),
    Format("wma", "asf", "wmav1", 44100),
    Format("wma", "asf", "wmav2", 44100),
    Format("webm", "webm", "libopus", 48000),
    Format("mka", "matroska", "aac", 44100),
    Format("mka", "matroska", "flac"),
    Format("mka", "matroska", "pcm_f32le"),
    Format("mka", "matroska", "ac3", 48000),
    Format("ac3", "ac3", "ac3", 44100),
    Format("eac3", "eac3", "eac3", 48000),
    Format("wv", "wv", "wavpack"),
    Format("tta", "tta", "tta"),
    Format("caf", "caf", "adpcm_ima_qt"),
    Format("wav", "wav", "g722"),
    Format("wav", "wav", "g726", 8000),
    Format("wav", "wav", "adpcm_yamaha"),
    Format("wav", "wav", "pcm_s64le"),
    Format("flv", "flv", "aac", 44100),
    Format("avi", "avi", "libmp3lame", 44100),
    Format("ts", "mpegts", "aac", 44100, ends=False),
    Format("rm", "rm", "ac3", 44100),
    Format("nut", "nut", "aac", 44100),
    Format("ogg", "ogg", "flac"),
    Format("g722", "g722", "g722", ends=False),
    Format("sox", "sox", "pcm_s32le", ends=False),
    Format("swf", "swf", "libmp3lame", 44100, ends=False),
)


def write(path: Path, kind: Format, samples: np.ndarray | None = None, **muxing: str) -> np.ndarray:
    """Write samples (channels, n), 1.5 s of a sweep if none are given, and return them."""
    samples = sweep(1.5, kind.rate)[None] if samples is None else samples
    with av.open(str(path), "w", format=kind.container, options=muxing) as file:
        encode(file, add_track(file, kind.coding, kind.rate, len(samples)), samples)
    return samples


@cache
def made(kind: Format) -> tuple[bytes, np.ndarray]:
    """A file, as `write` makes it, and what was written (channels, n)."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"a.{kind.suffix}"
        written = write(path, kind)
        return path.read_bytes(), written


def add_track(file, coding: str, rate: int, channels: int = 1, **metadata: str):
    track = file.add_stream(coding, rate=rate, layout="mono" if channels == 1 else "stereo")
    formats = [kind.name for kind in track.codec.audio_formats]
    track.codec_context.format = next(kind for kind in ("s32p", "s32", *formats) if kind in formats)
    if coding.startswith("wma"):
        track.codec_context.bit_rate = 96000
    track.metadata.update(metadata)
    return track


def encode(file, track, samples: np.ndarray) -> None:
    """Encode samples (channels, n), and finish the track."""
    context = track.codec_context
    resampler = av.AudioResampler(format=context.format, layout=context.layout, rate=context.sample_rate)
    for start in range(0, samples.shape[1], 4096):
        block = np.ascontiguousarray(samples[:, start : start + 4096], dtype=np.float32)
        frame = av.AudioFrame.from_ndarray(block, format="fltp", layout=context.layout.name)
        frame.sample_rate, frame.pts, frame.time_base = context.sample_rate, start, Fraction(1, context.sample_rate)
        for part in resampler.resample(frame):
            file.mux(track.encode(part))
    for part in resampler.resample(None):
        file.mux(track.encode(part))
    file.mux(track.encode(None))


def add_video(file, coding: str = "mpeg4", frames: int = 25) -> None:
    track = file.add_stream(coding, rate=25)
    track.width, track.height, track.pix_fmt = 64, 48, "yuv420p"
    for number in range(frames):
        picture = av.VideoFrame(64, 48, "yuv420p")
        picture.pts = number
        file.mux(track.encode(picture))
    file.mux(track.encode(None))


def decoded(path: Path) -> Iterator[av.AudioFrame]:
    """All frames of the first track, as the decoder gives them from the first packet to the last."""
    with av.open(str(path)) as file:
        yield from file.decode(audio=0)


def likeness(read: np.ndarray, written: np.ndarray) -> float:
    """The correlation of two sounds (n,), one of which may begin up to 0.2 s before the other."""
    length = 1 << (len(read) + len(written)).bit_length()
    products = np.fft.irfft(np.fft.rfft(read, length) * np.fft.rfft(written, length).conj())
    lag = int(np.argmax(np.concatenate([products[-9000:], products[:9000]]))) - 9000
    read, written = read[max(0, lag) :], written[max(0, -lag) :]
    n = min(len(read), len(written))
    return float(np.corrcoef(read[:n], written[:n])[0, 1])


def amr_wb(frames: int) -> bytes:
    """AMR-WB of the lowest rate with noise for parameters: 320 samples of 16 kHz a frame."""
    noise = np.random.default_rng(0)
    return b"#!AMR-WB\n" + b"".join(b"\x04" + noise.bytes(17) for _ in range(frames))


def wav(tag: int, rate: int, block: int, data: bytes, stated: int | None = None) -> bytes:
    """A WAV of any format tag, mono; `stated`: the bytes that its header says it holds."""
    stated = len(data) if stated is None else stated
    fmt = struct.pack("<HHIIHHH", tag, 1, rate, rate * block, block, 0, 0)
    chunks = b"fmt " + struct.pack("<I", len(fmt)) + fmt + b"data" + struct.pack("<I", stated) + data
    return b"RIFF" + struct.pack("<I", 36 + 2 + stated) + b"WAVE" + chunks


def dsf(samples: np.ndarray) -> bytes:
    """DSD64 of samples (n,) of 2,822,400 Hz, modulated in the first order."""
    bits, error = np.empty(len(samples), np.uint8), 0.0
    for place, value in enumerate(samples.tolist()):
        error += value
        bits[place] = error >= 0
        error -= 1.0 if error >= 0 else -1.0
    data = np.packbits(bits, bitorder="little").tobytes()
    data += bytes(-len(data) % 4096)
    fmt = b"fmt " + struct.pack("<QIIIIIIQII", 52, 1, 0, 1, 1, 2822400, 1, len(samples), 4096, 0)
    size = 28 + len(fmt) + 12 + len(data)
    return b"DSD " + struct.pack("<QQQ", 28, size, 0) + fmt + b"data" + struct.pack("<Q", 12 + len(data)) + data
