"""Speech Commands, version 1."""

from __future__ import annotations

from pathlib import Path

from .inventory import Inventory
from .speech_commands import official_split
from .splits import Fold

DOWNLOAD = "Speech Commands 1 (the unpacked download.tensorflow.org/data/speech_commands_v0.01.tar.gz)"
CHECKSUM = "743935421bb51cccdb6bdd152e04c5c70274e935c82119ad7faeec31780d811d"  # of the archive
EXPECTED = {"words": 30, "train": 51088, "validation": 6798, "test": 6835}


def splits(root: Path, out: Path, inventory: Inventory, expected: dict) -> list[Fold]:
    return official_split(root, inventory, expected, 1, CHECKSUM, DOWNLOAD)
