"""IEMOCAP: emotions of 5531 utterances in five sessions (Session*/{sentences/wav,dialog/EmoEvaluation})."""

from __future__ import annotations

import re
from pathlib import Path

from ..clips import Clip, Manifest
from .inventory import Inventory
from .splits import Fold, hold_out_groups

DOWNLOAD = "IEMOCAP (sail.usc.edu/iemocap, the unpacked IEMOCAP_full_release)"
EXPECTED = {"sessions": (1085, 1023, 1151, 1031, 1241), "ang": 1103, "hap": 1636, "neu": 1708, "sad": 1084}
CLASSES = {"ang": "ang", "hap": "hap", "exc": "hap", "neu": "neu", "sad": "sad"}  # excitement counts as happiness
HELD_OUT = 0.2  # of the training sessions
_LINE = re.compile(r"^\[[\d.]+ - [\d.]+\]\t(\w+)\t(\w+)\t", re.MULTILINE)  # [begin - end] utterance emotion


def splits(root: Path, out: Path, inventory: Inventory, expected: dict) -> list[Fold]:
    """Each session tests once; of the other four, a fifth validates, by dialogue."""
    home = inventory.locate("Session1/dialog/EmoEvaluation", ("IEMOCAP_full_release", "IEMOCAP"), DOWNLOAD)
    sessions = [_session(home / f"Session{n}", inventory, size) for n, size in enumerate(expected["sessions"], 1)]
    names = sorted(set(CLASSES.values()))
    for name in names:
        found = sum(clip.labels == (name,) for session in sessions for clip, _ in session)
        inventory.count(f"utterances of {name}", found, expected[name])
    folds = []
    for index, session in enumerate(sessions):
        rest = [pair for other in sessions[:index] + sessions[index + 1 :] for pair in other]
        test = Manifest([clip for clip, _ in session], tuple(names))
        folds.append(Fold(str(index + 1), *hold_out_groups(rest, names, HELD_OUT), test))
    return folds


def _session(folder: Path, inventory: Inventory, size: int) -> list[tuple[Clip, str]]:
    """(clip, dialogue) of a session's utterances of the four emotions."""
    emotions = {}
    for file in sorted((folder / "dialog" / "EmoEvaluation").glob("Ses*.txt")):
        emotions.update(_LINE.findall(file.read_text(encoding="latin-1")))
    wanted = {name: CLASSES[emotion] for name, emotion in emotions.items() if emotion in CLASSES}
    inventory.count(f"utterances of the four emotions in {folder.name}", len(wanted), size)
    paths = {name: folder / "sentences" / "wav" / name.rpartition("_")[0] / f"{name}.wav" for name in sorted(wanted)}
    there = inventory.present(paths.values(), f"recordings of {folder.name}")
    return [(Clip(str(path), (wanted[name],)), path.parent.name) for name, path in paths.items() if path in there]
