"""Puts measured tables into a text file, so that no figure in it is typed by hand."""

from __future__ import annotations

from pathlib import Path


def replace_section(file: Path, begin: str, end: str, content: str) -> None:
    """Replaces what stands between the lines `begin` and `end` of `file`; raises ValueError if they are not there."""
    text = file.read_text(encoding="utf-8")
    head, found, rest = text.partition(begin)
    _, closed, tail = rest.partition(end)
    if not (found and closed):
        raise ValueError(f"{file} has no line {begin!r} with {end!r} after it; add both where the tables should stand")
    file.write_text(f"{head}{begin}\n{content}\n{end}{tail}", encoding="utf-8")
