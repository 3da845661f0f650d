"""AudioSet's tables, and whatever of its audio is there: many of the videos have been taken down."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

from ...checkpoints.folder import save_atomically
from ..clips import Clip, Manifest
from ..folders import audio_below
from .inventory import Inventory, PreparationError
from .table import read_rows, read_text, require_values

DOWNLOAD = (
    "AudioSet: its tables balanced_train_segments.csv, eval_segments.csv and class_labels_indices.csv "
    "(research.google.com/audioset), and the clips as audio files named after their video"
)
# Names in use: <video>, Y<video>, either followed by _<begin> or _<begin>_<end>; a video's name has 11 characters.
_CLIP_NAME = re.compile(r"^Y?([\w-]{11})(?:_[\d.]+){0,2}$", re.ASCII)


def audio_by_video(home: Path) -> dict[str, str]:
    """The audio file of each video, wherever it lies below `home`; raises PreparationError if a video has two."""
    found: dict[str, str] = {}
    for path in audio_below(home):
        match = _CLIP_NAME.match(Path(path).stem)
        if match and found.setdefault(match[1], path) != path:
            raise PreparationError(f"audioset: the video {match[1]} has two files, {found[match[1]]} and {path}")
    return found


def read_classes(path: Path) -> dict[str, str]:
    """Name of each class by its code ("/m/..."), in the order of the official indices."""
    rows = read_rows(path, ["index", "mid", "display_name"])
    require_values(path, rows, "index", len(rows), first=0)
    return {row["mid"]: row["display_name"] for row in sorted(rows, key=lambda row: int(row["index"]))}


def read_segments(path: Path) -> dict[str, list[str]]:
    """Codes of the classes of each video in a table of segments (comments, then video, begin, end, codes)."""
    segments = {}
    lines = io.StringIO(read_text(path), newline="")
    for line, row in enumerate(csv.reader(lines, skipinitialspace=True), 1):
        if not row or row[0].startswith("#"):
            continue
        if len(row) != 4 or len(row[0]) != 11:
            raise PreparationError(f"{path}:{line}: expected video, begin, end, labels; found {', '.join(row)[:80]}")
        segments[row[0]] = row[3].split(",")
    return segments


def available_clips(
    table: Path, audio: dict[str, str], classes: dict[str, str], out: Path, inventory: Inventory, expected: int
) -> Manifest:
    """The clips of a table that have audio.

    That some have none is the usual case: they are counted in the notes and listed in `out`/missing_<table>.txt.
    """
    segments = read_segments(table)
    inventory.count(f"clips in {table.name}", len(segments), expected)
    unknown = {code for codes in segments.values() for code in codes} - set(classes)
    if unknown:
        raise PreparationError(f"{table}: class {min(unknown)} is not in class_labels_indices.csv")
    clips = [
        Clip(audio[video], tuple(classes[code] for code in dict.fromkeys(codes)))
        for video, codes in segments.items()
        if video in audio
    ]
    missing = [video for video in segments if video not in audio]
    file = out / f"missing_{table.stem}.txt"
    file.unlink(missing_ok=True)
    if missing:
        out.mkdir(parents=True, exist_ok=True)
        save_atomically(file, lambda partial: Path(partial).write_text("\n".join(missing) + "\n"))
    listed = f"; the others are listed in {file.name}" if missing else ""
    inventory.notes.append(f"{table.name}: audio of {len(clips):,} of {len(segments):,} clips found{listed}")
    return Manifest(clips, tuple(classes.values()))
