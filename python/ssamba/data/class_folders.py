"""A folder as a data set: a folder for each class, and which other layouts must not be taken for that."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Collection
from pathlib import Path

from ..audio.names import printable
from .clips import ManifestError, class_name
from .folders import audio_below, is_audio_file, is_folder, is_hidden, other_files_below

_log = logging.getLogger(__name__)

_PARTS = {
    "train": r"train(ing)?",
    "validation": r"val(id(ation)?)?|dev(el(opment)?)?|held[-_ ]?out|hold[-_ ]?out",
    "test": r"test(ing)?|eval(uation)?",
    "fold": r"(fold|split)[-_ ]?\d+",
}
_PART_NAMES = {part: re.compile(rf"({words})(set|[-_ .].*)?", re.IGNORECASE) for part, words in _PARTS.items()}


def read_class_folders(folder: Path, known: Collection[str] = ()) -> list[tuple[str, str | None]]:
    """(path, class) of each audio file below a folder of class folders; the class is None in one of files only.

    A class may be spread over folders at any depth, and over folders whose names differ in Unicode form only.

    Args:
        folder: what to read.
        known: classes that are expected; folders of these names are classes for certain.

    Raises:
        ManifestError: no audio, audio beside class folders, a class folder without audio, or folders that are no
            classes by their names: train and test, fold1 and fold2, or a single one around the class folders.
    """
    with os.scandir(folder) as listing:
        entries = sorted((entry for entry in listing if not is_hidden(entry.name)), key=lambda entry: entry.name)
    inner = [entry.name for entry in entries if is_folder(entry)]
    loose = [str(folder / entry.name) for entry in entries if not is_folder(entry)]
    loose = [path for path in loose if is_audio_file(path)]
    clips = {name: audio_below(folder / name) for name in inner}
    if not loose and not any(clips.values()):
        raise ManifestError(f"{folder}: holds no audio files and no class folders ({other_files_below(folder)})")
    for name, found in clips.items():
        if bool(found) == bool(loose):
            reason = (
                f"holds audio files ({printable(os.path.basename(loose[0]))}, ...) as well as"
                if loose
                else "has no audio file in"
            )
            raise ManifestError(
                f"{folder}: {reason} the folder {printable(name)!r}; a data set is a folder of class folders, or of "
                "audio files only"
            )
    if loose:
        return [(path, None) for path in loose]
    classes = {name: _class_of(folder, name) for name in inner}
    if not set(classes.values()) <= set(known):
        _check_layout(folder, clips)
    _say_merged(folder, classes)
    return [(path, classes[name]) for name, found in clips.items() for path in found]


def _class_of(folder: Path, name: str) -> str:
    try:
        name.encode()
    except UnicodeEncodeError:
        raise ManifestError(
            f"{folder}: the class folder {printable(name)} has a name that is not UTF-8; rename it"
        ) from None
    return class_name(name)


def _check_layout(folder: Path, clips: dict[str, list[str]]) -> None:
    """Raise ManifestError if these folders are parts of a data set, or one around it."""
    parts = {name: part for name in clips if (part := _part(name))}
    holds_classes = any(set(clips) & set(_folders_in(folder / name)) for name in parts)
    if len(set(parts.values())) > 1 or len(parts) == len(clips) or holds_classes:
        first, *others = sorted(parts, key=lambda name: list(_PARTS).index(parts[name]))
        beside = f", and in training --validation {folder / others[0]}" if others else ""
        raise ManifestError(
            f"{folder}: its folders {', '.join([first, *others][:4])} are by their names parts of a data set, not "
            f"classes; give one part: --data {folder / first}{beside}; or, if they are classes, list the clips in a CSV"
        )
    if len(clips) == 1:
        (name,) = clips
        inside = folder / name
        if len(_folders_in(inside)) > 1 and not any(Path(path).parent == inside for path in clips[name]):
            raise ManifestError(
                f"{folder}: holds one folder only, {name}, which has folders of its own; give that one: --data {inside}"
            )


def _part(name: str) -> str | None:
    """Which part of a data set a folder of this name is: train, train-clean-100 and TrainSet are "train"."""
    return next((part for part, pattern in _PART_NAMES.items() if pattern.fullmatch(name)), None)


def _folders_in(folder: Path) -> list[str]:
    with os.scandir(folder) as listing:
        return [entry.name for entry in listing if is_folder(entry) and not is_hidden(entry.name)]


def _say_merged(folder: Path, classes: dict[str, str]) -> None:
    first: dict[str, str] = {}
    for folder_name, name in classes.items():
        if first.setdefault(name, folder_name) != folder_name:
            _log.warning("%s: two folders %s differ only in the Unicode form of their names: one class", folder, name)
