"""Reading data sets: a folder of class folders, a CSV file, or an SSAST JSON manifest."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from .clips import Clip, Manifest, ManifestError

__all__ = ["AUDIO_SUFFIXES", "Clip", "Manifest", "ManifestError", "read_manifest"]

# Formats that libsndfile cannot read are listed too, so that such a file is named as unreadable and not passed over.
AUDIO_SUFFIXES = frozenset(
    {".aac", ".aif", ".aifc", ".aiff", ".amr", ".au", ".caf", ".flac", ".m4a", ".mp3", ".mp4", ".oga", ".ogg", ".opus"}
    | {".w64", ".wav", ".webm", ".wma"}
)


class _Entry(NamedTuple):
    place: str  # where it stands, for messages
    path: str
    labels: tuple[str, ...]  # as written there
    seconds: tuple[str, ...] = ()


def read_manifest(
    source: str | os.PathLike,
    label_csv: str | os.PathLike | None = None,
    audio_root: str | os.PathLike | None = None,
    *,
    classes: Sequence[str] | None = None,
    labels: bool = True,
) -> Manifest:
    """Read a data set from a folder, a CSV file or an SSAST JSON manifest, told apart by what `source` is.

    * Folder: each folder in it is a class, audio files at any depth below are its clips. A folder that holds audio
      files itself is unlabelled. Names beginning with '.' and files that are not audio are passed over.
    * `.csv` (or `.tsv`): columns path,label, several labels joined by ';'; a column seconds may hold the class of each
      second, joined by ';'; further columns are ignored. The single column path, or a label column left empty
      throughout, is unlabelled.
    * `.json`: {"data": [{"wav": "a.flac", "labels": "/m/09x0r,/m/05zppz"}, ...]}, with `label_csv` for the names.

    Classes are in the order of `classes`, else of the label CSV's index, else sorted by name. Whether the files exist
    is not checked here; `AudioDataset` does that.

    Args:
        source: the folder or file.
        label_csv: columns index,mid,display_name; labels in `source` may be either name, classes are the display names.
        audio_root: where relative paths of a CSV or JSON begin; by default the folder of that file.
        classes: the class names and their order, such as those of a trained model; other labels are errors.
        labels: False leaves labels out, unread and unchecked, as pretraining may; no label CSV is needed then.

    Raises:
        ManifestError: a missing file or column, broken CSV or JSON, no clips, a clip listed twice, a label that is
            unknown or given twice, a clip without label among labelled ones; the message names file and line or entry.
    """
    source = Path(source)
    if not source.exists():
        raise ManifestError(f"{source}: does not exist; give a folder of audio files, a .csv or a .json manifest")
    if source.is_dir():
        if audio_root is not None:
            raise ManifestError(f"{source}: audio_root has no meaning for a folder of audio files; leave it out")
        entries = _read_folder(source)
    elif source.suffix.lower() in (".csv", ".tsv"):
        entries = _read_csv(source, Path(audio_root or source.parent))
    elif source.suffix.lower() == ".json":
        entries = _read_json(source, Path(audio_root or source.parent))
    else:
        raise ManifestError(f"{source}: is neither a folder nor a .csv, .tsv or .json manifest")
    if not entries:
        raise ManifestError(f"{source}: lists no clips")
    _check_repeats(entries)
    if not labels or not any(entry.labels for entry in entries):
        return Manifest([Clip(entry.path) for entry in entries])
    if source.suffix.lower() == ".json" and label_csv is None and classes is None:
        raise ManifestError(
            f"{source}: the names and order of its labels stand in a label CSV (columns index,mid,display_name): "
            "give label_csv, or labels=False if labels are not needed"
        )
    return _with_labels(source, entries, label_csv, classes)


def _with_labels(source: Path, entries: list[_Entry], label_csv, classes: Sequence[str] | None) -> Manifest:
    if label_csv is not None:
        names = _read_label_csv(Path(label_csv))
        if classes is not None and (extra := sorted(set(names.values()) - set(classes))):
            raise ManifestError(f"{label_csv}: class {extra[0]!r} is not one of the {len(classes)} classes expected")
    elif classes is not None:
        names = {name: name for name in classes}
    else:
        names = {name: name for name in sorted({label for entry in entries for label in entry.labels})}
    clips = []
    for entry in entries:
        if not entry.labels:
            raise ManifestError(
                f"{entry.place}: {entry.path} has no label though other clips do; "
                "label it, take it out, or read with labels=False"
            )
        if unknown := [label for label in entry.labels if label not in names]:
            known = sorted(set(names.values()))
            shown = ", ".join(known[:8]) + (", ..." if len(known) > 8 else "")
            raise ManifestError(f"{entry.place}: label {unknown[0]!r} is not one of the {len(known)} classes ({shown})")
        resolved = tuple(names[label] for label in entry.labels)
        if len(set(resolved)) < len(resolved):
            raise ManifestError(f"{entry.place}: a label is given twice: {', '.join(entry.labels)}")
        if unknown := sorted(set(entry.seconds) - set(entry.labels)):
            raise ManifestError(f"{entry.place}: {unknown[0]!r} stands in seconds, but not in label")
        clips.append(Clip(entry.path, resolved, tuple(names[label] for label in entry.seconds)))
    return Manifest(clips, tuple(classes) if classes is not None else tuple(dict.fromkeys(names.values())))


def _check_repeats(entries: list[_Entry]) -> None:
    places: dict[str, str] = {}
    for entry in entries:
        if entry.path in places:
            raise ManifestError(f"{entry.place}: {entry.path} is already listed at {places[entry.path]}")
        places[entry.path] = entry.place


def _read_folder(folder: Path) -> list[_Entry]:
    loose = sorted(path for path in folder.iterdir() if path.is_file() and _is_audio(path.name))
    inner = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    if not loose and not inner:
        raise ManifestError(f"{folder}: holds no audio files and no class folders")
    if not inner:
        return [_Entry(str(path), str(path), ()) for path in loose]
    entries = []
    for class_folder in inner:
        found = sorted(_audio_below(class_folder))
        if bool(found) == bool(loose):
            reason = f"holds audio files ({loose[0].name}, ...) as well as" if loose else "has no audio file in"
            raise ManifestError(
                f"{folder}: {reason} the folder {class_folder.name!r}; a data set is a folder of class folders, "
                "or of audio files only"
            )
        entries += [_Entry(path, path, (class_folder.name,)) for path in found]
    return entries or [_Entry(str(path), str(path), ()) for path in loose]


def _audio_below(folder: Path) -> Iterator[str]:
    seen = set()
    for parent, folders, files in os.walk(folder, followlinks=True):
        if (real := os.path.realpath(parent)) in seen:  # a link back up
            folders.clear()
            continue
        seen.add(real)
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (os.path.join(parent, name) for name in files if _is_audio(name))


def _is_audio(name: str) -> bool:
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in AUDIO_SUFFIXES


def _read_csv(path: Path, root: Path) -> list[_Entry]:
    entries = []
    for line, row in _read_table(path, ["path", "label"], alone="path"):
        if not row["path"]:
            raise ManifestError(f"{path}:{line}: the path is empty")
        labels, seconds = (
            tuple(label.strip() for label in row.get(column, "").split(";") if label.strip())
            for column in ("label", "seconds")
        )
        entries.append(_Entry(f"{path}:{line}", os.path.join(root, row["path"]), labels, seconds))
    return entries


def _read_json(path: Path, root: Path) -> list[_Entry]:
    try:
        content = json.loads(_read_text(path))
    except json.JSONDecodeError as error:
        raise ManifestError(f"{path}:{error.lineno}: not valid JSON: {error.msg} (column {error.colno})") from error
    data = content.get("data") if isinstance(content, dict) else None
    if not isinstance(data, list):
        raise ManifestError(f'{path}: expected {{"data": [{{"wav": ..., "labels": ...}}, ...]}}')
    entries = []
    for index, item in enumerate(data):
        place = f"{path}: data[{index}]"
        if not isinstance(item, dict) or not isinstance(item.get("wav"), str) or not item["wav"]:
            raise ManifestError(f'{place}: has no "wav" path: {json.dumps(item)[:100]}')
        labels = item.get("labels", "")
        if not isinstance(labels, str):
            raise ManifestError(
                f'{place}: "labels" must be one text, labels joined by commas: {json.dumps(labels)[:100]}'
            )
        labels = tuple(label.strip() for label in labels.split(",") if label.strip())
        entries.append(_Entry(place, os.path.join(root, item["wav"]), labels))
    return entries


def _read_label_csv(path: Path) -> dict[str, str]:
    """Class name of every mid and display name, in class order."""
    if not path.is_file():
        raise ManifestError(f"{path}: the label CSV does not exist")
    rows = {}
    for line, row in _read_table(path, ["index", "mid", "display_name"]):
        if not row["index"].isdecimal() or not row["mid"] or not row["display_name"]:
            raise ManifestError(f"{path}:{line}: expected index,mid,display_name, got {','.join(row.values())}")
        if (index := int(row["index"])) in rows:
            raise ManifestError(f"{path}:{line}: index {index} is used twice")
        rows[index] = (line, row["mid"], row["display_name"])
    if sorted(rows) != list(range(len(rows))) or not rows:
        raise ManifestError(
            f"{path}: indices must count from 0 without gaps, got {sorted(rows)[:5]}... ({len(rows)} rows)"
        )
    names: dict[str, str] = {}
    for _, (line, mid, name) in sorted(rows.items()):
        for label in dict.fromkeys((name, mid)):
            if label in names:
                raise ManifestError(f"{path}:{line}: label {label!r} is listed twice")
            names[label] = name
    return names


def _read_table(path: Path, columns: list[str], alone: str | None = None) -> Iterator[tuple[int, dict[str, str]]]:
    """(line number, row) of a CSV or TSV with at least these columns, or with the column `alone` and no other."""
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    reader = csv.reader(io.StringIO(_read_text(path), newline=""), delimiter=delimiter, strict=True)
    try:
        header = [name.strip() for name in next(reader, [])]
        missing = [name for name in columns if name not in header]
        if missing and header != [alone]:
            raise ManifestError(
                f"{path}:1: column {missing[0]!r} is missing; found {','.join(header) or 'an empty file'}"
            )
        for row in reader:
            if not row:
                continue
            if len(row) != len(header):
                raise ManifestError(f"{path}:{reader.line_num}: {len(row)} fields, the header has {len(header)}")
            yield reader.line_num, {name: field.strip() for name, field in zip(header, row, strict=True)}
    except csv.Error as error:
        raise ManifestError(f"{path}:{reader.line_num}: not valid CSV: {error}") from error


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ManifestError(f"{path}: is not UTF-8 text (byte {error.start})") from error
    except OSError as error:
        raise ManifestError(f"{path}: cannot be read: {error.strerror}") from error
