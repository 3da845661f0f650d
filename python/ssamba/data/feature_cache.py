"""Log-mel features of audio files, computed once and kept on disk."""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
import shutil
import time
import zlib
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import soundfile
import soxr
import torch
from torch import Tensor

from .. import audio
from ..audio.log_mel import FRAME_SHIFT, MEL_BINS, SAMPLE_RATE, frame_count
from ..audio.log_mel_blocks import ROUNDS_ALIKE, log_mel_blocks, mean_of_blocks
from ..audio.reading import AudioError, AudioFile, log_notes
from ..checkpoints.disk import in_words
from ..checkpoints.folder import save_atomically

_log = logging.getLogger(__name__)
_BLOCK = 256  # frames under one checksum: a crop reads and checks only the blocks it touches
assert ROUNDS_ALIKE % _BLOCK == 0
_ROW = 4 * MEL_BINS  # bytes of a frame
_ABANDONED = 3600.0  # seconds after which an unfinished entry is a killed process's


class FeatureCache:
    """Log-mel of whole files in `folder`, for any number of processes at once; deleting the folder is always safe.

    Entries lie in `folder/log-mel-<version>/`. The version follows from the arguments, from the source text of all code
    that makes features, and from the releases of the libraries below it, so that none of them can change unnoticed. An
    entry is made anew when its file has another size or time of change, or when its own checksums are wrong. It is
    written aside and renamed. Where it cannot be written, a warning is logged once and features are computed each time.

    Args:
        folder: made if it is not there.
        sample_rate, subtract_mean: as for `log_mel`; files of another rate are resampled first.

    Raises:
        ValueError: `folder` is a file, or cannot be made.
    """

    def __init__(self, folder: str | os.PathLike, sample_rate: int = SAMPLE_RATE, subtract_mean: bool = False):
        self.sample_rate, self.subtract_mean = sample_rate, subtract_mean
        self.folder = Path(folder)
        self.entries = self.folder / f"log-mel-{_version(sample_rate, subtract_mean)}"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ValueError(f"feature_cache is {folder}, where there can be no folder: {error.strerror}") from error
        self._cannot_write = torch.zeros((), dtype=torch.bool).share_memory_()  # one warning for all worker processes

    def read(self, path: str, first: int = 0, frames: int | None = None) -> Tensor:
        """Frames `first` .. `first + frames` (None: to the end) of the log-mel of a file, (T, 128) float32.

        They are those of the whole file, so those of the same part of its sound; a file that ends earlier gives fewer.

        Raises:
            AudioError: as `read_audio` of the whole file, or if it is shorter than one frame.
        """
        try:
            found = os.stat(path)
        except OSError as error:
            raise AudioError(path, f"cannot be opened: {error.strerror}") from error
        about = {"path": os.path.abspath(path), "size": found.st_size, "mtime_ns": found.st_mtime_ns}
        entry = self._entry(about["path"])
        try:
            if (kept := _read_entry(entry, about, first, frames)) is not None:
                return kept
        except FileNotFoundError:
            pass
        except (OSError, ValueError) as error:
            _log.warning("feature cache: %s of %s is made anew: %s", entry, path, error)
        return self._compute(path, entry, about, first, frames)

    def describe(self, seconds: float) -> str:
        """How much room the cache takes, and that `seconds` of audio need; clears away what killed processes left."""
        sizes = {version: sum(_sizes(version)) for version in sorted(self.folder.glob("log-mel-*"))}
        held = sizes.pop(self.entries, 0)
        needed = int(seconds * SAMPLE_RATE / FRAME_SHIFT) * _ROW
        free = shutil.disk_usage(self.folder).free
        text = f"feature cache {self.folder}: {in_words(held)} in it, {in_words(needed)} needed for these clips, "
        text += f"{in_words(free)} free"
        if sizes:
            text += f"; {in_words(sum(sizes.values()))} more of other settings or versions, which you may delete: "
            text += " ".join(map(str, sizes))
        return text

    def _entry(self, path: str) -> Path:
        name = hashlib.sha256(os.fsencode(path)).hexdigest()[:32]
        return self.entries / name[:2] / f"{name[2:]}.f32"

    def _compute(self, path: str, entry: Path, about: dict[str, Any], first: int, frames: int | None) -> Tensor:
        """The wanted frames; all of the file are computed and kept, a block at a time."""
        with AudioFile(path) as file:
            count = frame_count(file.info.samples_at(self.sample_rate), self.sample_rate)
            if count == 0:
                raise AudioError(path, f"is too short: {file.info.duration:.3g} s, a frame takes 0.025 s")
            last = count if frames is None else min(first + frames, count)
            wanted: list[Tensor] = []
            if not self._keep(entry, {**about, "frames": count}, self._passing(file, first, last, wanted)):
                wanted.clear()
                for _ in self._passing(file, first, last, wanted):
                    pass
            log_notes(file)
        return torch.cat(wanted) if wanted else torch.empty(0, MEL_BINS)

    def _passing(self, file: AudioFile, first: int, last: int, wanted: list[Tensor]) -> Iterator[Tensor]:
        """The log-mel of a file by blocks; what lies in frames first..last goes to `wanted` on the way."""
        begin = 0
        mean = mean_of_blocks(self._waves(file), self.sample_rate) if self.subtract_mean else None
        for x in log_mel_blocks(self._waves(file), self.sample_rate, mean, ROUNDS_ALIKE):
            if first < begin + len(x) and begin < last:
                wanted.append(x[max(0, first - begin) : last - begin])
            yield x
            begin += len(x)

    def _waves(self, file: AudioFile) -> Iterator[Tensor]:
        return map(torch.from_numpy, file.blocks(self.sample_rate))

    def _keep(self, entry: Path, about: dict[str, Any], blocks: Iterator[Tensor]) -> bool:
        if self._cannot_write:
            return False
        try:
            save_atomically(entry, lambda aside: _write_entry(aside, about, blocks), durable=False)
        except OSError as error:
            self._cannot_write.fill_(True)
            _log.warning(
                "feature cache: cannot write to %s (%s); what is not in it is computed each time",
                self.folder,
                error.strerror,
            )
            return False
        return True


def _version(*settings: Any) -> str:
    """A hash of everything but the file that decides what an entry holds."""
    digest = hashlib.sha256(json.dumps([*settings, torch.__version__, soxr.__version__, _version_of_pyav()]).encode())
    digest.update(soundfile.__libsndfile_version__.encode())
    for source in _sources():
        digest.update(source.read_bytes())
    return digest.hexdigest()[:12]


def _sources() -> list[Path]:
    """All code that makes features."""
    return [*sorted(Path(audio.__file__).parent.glob("*.py")), Path(__file__)]


def _version_of_pyav() -> str | None:
    try:
        return metadata.version("av")
    except metadata.PackageNotFoundError:
        return None


# An entry: a line with the checksum of its JSON and the JSON, then the frames, 128 float32 each.


def _write_entry(target: Path, about: dict[str, Any], blocks: Iterable[Tensor]) -> None:
    """Frames as they come, then the line before them, for which the room was left."""
    room = len(_header(about, [(1 << 32) - 1] * math.ceil(about["frames"] / _BLOCK)))
    checksums: list[int] = []
    with target.open("wb") as file:
        file.write(bytes(room))
        for x in blocks:
            checksums += _checksums(x)
            file.write(x.numpy())
        file.seek(0)
        file.write(_header(about, checksums, room))


def _header(about: dict[str, Any], checksums: list[int], room: int = 0) -> bytes:
    text = json.dumps({**about, "crc32": checksums}).encode().ljust(room - len("01234567 \n"))
    return b"%08x %b\n" % (zlib.crc32(text), text)


def _read_entry(entry: Path, about: dict[str, Any], first: int, frames: int | None) -> Tensor | None:
    """Frames of an entry, None if it is of another state of the file; OSError, or ValueError if it is damaged."""
    with entry.open("rb") as file:
        checksum, _, text = file.readline().rstrip(b"\n").partition(b" ")
        if checksum != b"%08x" % zlib.crc32(text):
            raise ValueError("its header is damaged")
        header = json.loads(text)
        if any(header[name] != value for name, value in about.items()):
            return None
        last = header["frames"] if frames is None else min(first + frames, header["frames"])
        begin, end = first // _BLOCK, math.ceil(last / _BLOCK)
        rows = torch.empty(max(0, min(end * _BLOCK, header["frames"]) - begin * _BLOCK), MEL_BINS)
        file.seek(begin * _BLOCK * _ROW, os.SEEK_CUR)
        if file.readinto(rows.numpy()) != rows.nbytes:
            raise ValueError("it is cut short")
    if _checksums(rows) != header["crc32"][begin:end]:
        raise ValueError("a checksum is wrong")
    return rows[first - begin * _BLOCK : max(first, last) - begin * _BLOCK]


def _checksums(rows: Tensor) -> list[int]:
    return [zlib.crc32(block.numpy()) for block in rows.split(_BLOCK)] if len(rows) else []


def _sizes(folder: Path) -> Iterator[int]:
    """Sizes of the entries in a folder; unfinished ones that nobody writes any more are removed."""
    for parent, _, names in os.walk(folder):
        for name in names:
            path = Path(parent, name)
            try:
                found = path.stat()
                if name.endswith(".part") and time.time() - found.st_mtime > _ABANDONED:
                    path.unlink()
                else:
                    yield found.st_size
            except OSError:  # another process renamed or removed it, or we may not
                continue
