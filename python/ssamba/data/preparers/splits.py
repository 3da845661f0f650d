"""Folds of a prepared data set: manifests to train on, to choose a checkpoint by and to test on, listed in a file."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...checkpoints.folder import save_atomically
from ..clips import Clip, Manifest
from .inventory import Inventory

SPLITS_FILE = "splits.json"


@dataclass(frozen=True)
class Fold:
    """One division of a data set. Without `validation`, nothing is to be chosen; without `test`, nothing measured."""

    name: str
    train: Manifest
    validation: Manifest | None
    test: Manifest | None

    def parts(self) -> list[tuple[str, Manifest]]:
        pairs = [("train", self.train), ("validation", self.validation), ("test", self.test)]
        return [(part, clips) for part, clips in pairs if clips is not None]


@dataclass(frozen=True)
class Splits:
    """Manifest files of each fold, by part ("train", "validation", "test"); `label_csv` belongs to JSON manifests."""

    dataset: str
    folds: dict[str, dict[str, str]]
    label_csv: str | None = None


def write_splits(out: Path, dataset: str, folds: Sequence[Fold], inventory: Inventory) -> Splits:
    """Write a manifest for each part of each fold, and last splits.json, which names them and counts their clips.

    Manifests are CSV; with several labels a clip, JSON with labels.csv, which keeps classes that no clip has.
    """
    out.mkdir(parents=True, exist_ok=True)
    several = any(len(clip.labels) > 1 and not clip.seconds for clip in folds[0].train.clips)
    files: dict[str, dict[str, str]] = {}
    for fold in folds:
        folder = f"fold{fold.name}/" if len(folds) > 1 else ""
        files[fold.name] = {}
        for part, manifest in fold.parts():
            name = files[fold.name][part] = f"{folder}{part}.{'json' if several else 'csv'}"
            (out / name).parent.mkdir(exist_ok=True)
            if several:
                manifest.write_json(out / name, out / "labels.csv")
            else:
                manifest.write_csv(out / name)
    splits = Splits(dataset, files, "labels.csv" if several else None)
    content = {
        "dataset": dataset,
        "classes": len(folds[0].train.classes),
        "folds": files,
        "label_csv": splits.label_csv,
        "clips": {fold.name: {part: len(manifest) for part, manifest in fold.parts()} for fold in folds},
        "missing": inventory.problems,
        "notes": inventory.notes,
    }
    text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
    save_atomically(out / SPLITS_FILE, lambda partial: Path(partial).write_text(text, encoding="utf-8"))
    return splits


def read_splits(folder: str | os.PathLike) -> Splits:
    """Read what `write_splits` wrote, with paths made whole; raises ValueError for another folder."""
    folder = Path(folder)
    file = folder / SPLITS_FILE
    if not file.is_file():
        raise ValueError(f"{folder} holds no {SPLITS_FILE}; prepare the data set first (ssamba prepare --help)")
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        folds = {
            name: {part: str(folder / path) for part, path in parts.items()} for name, parts in content["folds"].items()
        }
        label_csv = content["label_csv"]
        return Splits(content["dataset"], folds, label_csv and str(folder / label_csv))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{file} is damaged ({type(error).__name__}: {error}); prepare the data set again") from error


def hold_out_groups(
    clips: Sequence[tuple[Clip, str]], classes: Sequence[str], share: float, seed: int = 0
) -> tuple[Manifest, Manifest]:
    """Divide (clip, group) into two manifests, about `share` of each class in the second, no group in both.

    Groups are what clips have in common, such as a recording. They are taken in random order as long as no class gets
    more than its share, rounded up.
    """
    members: dict[str, list[int]] = {}
    for index, (_, group) in enumerate(clips):
        members.setdefault(group, []).append(index)
    room = Counter(label for clip, _ in clips for label in clip.labels)
    room = {label: int(np.ceil(share * count)) for label, count in room.items()}
    held: set[int] = set()
    for number in np.random.default_rng(seed).permutation(len(members)):
        group = list(members.values())[number]
        needed = Counter(label for index in group for label in clips[index][0].labels)
        if all(room[label] >= count for label, count in needed.items()):
            held.update(group)
            for label, count in needed.items():
                room[label] -= count
    parts = [[clip for index, (clip, _) in enumerate(clips) if (index in held) == wanted] for wanted in (False, True)]
    return Manifest(parts[0], tuple(classes)), Manifest(parts[1], tuple(classes))
