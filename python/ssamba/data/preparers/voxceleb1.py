"""VoxCeleb1 identification: 153,516 utterances of 1251 speakers (wav/<speaker>/<video>/<utterance>.wav)."""

from __future__ import annotations

from pathlib import Path

from ..clips import Clip, Manifest
from .inventory import Inventory, PreparationError
from .splits import Fold
from .table import read_lines

DOWNLOAD = "VoxCeleb1 (wav, dev and test parts, and meta/iden_split.txt; www.robots.ox.ac.uk/~vgg/data/voxceleb)"
EXPECTED = {"train": 138361, "validation": 6904, "test": 8251, "speakers": 1251}
PARTS = {"1": "train", "2": "validation", "3": "test"}


def splits(root: Path, out: Path, inventory: Inventory, expected: dict) -> list[Fold]:
    """The official split for identification."""
    lists = ["iden_split.txt", "meta/iden_split.txt", "veri_test_class.txt"]  # the last is s3prl's copy of it
    split = next((root / name for name in lists if (root / name).is_file()), None)
    if split is None:
        raise PreparationError(f"voxceleb1: {root} holds none of {', '.join(lists)}; download {DOWNLOAD}")
    homes = [home for home in (root / "wav", root / "dev" / "wav", root / "test" / "wav") if home.is_dir()]
    if not homes:
        raise PreparationError(f"voxceleb1: {root} holds no wav, dev/wav or test/wav; unpack {DOWNLOAD}")
    clips: dict[str, list[Clip]] = {part: [] for part in PARTS.values()}
    speakers, missing = set(), []
    lines = read_lines(split)
    for line, text in enumerate(lines, 1):
        part, _, name = text.partition(" ")
        if part not in PARTS or name.count("/") != 2:
            raise PreparationError(f"{split}:{line}: expected '1 speaker/video/utterance.wav', found {text[:80]!r}")
        speaker = name.partition("/")[0]
        speakers.add(speaker)
        path = next((home / name for home in homes if (home / name).is_file()), None)
        if path is None:
            missing.append(name)
        else:
            clips[PARTS[part]].append(Clip(str(path), (speaker,)))
    inventory.missing(missing, len(lines), "utterances")
    inventory.count("speakers", len(speakers), expected["speakers"])
    for part, found in clips.items():
        inventory.count(f"utterances in the {part} part", len(found), expected[part])
    return [Fold("1", *(Manifest(found, tuple(sorted(speakers))) for found in clips.values()))]
