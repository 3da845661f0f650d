"""The one file that `ssamba embed` leaves, .npz or .safetensors, written and read in bounded memory."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from safetensors import SafetensorError, safe_open

from ...checkpoints.folder import save_atomically
from .feature_parts import FeatureParts
from .resuming import check_same_settings

_AT_ONCE = 1 << 20  # bytes
_NAMES_AT_ONCE = 4096
_LARGEST_HEADER = 100_000_000  # bytes; what readers of .safetensors accept


class FeatureFile:
    """`features` of all files one after the other, `files`, and, of columns, `offsets` and `times`."""

    def __init__(self, path: str):
        self.path = Path(path)
        self.folder = self.path.with_name(f"{self.path.name}.part")  # of the features on their way here
        self._is_npz = self.path.suffix == ".npz"

    def require_room_for(self, files: list[str]) -> None:
        """Raises ValueError if so many names have no room in the header of a .safetensors file."""
        if not self._is_npz and len(json.dumps(json.dumps(files))) > _LARGEST_HEADER - 10_000:
            raise ValueError(
                f"the names of {len(files)} files have no room in a .safetensors file; give --out FILE.npz"
            )

    def write(self, parts: FeatureParts, times: np.ndarray | None, about: dict[str, str]) -> None:
        """Writes what `parts` holds, `times` (T,) of its columns, or None of clips, and texts about it, atomically."""
        arrays = {}
        if times is not None:
            arrays = {"offsets": np.cumsum([0, *parts.rows], dtype=np.int64), "times": times.astype(np.float32)}
        write = _write_npz if self._is_npz else _write_safetensors
        save_atomically(self.path, lambda path: write(path, parts, arrays, about))

    def files(self, settings: dict[str, Any]) -> list[str]:
        """Those whose features the finished file holds; ValueError if it was not made with these settings."""
        with self._opened() as stored:
            check_same_settings(self.path, stored.settings, settings)
            return stored.files

    def unpack(self, parts: FeatureParts) -> None:
        """Puts the features of the finished file back into `parts`, so that others can join them."""
        with self._opened() as stored:
            parts.add_stored(stored.files, stored.rows, stored.features)

    @contextmanager
    def _opened(self) -> Iterator[_Stored]:
        try:
            with (_open_npz if self._is_npz else _open_safetensors)(self.path) as stored:
                yield stored
        except (KeyError, zipfile.BadZipFile, SafetensorError) as error:
            raise ValueError(f"{self.path} was not written by ssamba embed; choose another --out") from error


@dataclass
class _Stored:
    files: list[str]
    rows: list[int]
    settings: dict[str, Any]
    features: IO[bytes]  # where their bytes begin


def _write_npz(path: Path, parts: FeatureParts, arrays: dict[str, np.ndarray], about: dict[str, str]) -> None:
    """What np.savez would write."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:

        def member(name: str) -> IO[bytes]:
            return archive.open(f"{name}.npy", "w", force_zip64=True)

        with member("features") as file, parts.features.open("rb") as content:
            _write_header(file, np.dtype("<f4"), parts.shape)
            shutil.copyfileobj(content, file, _AT_ONCE)
        with member("files") as file:
            text = np.dtype(f"<U{max(map(len, parts.files))}")
            _write_header(file, text, (len(parts.files),))
            for first in range(0, len(parts.files), _NAMES_AT_ONCE):
                file.write(np.array(parts.files[first : first + _NAMES_AT_ONCE], dtype=text).tobytes())
        for name, value in {**arrays, **{name: np.array(text) for name, text in about.items()}}.items():
            with member(name) as file:
                np.lib.format.write_array(file, value, allow_pickle=False)


def _write_header(file: IO[bytes], dtype: np.dtype, shape: tuple[int, ...]) -> None:
    header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)


def _write_safetensors(path: Path, parts: FeatureParts, arrays: dict[str, np.ndarray], about: dict[str, str]) -> None:
    """The length of the header in 8 bytes, the header, and the tensors one after the other, int64 first."""
    header: dict[str, Any] = {"__metadata__": {"files": json.dumps(parts.files), **about}}
    tensors = [(name, "I64" if value.dtype == np.int64 else "F32", value.shape) for name, value in arrays.items()]
    sizes = [*(value.nbytes for value in arrays.values()), parts.features.stat().st_size]
    end = 0
    for (name, dtype, shape), size in zip([*tensors, ("features", "F32", parts.shape)], sizes, strict=True):
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file, parts.features.open("rb") as content:
        file.write(len(text).to_bytes(8, "little") + text)
        for value in arrays.values():
            file.write(value.tobytes())
        shutil.copyfileobj(content, file, _AT_ONCE)


def _rows(files: list[str], offsets: np.ndarray | None) -> list[int]:
    return [1] * len(files) if offsets is None else np.diff(offsets).tolist()


@contextmanager
def _open_npz(path: Path) -> Iterator[_Stored]:
    with np.load(path) as stored, zipfile.ZipFile(path) as archive, archive.open("features.npy") as content:
        np.lib.format.read_magic(content)
        np.lib.format.read_array_header_1_0(content)
        files = stored["files"].tolist()
        yield _Stored(files, _rows(files, stored.get("offsets")), json.loads(str(stored["settings"])), content)


@contextmanager
def _open_safetensors(path: Path) -> Iterator[_Stored]:
    with safe_open(path, "np") as stored, path.open("rb") as content:
        about = stored.metadata() or {}
        files = json.loads(about["files"])
        offsets = stored.get_tensor("offsets") if "offsets" in stored.keys() else None  # noqa: SIM118
        length = int.from_bytes(content.read(8), "little")
        begin = json.loads(content.read(length))["features"]["data_offsets"][0]
        content.seek(8 + length + begin)  # they are the last
        yield _Stored(files, _rows(files, offsets), json.loads(about["settings"]), content)
