"""ESC-50: 2000 clips of 5 s, 50 classes, five folds of 400 (ESC-50-master/{audio,meta/esc50.csv})."""

from __future__ import annotations

from pathlib import Path

from ..clips import Clip, Manifest
from .inventory import Inventory
from .splits import Fold, hold_out_groups
from .table import read_rows, require_values

DOWNLOAD = "ESC-50 (github.com/karolpiczak/ESC-50, the unpacked ESC-50-master)"
EXPECTED = {"clips": 2000, "classes": 50, "folds": (400, 400, 400, 400, 400)}
HELD_OUT = 0.1  # of the training folds


def splits(root: Path, out: Path, inventory: Inventory, expected: dict) -> list[Fold]:
    """Each official fold tests once; of the other four, a tenth of each class validates, by source recording."""
    home = inventory.locate("meta/esc50.csv", ("ESC-50-master", "ESC-50"), DOWNLOAD)
    table = home / "meta" / "esc50.csv"
    rows = read_rows(table, ["filename", "fold", "category", "src_file"])
    require_values(table, rows, "fold", len(expected["folds"]))
    there = inventory.present((home / "audio" / row["filename"] for row in rows), "clips")
    inventory.count("clips in meta/esc50.csv", len(rows), expected["clips"])
    classes = sorted({row["category"] for row in rows})
    inventory.count("classes", len(classes), expected["classes"])
    clips = []  # (fold, clip, source recording)
    for row in rows:
        path = home / "audio" / row["filename"]
        if path in there:
            clips.append((int(row["fold"]), Clip(str(path), (row["category"],)), row["src_file"]))
    folds = []
    for number, size in enumerate(expected["folds"], 1):
        test = [clip for fold, clip, _ in clips if fold == number]
        inventory.count(f"clips in fold {number}", len(test), size)
        rest = [(clip, source) for fold, clip, source in clips if fold != number]
        folds.append(Fold(str(number), *hold_out_groups(rest, classes, HELD_OUT), Manifest(test, tuple(classes))))
    return folds
