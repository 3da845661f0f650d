"""Speech Commands, versions 1 and 2: spoken words of a second, one folder each, with lists for validation and test."""

from __future__ import annotations

from pathlib import Path

from ..clips import Clip, Manifest
from .inventory import Inventory
from .splits import Fold
from .table import read_lines


def official_split(
    root: Path, inventory: Inventory, expected: dict, version: int, checksum: str, download: str
) -> list[Fold]:
    """Validation and test as listed, the rest to train; folders that begin with _ (background noise) are left out."""
    name = f"speech_commands_v0.0{version}"
    home = inventory.locate("testing_list.txt", (name, f"SpeechCommands/{name}"), download)
    inventory.archive(f"{name}.tar.gz", "sha256", checksum)
    words = sorted(folder.name for folder in home.iterdir() if folder.is_dir() and folder.name[0] not in "_.")
    inventory.count("words", len(words), expected["words"])
    listed = {
        part: read_lines(home / file) if (home / file).is_file() else []
        for part, file in (("validation", "validation_list.txt"), ("test", "testing_list.txt"))
    }
    if not listed["validation"]:
        inventory.missing(["validation_list.txt"], 2, "lists")
    parts = {line: part for part, lines in listed.items() for line in lines}
    clips: dict[str, list[Clip]] = {"train": [], "validation": [], "test": []}
    for word in words:
        for path in sorted((home / word).glob("*.wav")):
            clips[parts.pop(f"{word}/{path.name}", "train")].append(Clip(str(path), (word,)))
    inventory.missing(sorted(parts), sum(map(len, listed.values())), "clips of the lists")
    for part, found in clips.items():
        inventory.count(f"clips in the {part} part", len(found), expected[part])
    return [Fold("1", *(Manifest(found, tuple(words)) for found in clips.values()))]
