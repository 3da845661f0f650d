"""Reading the tables and lists that come with data sets."""

from __future__ import annotations

import csv
from pathlib import Path

from .inventory import PreparationError


def read_rows(path: Path, columns: list[str]) -> list[dict[str, str]]:
    """Rows of a CSV with at least these columns; raises PreparationError naming the file and the line."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        lacking = [name for name in columns if name not in (reader.fieldnames or [])]
        if lacking:
            found = ",".join(reader.fieldnames or []) or "nothing"
            raise PreparationError(f"{path}: expected columns {','.join(columns)}, found {found}")
        rows = list(reader)
    for line, row in enumerate(rows, 2):
        if None in row.values() or None in row:
            raise PreparationError(f"{path}:{line}: the number of fields is not that of the header")
    return rows


def read_lines(path: Path) -> list[str]:
    """Lines of a text file without those that are empty; raises PreparationError if there is none."""
    lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    if not lines:
        raise PreparationError(f"{path}: is empty")
    return lines
