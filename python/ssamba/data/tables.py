"""Text of manifests as editors, Excel and other systems write it: UTF-8 or UTF-16, commas, semicolons or tabs."""

from __future__ import annotations

import codecs
import csv
import io
import os
import re
from collections.abc import Iterator
from pathlib import Path

from ..audio.names import printable
from .clips import ManifestError

_EXCEL_SEPARATOR = re.compile(r"sep=(.)(?=\r|\n)")  # a first line that tells Excel how fields are separated


def read_text(path: Path) -> str:
    """The text of a file in UTF-8, or in UTF-16 with its mark; other bytes come as `os.fsdecode` keeps them.

    Whoever takes a name of a file from it may so find one that is not UTF-8; other text wants `require_text`.
    """
    try:
        content = path.read_bytes()
        if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            return content.decode("utf-16")
        return content.decode("utf-8-sig", errors="surrogateescape")
    except UnicodeDecodeError as error:
        raise ManifestError(f"{path}: begins as UTF-16 text and is not (byte {error.start}): cut short?") from error
    except OSError as error:
        raise ManifestError(f"{path}: cannot be read: {error.strerror}") from error


def require_text(place: str, text: str) -> str:
    """`text`, if it is Unicode; else ManifestError, for `place`."""
    if text.isascii() or not re.search("[\ud800-\udfff]", text):
        return text
    raise ManifestError(f"{place}: '{printable(text)}' is not UTF-8 text; save the file as UTF-8 (in Excel: CSV UTF-8)")


def require_name(place: str, name: str) -> str:
    """`name`, if a file can have it; else ManifestError, for `place`."""
    try:
        if "\0" not in name and os.fsencode(name):
            return name
    except UnicodeEncodeError:
        pass
    raise ManifestError(f"{place}: '{printable(name)}' cannot be the name of a file")


def read_table(path: Path, columns: list[str], alone: str | None = None) -> Iterator[tuple[int, dict[str, str]]]:
    """(line number, fields as they are) of a CSV with at least these columns, or with the column `alone` and no other.

    Names of columns may be in capitals; fields are separated by commas, semicolons or tabs, as the header is. Lines
    without content are passed over.

    Raises:
        ManifestError: a missing or doubled column, a line with other fields than the header, broken quoting.
    """
    text = read_text(path)
    if separator := _EXCEL_SEPARATOR.match(text):
        text = text[separator.end() :]
    delimiter = separator[1] if separator else _delimiter(text, columns[0])
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    header: list[str] = []
    try:
        for row in reader:
            if not any(field.strip() for field in row):
                continue
            if not header:
                header = [name.strip().casefold() for name in row]
                _check_header(f"{path}:{reader.line_num}", header, columns, alone)
                continue
            if len(row) != len(header):
                raise ManifestError(f"{path}:{reader.line_num}: {len(row)} fields, the header has {len(header)}")
            yield reader.line_num, dict(zip(header, row, strict=True))
    except csv.Error as error:
        raise ManifestError(f"{path}:{reader.line_num}: not valid CSV: {error}") from error
    if not header:
        raise ManifestError(f"{path}:1: column {columns[0]!r} is missing; found an empty file")


def _delimiter(text: str, column: str) -> str:
    """What separates the fields of the header, which has this column."""
    header = next((line for line in text.splitlines() if line.strip()), "")
    for delimiter in ",;\t":
        if column in (name.strip(' "').casefold() for name in header.split(delimiter)):
            return delimiter
    return ","


def _check_header(place: str, header: list[str], columns: list[str], alone: str | None) -> None:
    found = ",".join(header)
    if "\0" in found:
        raise ManifestError(f"{place}: is UTF-16 text without its mark, or no text; save the file as UTF-8")
    for name in columns:
        if name not in header and header != [alone]:
            raise ManifestError(f"{place}: column {name!r} is missing; found {found}")
        if header.count(name) > 1:
            raise ManifestError(f"{place}: column {name!r} stands there twice; found {found}")
