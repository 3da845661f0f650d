"""Reading the tables and lists that come with data sets."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from .inventory import PreparationError


def read_text(path: Path) -> str:
    """A UTF-8 text file; raises PreparationError if it is something else."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise PreparationError(f"{path}: is not UTF-8 text (byte {error.start}); download it again") from error


def read_rows(path: Path, columns: list[str]) -> list[dict[str, str]]:
    """Rows of a CSV with at least these columns; raises PreparationError naming the file and the line."""
    reader = csv.DictReader(io.StringIO(read_text(path), newline=""))
    if any(name not in (reader.fieldnames or []) for name in columns):
        found = ",".join(reader.fieldnames or []) or "nothing"
        raise PreparationError(f"{path}: expected columns {','.join(columns)}, found {found}")
    rows = list(reader)
    for line, row in enumerate(rows, 2):
        if None in row.values() or None in row:
            raise PreparationError(f"{path}:{line}: the number of fields is not that of the header")
    return rows


def require_values(path: Path, rows: list[dict[str, str]], column: str, count: int, first: int = 1) -> None:
    """Raise PreparationError if a column has anything but the whole numbers from `first` to `first + count - 1`."""
    allowed = {str(number) for number in range(first, first + count)}
    for line, row in enumerate(rows, 2):
        if row[column] not in allowed:
            limits = f"{first} to {first + count - 1}"
            raise PreparationError(f"{path}:{line}: {column} is {row[column]!r}, expected {limits}")


def read_lines(path: Path) -> list[str]:
    """Lines of a text file without those that are empty; raises PreparationError if there is none."""
    lines = [line.strip() for line in read_text(path).splitlines() if line.strip()]
    if not lines:
        raise PreparationError(f"{path}: is empty")
    return lines
