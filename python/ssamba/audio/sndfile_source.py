"""What libsndfile decodes: a file, pieces of one, or a stream of mp3 frames."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
import soundfile

from .errors import AudioError
from .mp3_frames import Mp3Part
from .spliced import Piece, Spliced

_BLOCK = 1 << 16  # samples at once where they are only counted
_STEP = 1 << 10  # samples at once where the place of damage is looked for
_UNKNOWN_LENGTH = 1 << 62  # of a streamed FLAC libsndfile says 2^63 - 1 samples


class _Forward(soundfile.SoundFile):
    """A file that is read on from where it stands.

    After every read soundfile seeks to where it is, which costs an mp3 the bits of its next frame in earlier ones.
    """

    def seekable(self) -> bool:
        return False


class SndfileSource:
    """A file, or pieces of one, as libsndfile decodes it.

    Args:
        path: of the file, which every error names.
        pieces: what of the file to decode, as clean data; None: the file as it is.
        frames: what decoding gives where libsndfile cannot know; 0: count by decoding.
    """

    def __init__(self, path: str | os.PathLike, pieces: Sequence[Piece] | None = None, frames: int | None = None):
        self._path, self._pieces, self._position = path, pieces, 0
        self._open()
        self.sample_rate, self.channels = self._file.samplerate, self._file.channels
        self.format, self.notes = self._file.format, []
        self.frames = self._file.frames if frames is None else frames
        self._seekable = soundfile.SoundFile.seekable(self._file) and frames is None
        if frames == 0 or self._file.frames >= _UNKNOWN_LENGTH:
            self._seekable = False
            self.frames = self._count()

    @property
    def coding(self) -> str:
        """The kind of its samples, such as PCM_16."""
        return self._file.subtype

    @property
    def log(self) -> str:
        """What libsndfile says of the header, behind the name and the size of the file."""
        return self._file.extra_info.partition("\nLength : ")[2]

    def seek(self, frame: int) -> None:
        if frame == self._position:
            return
        if self._seekable:
            try:
                self._file.seek(frame)
            except soundfile.SoundFileError as error:
                raise self._damaged(frame, error) from error
            self._position = frame
            return
        if frame < self._position:
            self.close()
            self._open()
            self._position = 0
        while self._position < frame:
            self.read(min(_BLOCK, frame - self._position))

    def read(self, frames: int) -> np.ndarray:
        wanted = min(frames, self.frames - self._position)
        try:
            block = self._file.read(wanted, dtype="float32", always_2d=True)
        except soundfile.SoundFileError as error:
            raise self._damaged(self._decodable(), error) from error
        self._position += len(block)
        if len(block) < wanted:
            raise self._damaged(self._position)
        return block

    def close(self) -> None:
        self._file.close()
        if self._virtual is not None:
            self._virtual.close()

    def _open(self) -> None:
        self._virtual = None if self._pieces is None else Spliced(self._path, self._pieces)
        try:
            self._file = _Forward(os.fsencode(self._path) if self._virtual is None else self._virtual)
        except BaseException:
            if self._virtual is not None:
                self._virtual.close()
            raise

    def _count(self) -> int:
        """Samples that decoding gives, by decoding all of them."""
        count = 0
        try:
            while length := len(self._file.read(_BLOCK, dtype="float32", always_2d=True)):
                count += length
        except soundfile.SoundFileError as error:
            self.frames = 0
            raise self._damaged(self._decodable(), error) from error
        self.close()
        self._open()
        return count

    def _decodable(self) -> int:
        """How many samples can be decoded from the beginning, in small steps after a large one has failed."""
        count = 0
        try:
            self.close()
            self._open()
            while length := len(self._file.read(_STEP, dtype="float32", always_2d=True)):
                count += length
        except soundfile.SoundFileError:
            pass
        return count

    def _damaged(self, decoded: int, error: Exception | None = None) -> AudioError:
        cause = f" ({said(error)})" if error else ""
        seconds = f"{decoded / self.sample_rate:.3g} s"
        if self.frames:
            seconds += f" of {self.frames / self.sample_rate:.3g} s"
        return AudioError(self._path, f"is truncated or corrupt{cause}: {seconds} could be decoded")


class Mp3Source:
    """One stream of MPEG audio frames, its seeks by the places of its frames."""

    format = "MP3"

    def __init__(self, path: str | os.PathLike, part: Mp3Part):
        self._path, self._part, self._position, self._file = path, part, 0, None
        self.sample_rate, self.channels, self.frames = part.kind.sample_rate, part.kind.channels, part.samples
        self.notes: list[str] = []

    def seek(self, frame: int) -> None:
        if frame != self._position:
            self.close()
        self._position = frame

    def read(self, frames: int) -> np.ndarray:
        if self._file is None:
            self._open()
        block = self._file.read(min(frames, self.frames - self._position))
        self._position += len(block)
        return block

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _open(self) -> None:
        """Decode from shortly before the present position on, and drop what lies before it."""
        length = self._part.kind.samples
        sample = self._part.trimmed[0] + self._position
        pieces, first = self._part.from_frame(min(sample // length, self._part.frames - 1))
        try:
            self._file = SndfileSource(self._path, pieces, (self._part.frames - first + 1) * length)
            self._file.seek(sample - (first - 1) * length)  # the silent frame goes before the first
        except soundfile.SoundFileError as error:
            raise AudioError(self._path, f"cannot be decoded ({said(error)})") from error


def said(error: Exception) -> str:
    """What libsndfile says, without the name of the file."""
    return (getattr(error, "error_string", None) or str(error)).rstrip(". ")
