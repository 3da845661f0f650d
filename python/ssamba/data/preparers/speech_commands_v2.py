"""Speech Commands, version 2."""

from __future__ import annotations

from pathlib import Path

from .inventory import Inventory
from .speech_commands import official_split
from .splits import Fold

DOWNLOAD = "Speech Commands 2 (the unpacked download.tensorflow.org/data/speech_commands_v0.02.tar.gz)"
CHECKSUM = "af14739ee7dc311471de98f5f9d2c9191b18aedfe957f4a6ff791c709868ff58"  # of the archive
EXPECTED = {"words": 35, "train": 84843, "validation": 9981, "test": 11005}


def splits(root: Path, out: Path, inventory: Inventory, expected: dict) -> list[Fold]:
    return official_split(root, inventory, expected, 2, CHECKSUM, DOWNLOAD)
