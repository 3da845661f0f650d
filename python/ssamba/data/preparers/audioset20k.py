"""AudioSet-20K: the balanced training clips and the evaluation clips of AudioSet, 527 classes."""

from __future__ import annotations

from pathlib import Path

from .audioset import DOWNLOAD, audio_by_video, available_clips, read_classes
from .inventory import Inventory
from .splits import Fold

EXPECTED = {"balanced": 22160, "evaluation": 20371, "classes": 527}
__all__ = ["DOWNLOAD", "EXPECTED", "splits"]


def splits(root: Path, out: Path, inventory: Inventory, expected: dict) -> list[Fold]:
    """Balanced clips to train, evaluation clips to test; nothing is held out."""
    home = inventory.locate("class_labels_indices.csv", ("AudioSet", "audioset"), DOWNLOAD)
    tables = [home / "balanced_train_segments.csv", home / "eval_segments.csv"]
    for table in tables:
        inventory.locate(str(table.relative_to(root)), (), DOWNLOAD)
    classes = read_classes(home / "class_labels_indices.csv")
    inventory.count("classes", len(classes), expected["classes"])
    audio = audio_by_video(home)
    train = available_clips(tables[0], audio, classes, out, inventory, expected["balanced"])
    test = available_clips(tables[1], audio, classes, out, inventory, expected["evaluation"])
    return [Fold("1", train, None, test)]
