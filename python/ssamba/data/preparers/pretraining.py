"""The published pretraining data: AudioSet's unbalanced clips and 960 h of LibriSpeech, without labels."""

from __future__ import annotations

from pathlib import Path

from ..clips import Clip, Manifest
from .audioset import audio_by_video, available_clips, read_classes
from .inventory import Inventory
from .splits import Fold

DOWNLOAD = (
    "AudioSet (tables unbalanced_train_segments.csv, eval_segments.csv, class_labels_indices.csv, and audio) and "
    "LibriSpeech (openslr.org/12: train-clean-100, train-clean-360, train-other-500), side by side"
)
EXPECTED = {
    "unbalanced": 2041789,
    "evaluation": 20371,
    "train-clean-100": 28539,
    "train-clean-360": 104014,
    "train-other-500": 148688,
}


def splits(root: Path, out: Path, inventory: Inventory, expected: dict) -> list[Fold]:
    """Trains on AudioSet's unbalanced clips and LibriSpeech, validates on AudioSet's evaluation clips."""
    home = inventory.locate("unbalanced_train_segments.csv", ("AudioSet", "audioset"), DOWNLOAD)
    for name in ("eval_segments.csv", "class_labels_indices.csv"):
        inventory.locate(str((home / name).relative_to(root)), (), DOWNLOAD)
    speech = inventory.locate("LibriSpeech", (), DOWNLOAD) / "LibriSpeech"
    clips = []
    for part in ("train-clean-100", "train-clean-360", "train-other-500"):
        found = sorted((speech / part).glob("*/*/*.flac"))
        inventory.count(f"utterances in LibriSpeech/{part}", len(found), expected[part])
        clips += [Clip(str(path)) for path in found]
    classes, audio = read_classes(home / "class_labels_indices.csv"), audio_by_video(home)
    audioset = [
        available_clips(home / table, audio, classes, out, inventory, expected[name]).unlabelled()
        for name, table in (("unbalanced", "unbalanced_train_segments.csv"), ("evaluation", "eval_segments.csv"))
    ]
    return [Fold("1", Manifest([*audioset[0].clips, *clips]), audioset[1], None)]
