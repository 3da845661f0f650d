"""A file of predictions, a row for each audio file, on disk as soon as it is known."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from ...training.run_directory import write_json
from ..predictor import Row
from .resuming import append, check_same_settings, claim


class RowFile:
    """Rows of `path`, by its suffix: .jsonl as they are, .csv and .tsv file, label_1, score_1, label_2, ...

    `files` are those of the rows that are there already. Beside it lies FILE.settings.json, what it was begun with.
    """

    def __init__(self, path: Path, settings: dict[str, Any], labels: int, resume: bool):
        """Opens the file, new or to go on; a last line that was cut is dropped.

        Raises ValueError if there is something else, or other settings, or another process at it.
        """
        self.path, self.settings_path = path, path.with_name(f"{path.name}.settings.json")
        self._delimiter = {".csv": ",", ".tsv": "\t"}.get(path.suffix)
        self._header = ["file", *(f"{name}_{i + 1}" for i in range(labels) for name in ("label", "score"))]
        self.files: list[str] = []
        if path.exists() and path.stat().st_size:
            self._check_resumable(settings, resume)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("ab", buffering=0)
        try:
            claim(self._file, path)
            self._go_on()
            if not self.files:
                write_json(self.settings_path, settings)
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> RowFile:
        return self

    def __exit__(self, *exception: object) -> None:
        self._file.close()

    def add(self, row: Row) -> None:
        """Writes a row and flushes it."""
        values = [row["file"], *(value for item in row["labels"] for value in (item["label"], item["score"]))]
        append(self._file, self._line(values) if self._delimiter else _json_line(row), self.path)
        self.files.append(row["file"])

    def _check_resumable(self, settings: dict[str, Any], resume: bool) -> None:
        if not resume:
            raise ValueError(f"{self.path} holds rows already; go on with --resume, or choose another --out")
        try:
            saved = json.loads(self.settings_path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise ValueError(
                f"{self.path} cannot be resumed: what it was begun with is not there ({self.settings_path.name}); "
                "choose another --out"
            ) from None
        check_same_settings(self.path, saved, settings)

    def _go_on(self) -> None:
        """Learns which rows are there, and drops what comes after the last whole one."""
        with self.path.open("rb") as content:
            rows = list(self._whole_rows(content))
        names = [name for name, _ in rows]
        self._file.truncate(rows[-1][1] if rows else 0)
        self.files = names[1:] if self._delimiter else names  # without the header
        if self._delimiter and not names:
            append(self._file, self._line(self._header), self.path)

    def _whole_rows(self, content: IO[bytes]) -> Iterator[tuple[str, int]]:
        """(first column, bytes up to the end of the row) of every row but one that was cut at the end of the file."""
        end, line = 0, b""

        def lines() -> Iterator[str]:
            nonlocal end, line
            for line in content:
                end += len(line)
                yield line.decode("utf-8", "surrogateescape")

        records = csv.reader(lines(), delimiter=self._delimiter) if self._delimiter else map(_record, lines())
        for number, record in enumerate(records, 1):
            whole = line.endswith(b"\n") and len(record) == (len(self._header) if self._delimiter else 1)
            if whole:
                yield record[0], end
            elif end < os.fstat(content.fileno()).st_size:
                raise ValueError(f"row {number} of {self.path} is not one of ssamba predict; choose another --out")

    def _line(self, values: list[Any]) -> bytes:
        text = io.StringIO()
        csv.writer(text, delimiter=self._delimiter or ",", lineterminator="\n").writerow(values)
        return text.getvalue().encode("utf-8", "surrogateescape")


def _json_line(row: Row) -> bytes:
    return f"{json.dumps(row)}\n".encode()


def _record(line: str) -> list[str]:
    try:
        return [json.loads(line)["file"]]
    except (ValueError, KeyError, TypeError):
        return []
