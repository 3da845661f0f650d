"""Features on their way to one file: on disk as they are computed, so that memory is bounded and nothing is lost."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import numpy as np

from ...training.run_directory import write_json
from .resuming import append, check_same_settings, claim

SETTINGS_FILE, FEATURES_FILE, INDEX_FILE = "settings.json", "features.bin", "files.jsonl"


class FeatureParts:
    """A folder with the features of the files that are done.

    features.bin holds float32 rows, each of `row_shape`; files.jsonl a line {"file", "rows"} for each file whose rows
    are all there; settings.json what it was begun with.
    """

    def __init__(self, folder: Path, settings: dict[str, Any], row_shape: tuple[int, ...], resume: bool):
        """Makes the folder, or opens what a stopped command left, without what it left of an unfinished file.

        Raises ValueError if it was begun with other settings, is to be begun and holds something, or is in use.
        """
        self.folder, self.row_shape = folder, row_shape
        self.files: list[str] = []
        self.rows: list[int] = []
        self.added = 0  # files, since it was opened
        self._total = 0  # rows of all files
        folder.mkdir(parents=True, exist_ok=True)
        self._index = (folder / INDEX_FILE).open("ab", buffering=0)
        self._features = None
        try:
            claim(self._index, folder)
            self._features = (folder / FEATURES_FILE).open("ab", buffering=0)
            self._take_over()
            if self.files and not resume:
                raise ValueError(
                    f"{folder} holds the features of {len(self.files)} files, of a command that was stopped: go on "
                    "with --resume, or delete it"
                )
            if self.files:
                saved = json.loads((folder / SETTINGS_FILE).read_text(encoding="utf-8"))
                check_same_settings(folder, saved, settings)
            else:
                write_json(folder / SETTINGS_FILE, settings)
        except BaseException:
            self._close()
            raise

    def __enter__(self) -> FeatureParts:
        return self

    def __exit__(self, *exception: object) -> None:
        self._close()
        if not self.files:
            self.delete()

    @property
    def shape(self) -> tuple[int, ...]:
        """Of all rows together."""
        return (self._total, *self.row_shape)

    @property
    def features(self) -> Path:
        return self.folder / FEATURES_FILE

    def add(self, file: str, parts: Iterable[np.ndarray]) -> None:
        """Writes the rows of a file, which come in parts (rows, *row_shape); if one does not come, none stays."""
        before, rows = self._total, 0
        try:
            for part in parts:
                append(self._features, np.ascontiguousarray(part, dtype="<f4").tobytes(), self.features)
                rows += len(part)
            self._list([file], [rows])
        except BaseException:
            self._features.truncate(before * self._row_bytes)
            raise
        self.added += 1

    def add_stored(self, files: list[str], rows: list[int], content: IO[bytes]) -> None:
        """Takes over the features of many files: `content`, from where it stands, is the bytes of all rows."""
        while block := content.read(1 << 20):
            append(self._features, block, self.features)
        self._list(files, rows)

    def _list(self, files: list[str], rows: list[int]) -> None:
        """Says that the rows of these files are there."""
        pairs = list(zip(files, rows, strict=True))
        text = "".join(json.dumps({"file": file, "rows": count}) + "\n" for file, count in pairs)
        append(self._index, text.encode(), self.folder / INDEX_FILE)
        self._count(files, rows)

    def _count(self, files: list[str], rows: list[int]) -> None:
        self.files += files
        self.rows += rows
        self._total += sum(rows)

    def delete(self) -> None:
        """Removes the folder, or what is ours in it."""
        self._close()
        for name in (SETTINGS_FILE, FEATURES_FILE, INDEX_FILE):
            (self.folder / name).unlink(missing_ok=True)
        with suppress(OSError):
            self.folder.rmdir()

    @property
    def _row_bytes(self) -> int:
        return 4 * math.prod(self.row_shape)

    def _take_over(self) -> None:
        """Learns what is there; what is not wholly there, in either file, is dropped."""
        room = (self.folder / FEATURES_FILE).stat().st_size // self._row_bytes
        end = 0
        with (self.folder / INDEX_FILE).open("rb") as index:
            for line in index:
                if not line.endswith(b"\n"):
                    break
                entry = json.loads(line)
                if self._total + entry["rows"] > room:
                    break
                self._count([entry["file"]], [entry["rows"]])
                end += len(line)
        self._index.truncate(end)
        self._features.truncate(self._total * self._row_bytes)

    def _close(self) -> None:
        for file in filter(None, (self._index, self._features)):
            file.close()
