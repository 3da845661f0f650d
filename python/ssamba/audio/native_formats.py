"""Formats that libsndfile decodes: what each file holds is found here, and handed over as clean data."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import BinaryIO

import soundfile

from . import mp3_frames, ogg_pages, wav_header
from .errors import AudioError
from .joined_source import JoinedSource, Part
from .mp3_frames import FreeFormat, Mp3Map
from .names import quoted
from .ogg_pages import OggStream
from .sndfile_source import Mp3Source, SndfileSource, said
from .sources import Source
from .stated_sizes import read_other_size
from .wav_header import HEADER_SLACK, PLACEHOLDER, Wav

_ANOTHER_FORMAT = (1, 2, 4)  # libsndfile's numbers for: not recognised, system error, unsupported encoding
_PLAIN = ("PCM", "FLOAT", "DOUBLE", "ULAW", "ALAW")

# What libsndfile logs of a header that states another length than the file holds: (stated, held), in any unit.
_STATED_AND_HELD = (
    re.compile(r"^\s*(?:SSND|BODY|data|Data Size)\s*:\s*(?P<stated>\d+) \(should be (?P<held>\d+)\)", re.MULTILINE),
    re.compile(r"^riff\s*:\s*(?P<stated>\d+) \(should be (?P<held>\d+)\)", re.MULTILINE),  # W64
    re.compile(r"Calculated frame count (?P<held>\d+) does not match value from 'ds64' chunk of (?P<stated>\d+)"),
    re.compile(r"File seems to be truncated\. (?P<held>\d+) <--> (?P<stated>\d+)"),  # MAT4
    re.compile(r"Data length (?P<stated>\d+) should be (?P<held>\d+)"),  # WVE
)
_OTHER_LENGTH = re.compile("truncated|multi-segment|Odd psf->datalength")
# The number of samples that a header states, where libsndfile reads to the end of the file whatever it says.
_STATED_FRAMES = {
    "AVR": re.compile(r"^\s*Frames\s*:\s*(\d+)", re.MULTILINE),
    "MPC2K": re.compile(r"^\s*Frames\s*:\s*(\d+)", re.MULTILINE),
    "SVX": re.compile(r"^\s*OneShotHiSamples\s*:\s*(\d+)", re.MULTILINE),
    "MAT5": re.compile(r"Cols : (\d+)\s+Type : \S+\s+Size : \d+\s+Name : wavedata", re.MULTILINE),
}
_SDS_FRAMES = re.compile(r"^Frames\s*:\s*(\d+)", re.MULTILINE)  # as many as the file holds
_NIST_SAMPLES = re.compile(rb"^sample_count -i (\d+)", re.MULTILINE)
_MP3_NAMES = {".mp3", ".mp2", ".mp1", ".mpa", ".mpga"}
_GSM_FRAME = 33  # bytes, the first of which begins with 0xD


class MalformedError(AudioError):
    """A file of a format that libsndfile knows and finds damaged; another decoder may be more lenient."""


def open_sndfile(path: str | os.PathLike, raw: BinaryIO) -> Source | None:
    """Open a file by its content, `raw`; None if it is nothing that libsndfile decodes.

    Raises:
        AudioError: it is, and is visibly cut off or damaged; MalformedError where libsndfile alone finds so.
    """
    size = os.fstat(raw.fileno()).st_size
    head = raw.read(12)
    if start := mp3_frames.id3v2_size(head):
        raw.seek(start)
        head = raw.read(12)
    if head[:4] == b"OggS":
        return _open_ogg(path, raw, start, size)
    if head[:4] in (b"RIFF", b"RIFX", b"RF64") and head[8:] == b"WAVE" and not start:
        return _open_wav(path, raw, size)
    if head[:4] in (b".snd", b"dns.", b"FORM", b"caff") and not start:
        return _open_sized(path, raw, size)
    if head[:1] == b"\xff":
        return _open_mp3(path, raw, start, size)
    if _suffix(path) in _MP3_NAMES and (source := _open_mp3(path, raw, start, size)):
        return source
    return _open_as_it_is(path)


def _open_as_it_is(path: str | os.PathLike) -> SndfileSource | None:
    by_name = _suffix(path) == ".raw" or _suffix(path) in _MP3_NAMES  # which would be believed, whatever is in it
    pieces = [(0, os.stat(path).st_size)] if by_name else None
    try:
        source = SndfileSource(path, pieces)
    except soundfile.SoundFileError as error:
        if error.code in _ANOTHER_FORMAT or "implemented" in error.error_string:
            return None
        raise MalformedError(path, f"is damaged: libsndfile cannot open it ({said(error)})") from error
    guessed = source.format == "RAW" and not (_suffix(path) == ".gsm" and _holds_gsm(path))
    fork = source.format == "SD2" and _suffix(path) != ".sd2"  # libsndfile has read what lies beside the file
    if guessed or fork or source.format == "MP3":
        source.close()
        return None
    if source.format == "SDS" and (held := int(_SDS_FRAMES.search(source.log)[1])) < source.frames:
        stated = source.frames  # up to which libsndfile would give zeros
        source.close()
        source = SndfileSource(path, frames=held)
        source.notes.append(_read_to_the_end(stated / source.sample_rate, held / source.sample_rate))
    elif note := _length_note(source, path):
        source.notes.append(note)
    return source


def _length_note(source: SndfileSource, path: str | os.PathLike) -> str | None:
    """What to say of a header that states another length than the file holds."""
    log, seconds = source.log, source.frames / source.sample_rate
    for pattern in _STATED_AND_HELD:
        if found := pattern.search(log):
            stated, held = int(found["stated"]), max(1, int(found["held"]))
            slack = HEADER_SLACK if source.coding.startswith(_PLAIN) else 0
            if abs(stated - held) > slack and stated < PLACEHOLDER:
                return _read_to_the_end(seconds * stated / held, seconds)
            return None
    if _OTHER_LENGTH.search(log):
        return "its header states another length than the file holds: read to its end"
    stated = None
    if pattern := _STATED_FRAMES.get(source.format):
        stated = int(found[1]) if (found := pattern.search(log)) else None
    elif source.format == "NIST":
        with open(path, "rb") as raw:
            stated = int(found[1]) if (found := _NIST_SAMPLES.search(raw.read(1024))) else None
    if stated is None or stated == source.frames:
        return None
    return _read_to_the_end(stated / source.sample_rate, seconds)


def _open_sized(path: str | os.PathLike, raw: BinaryIO, size: int) -> SndfileSource | None:
    """AU, AIFF or CAF; where its header states another size than there is, it is read to its end."""
    found = read_other_size(raw, size)
    if found is None or not found.pieces:
        source = _open_as_it_is(path)
        if source is not None and found is not None:
            source.notes.append(_left_out(found.unclear))
        return source
    try:
        source = SndfileSource(path, found.pieces)
    except soundfile.SoundFileError:
        return None
    if found.stated is not None:
        seconds = source.frames / source.sample_rate
        source.notes.append(_read_to_the_end(seconds * found.stated / found.held, seconds))
    return source


def _open_wav(path: str | os.PathLike, raw: BinaryIO, size: int) -> Source | None:
    wavs = wav_header.read_wavs(raw, size)
    if not wavs:
        return _open_as_it_is(path)
    sources = [_open_one_wav(path, raw, wav, alone=len(wavs) == 1) for wav in wavs]
    if None in sources or len(sources) == 1:
        return sources[0] if len(sources) == 1 else None
    return _joined(path, "WAV", sources, [partial(_open_one_wav, path, None, wav, alone=False) for wav in wavs])


def _open_one_wav(path: str | os.PathLike, raw: BinaryIO | None, wav: Wav, alone: bool) -> Source | None:
    if wav.code in (wav_header.MPEG, wav_header.MP3):
        with open(path, "rb") as raw:
            return _open_mp3(path, raw, wav.start, wav.stop)
    try:
        source = _open_as_it_is(path) if alone and wav.note is None else None
    except MalformedError:
        source = None  # a clean header may do
    if source is not None:
        source.notes.clear()  # of the lengths, this module knows better
        if source.frames != wav.frames and (wav.frames is not None or wav.stop - wav.start != wav.stated):
            source.close()
            source = None
    try:
        source = source or SndfileSource(path, wav.pieces())
        if wav.frames is not None and wav.frames < source.frames:  # of GSM libsndfile counts a padding byte as a block
            source.close()
            source = SndfileSource(path, wav.pieces(), wav.frames)
    except soundfile.SoundFileError:
        return None
    if wav.note:
        seconds = source.frames / source.sample_rate
        source.notes.append(_read_to_the_end(seconds * wav.stated / max(1, wav.stop - wav.start), seconds))
    if wav.unclear:
        source.notes.append(_left_out(wav.unclear))
    return source


def _open_ogg(path: str | os.PathLike, raw: BinaryIO, start: int, size: int) -> Source | None:
    found = ogg_pages.walk(raw, start, size)
    streams = []
    for link in found.links:
        sounds = [stream for stream in link.values() if stream.codec is not None]
        if len(sounds) != 1 or sounds[0].codec == "video":
            return None
        streams += sounds
    if (missing := next((stream.missing for stream in streams if stream.missing is not None), None)) is not None:
        raise AudioError(path, f"is corrupt: pages of its Ogg stream are missing at byte {missing}")
    clean = len(found.links) == 1 and len(found.links[0]) == 1 and start == 0 and found.cut is None
    clean = clean and streams[0].ended and len(streams[0].ranges) == 1 and not streams[0].starts_late
    openers = [partial(_open_ogg_stream, path, stream) for stream in streams]
    try:
        sources = [SndfileSource(path)] if clean else [opener() for opener in openers]
        source = sources[0] if len(sources) == 1 else _joined(path, "OGG", sources, openers)
    except (soundfile.SoundFileError, IndexError):
        if found.cut is None:
            return None
        raise AudioError(path, "is truncated: it stops before the first sample of its Ogg stream") from None
    if found.cut is not None:
        source.close()
        whole = source.frames / source.sample_rate
        raise AudioError(path, f"is truncated: it ends in the middle of an Ogg page; {whole:.3g} s before it are whole")
    if not streams[-1].ended:
        source.notes.append(
            "its last page is not marked as the end of the stream, as if it was cut off between two pages: "
            "read to its end"
        )
    return _with_junk(source, found.junk, "Ogg pages")


def _open_ogg_stream(path: str | os.PathLike, stream: OggStream) -> SndfileSource:
    with open(path, "rb") as raw:
        return SndfileSource(path, ogg_pages.pieces(raw, stream), 0 if stream.starts_late else None)


def _open_mp3(path: str | os.PathLike, raw: BinaryIO, start: int, stop: int) -> Source | None:
    state = os.fstat(raw.fileno())
    try:
        found = _mp3_map(path, start, stop, (state.st_size, state.st_mtime_ns))
    except FreeFormat:
        raise AudioError(
            path,
            "is MPEG audio of free format, whose frames do not state their size; write it anew, for example: "
            f"lame --decode {quoted(path)} {quoted(path, '.wav')}",
        ) from None
    if found is None or 2 * sum(length for _, length in found.junk) > stop - start:
        return None
    if found.cut is not None:
        raise AudioError(
            path, f"is truncated: it ends in the middle of an mp3 frame; {found.duration:.3g} s before it are whole"
        )
    sources = [Mp3Source(path, part) for part in found.parts]
    source = sources[0]
    if len(sources) > 1:
        source = _joined(path, "MP3", sources, [partial(Mp3Source, path, part) for part in found.parts])
    for part in found.parts:
        stated = part.stated_frames
        if stated is not None and abs(stated - part.frames) > 1:
            frame = part.kind.samples / part.kind.sample_rate
            source.notes.append(_read_to_the_end(stated * frame, part.frames * frame))
    return _with_junk(source, found.junk, "mp3 frames")


@lru_cache(4096)
def _mp3_map(path: str | os.PathLike, start: int, stop: int, state: tuple[int, int]) -> Mp3Map | None:
    """The frames of a file in this state; kept, for crops of one file are read again and again."""
    with open(path, "rb") as raw:
        return mp3_frames.walk(raw, start, stop)


def _joined(
    path: str | os.PathLike, format: str, sources: Sequence[Source], openers: Sequence[Callable[[], Source]]
) -> JoinedSource:
    parts = []
    for source, opener in zip(sources, openers, strict=True):
        parts.append(Part(opener, source.sample_rate, source.channels, source.frames))
        source.close()
    joined = JoinedSource(path, format, [part for part in parts if part.frames] or parts[:1])
    joined.notes += [note for source in sources for note in source.notes]
    return joined


def _with_junk(source: Source, junk: Sequence[tuple[int, int]], what: str) -> Source:
    if junk:
        size = sum(length for _, length in junk)
        source.notes.append(f"{size} bytes of it, the first at byte {junk[0][0]}, are no {what}: left out")
    return source


def _read_to_the_end(stated: float, held: float) -> str:
    return f"its header states {stated:.4g} s, the file holds {held:.4g} s: read to its end"


def _left_out(unclear: int) -> str:
    return f"{unclear} bytes behind its samples are neither samples nor chunks: left out"


def _holds_gsm(path: str | os.PathLike) -> bool:
    with open(path, "rb") as raw:
        data = raw.read(100 * _GSM_FRAME)
    return len(data) >= _GSM_FRAME and all(byte >> 4 == 0xD for byte in data[::_GSM_FRAME])


def _suffix(path: str | os.PathLike) -> str:
    return Path(os.fsdecode(path)).suffix.lower()
