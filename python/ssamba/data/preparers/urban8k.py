"""Urban8K scene labelling: the clips of UrbanSound8K, shuffled and joined to recordings of a minute."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile

from ...audio.reading import AudioError, read_audio
from ..clips import Clip, Manifest
from .inventory import Inventory
from .splits import Fold
from .table import read_rows, require_values

DOWNLOAD = "UrbanSound8K (zenodo.org/records/1203745, the unpacked UrbanSound8K.tar.gz)"
CHECKSUM = "9aa69802bbf37fb986f71ec1483a196e"  # MD5 of the archive
EXPECTED = {"folds": (873, 888, 925, 990, 936, 823, 838, 806, 816, 837), "classes": 10}
RATE = 16000
MINUTE = 60  # seconds


def splits(root: Path, out: Path, inventory: Inventory, expected: dict) -> list[Fold]:
    """Each official fold tests once, the others train, nothing is held out; writes the recordings to `out`/audio."""
    home = inventory.locate("metadata/UrbanSound8K.csv", ("UrbanSound8K",), DOWNLOAD)
    inventory.archive("UrbanSound8K.tar.gz", "md5", CHECKSUM)
    table = home / "metadata" / "UrbanSound8K.csv"
    rows = read_rows(table, ["slice_file_name", "fold", "class"])
    require_values(table, rows, "fold", len(expected["folds"]))
    classes = tuple(sorted({row["class"] for row in rows}))
    inventory.count("classes", len(classes), expected["classes"])
    paths = {id(row): home / "audio" / f"fold{row['fold']}" / row["slice_file_name"] for row in rows}
    there = inventory.present(paths.values(), "clips")
    recordings: list[list[Clip]] = []
    for number, size in enumerate(expected["folds"], 1):
        members = [(paths[id(row)], row["class"]) for row in rows if int(row["fold"]) == number]
        inventory.count(f"clips in fold {number}", len(members), size)
        members = [member for member in members if member[0] in there]
        order = np.random.default_rng(number).permutation(len(members))
        folder = out / "audio" / f"fold{number}"
        recordings.append(_write_recordings(folder, [members[index] for index in order], inventory))
    return [
        Fold(
            str(number + 1),
            Manifest([clip for other in recordings if other is not test for clip in other], classes),
            None,
            Manifest(test, classes),
        )
        for number, test in enumerate(recordings)
    ]


def _write_recordings(folder: Path, members: list[tuple[Path, str]], inventory: Inventory) -> list[Clip]:
    """Clips, each padded with silence to whole seconds, one after the other, cut into minutes."""
    folder.mkdir(parents=True, exist_ok=True)
    waves, labels, recordings = [], [], []

    def write(seconds: int) -> None:
        path = folder / f"{len(recordings):03}.flac"
        wave = np.concatenate(waves[:seconds])
        partial = path.with_name(f".{path.name}.partial")
        soundfile.write(partial, np.clip(wave, -1, 1), RATE, format="FLAC", subtype="PCM_16")
        os.replace(partial, path)
        recordings.append(Clip(str(path), tuple(sorted(set(labels[:seconds]))), tuple(labels[:seconds])))
        del waves[:seconds], labels[:seconds]

    for path, label in members:
        try:
            seconds = list(_seconds(path))
        except AudioError as error:
            inventory.problems.append(f"a clip cannot be used: {error}")
            continue
        waves += seconds
        labels += [label] * len(seconds)
        while len(waves) >= MINUTE:
            write(MINUTE)
    if waves:
        write(len(waves))
    return recordings


def _seconds(path: Path) -> Iterator[np.ndarray]:
    wave = read_audio(path, RATE)
    wave = np.pad(wave, (0, -len(wave) % RATE))
    yield from wave.reshape(-1, RATE)
