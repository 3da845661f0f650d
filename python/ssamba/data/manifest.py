"""Reading data sets: a folder of class folders, a CSV file, or an SSAST JSON manifest."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ..audio.names import printable
from .class_folders import read_class_folders
from .clip_paths import locate, require_one
from .clips import Clip, Manifest, ManifestError, class_name
from .folders import audio_below, full_names, other_files_below, real_files
from .tables import read_table, read_text, require_name, require_text

__all__ = ["Clip", "Manifest", "ManifestError", "read_manifest"]

_CODE = re.compile(r"/[a-z]/\w+")  # a label as AudioSet writes it, such as /m/09x0r


class _Entry(NamedTuple):
    place: str  # where it stands, for messages
    path: str
    labels: tuple[str, ...]  # as written there, in Unicode NFC
    seconds: tuple[str, ...] = ()


def read_manifest(
    source: str | os.PathLike,
    label_csv: str | os.PathLike | None = None,
    audio_root: str | os.PathLike | None = None,
    *,
    classes: Sequence[str] | None = None,
    labels: bool = True,
    require_files: bool = False,
) -> Manifest:
    """Read a data set from a folder, a CSV file or an SSAST JSON manifest, told apart by what `source` is.

    * Folder: each folder in it is a class, audio files at any depth below are its clips. A folder that holds audio
      files itself is unlabelled. Which files count as audio, and which names are passed over, says `audio_below`.
    * `.csv` (or `.tsv`): columns path,label, several labels joined by ';'; a column seconds may hold the class of each
      second, joined by ';'; further columns are ignored. The single column path, or a label column left empty
      throughout, is unlabelled. As Excel writes it, with semicolons (labels then in quotes) or in UTF-16, will do.
    * `.json`: {"data": [{"wav": "a.flac", "labels": "/m/09x0r,/m/05zppz"}, ...]}, with `label_csv` for the names.

    Classes are in the order of `classes`, else of the label CSV's index, else sorted by name. Names of classes are
    compared, and given, in Unicode NFC. A clip is listed once, however its path is spelled; links to one file are clips
    of their own, with the same labels. Whether the files exist is not checked here; `AudioDataset` does that.

    Args:
        source: the folder or file.
        label_csv: columns index,mid,display_name; labels in `source` may be either name, classes are the display names.
        audio_root: where relative paths of a CSV or JSON begin; by default the folder of that file. Of absolute paths
            of another machine it takes the place of the folder that they have in common, or of one above.
        classes: the class names and their order, such as those of a trained model; other labels are errors.
        labels: False leaves labels out, unread and unchecked, as pretraining may; no label CSV is needed then, and all
            audio below a folder counts, in whatever folders.
        require_files: a CSV or JSON none of whose files exists is an error.

    Raises:
        ManifestError: a missing file or column, broken CSV or JSON, no clips, a clip listed twice, a label that is
            unknown or given twice, a clip without label among labelled ones, folders that are parts of a data set and
            not classes; the message names file and line or entry.
        OSError: a folder that cannot be listed.
    """
    source = Path(source)
    if not source.exists():
        raise ManifestError(f"{source}: does not exist; give a folder of audio files, a .csv or a .json manifest")
    expected = [class_name(name) for name in classes] if classes is not None else None
    if source.is_dir():
        if audio_root is not None:
            raise ManifestError(f"{source}: audio_root has no meaning for a folder of audio files; leave it out")
        entries = _read_folder(source, label_csv, expected) if labels else _read_all(source)
    elif source.suffix.lower() in (".csv", ".tsv"):
        entries = _read_csv(source)
    elif source.suffix.lower() == ".json":
        entries = _read_json(source)
    else:
        raise ManifestError(f"{source}: is neither a folder nor a .csv, .tsv or .json manifest")
    if not entries:
        raise ManifestError(f"{source}: lists no clips")
    if not source.is_dir():
        entries = _located(source, entries, audio_root, require_files)
    labels = labels and any(entry.labels for entry in entries)
    _check_repeats(entries)
    if not labels:
        return Manifest([Clip(entry.path) for entry in entries])
    if source.suffix.lower() == ".json" and label_csv is None and classes is None:
        raise ManifestError(
            f"{source}: the names and order of its labels stand in a label CSV (columns index,mid,display_name): "
            "give label_csv (--label-csv), or labels=False if labels are not needed"
        )
    _check_same_labels(entries)
    return _with_labels(source, entries, label_csv, expected)


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
            hint = "; names of such codes stand in a label CSV: give label_csv (--label-csv)"
            hint = hint if label_csv is None and _CODE.fullmatch(unknown[0]) else ""
            raise ManifestError(
                f"{entry.place}: label {unknown[0]!r} is not one of the {len(known)} classes ({shown}){hint}"
            )
        resolved = tuple(names[label] for label in entry.labels)
        if len(set(resolved)) < len(resolved):
            raise ManifestError(f"{entry.place}: a label is given twice: {', '.join(entry.labels)}")
        if unknown := sorted(set(entry.seconds) - set(entry.labels)):
            raise ManifestError(f"{entry.place}: {unknown[0]!r} stands in seconds, but not in label")
        clips.append(Clip(entry.path, resolved, tuple(names[label] for label in entry.seconds)))
    return Manifest(clips, tuple(classes) if classes is not None else tuple(dict.fromkeys(names.values())))


def _check_repeats(entries: list[_Entry]) -> None:
    listed: dict[str, _Entry] = {}
    for name, entry in zip(full_names(entry.path for entry in entries), entries, strict=True):
        if (first := listed.setdefault(name, entry)) is not entry:
            spelled = "" if first.path == entry.path else f" as {printable(first.path)}"
            raise ManifestError(
                f"{entry.place}: {printable(entry.path)} is already listed at {first.place}{spelled}; take one out"
            )


def _check_same_labels(entries: list[_Entry]) -> None:
    files: dict[str, _Entry] = {}
    for file, entry in zip(real_files(entry.path for entry in entries), entries, strict=True):
        first = files.setdefault(file, entry)
        if set(first.labels) != set(entry.labels):
            raise ManifestError(
                f"{entry.place}: {printable(entry.path)} and {printable(first.path)} are links to one file, but their "
                f"labels differ: {', '.join(entry.labels) or 'none'} and {', '.join(first.labels) or 'none'}; list it "
                "once, in a CSV with its labels joined by ';'"
            )


def _read_folder(folder: Path, label_csv, classes: Sequence[str] | None) -> list[_Entry]:
    known = _read_label_csv(Path(label_csv)) if label_csv is not None else classes or ()
    return [
        _Entry(printable(path), path, () if name is None else (name,))
        for path, name in read_class_folders(folder, known)
    ]


def _read_all(folder: Path) -> list[_Entry]:
    found = audio_below(folder)
    if not found:
        raise ManifestError(f"{folder}: holds no audio files and no class folders ({other_files_below(folder)})")
    return [_Entry(printable(path), path, ()) for path in found]


def _located(source: Path, entries: list[_Entry], audio_root, require_files: bool) -> list[_Entry]:
    written = [require_name(entry.place, entry.path) for entry in entries]
    root = os.fspath(source.parent if audio_root is None else audio_root)
    paths = locate(str(source), written, root, None if audio_root is None else root)
    if require_files:
        require_one(str(source), written, paths, root)
    for entry, path in zip(entries, paths, strict=True):
        if not (path.isascii() or os.path.lexists(path)):
            require_text(entry.place, entry.path)  # bytes of another encoding are more likely than such a name
    return [entry._replace(path=path) for entry, path in zip(entries, paths, strict=True)]


def _labels(place: str, text: str, separator: str) -> tuple[str, ...]:
    names = (label.strip() for label in require_text(place, text).split(separator))
    return tuple(class_name(name) for name in names if name)


def _read_csv(path: Path) -> list[_Entry]:
    entries = []
    for line, row in read_table(path, ["path", "label"], alone="path"):
        place = f"{path}:{line}"
        if not row["path"].strip():
            raise ManifestError(f"{place}: the path is empty")
        labels, seconds = (_labels(place, row.get(column, ""), ";") for column in ("label", "seconds"))
        entries.append(_Entry(place, row["path"], labels, seconds))
    return entries


def _read_json(path: Path) -> list[_Entry]:
    try:
        content = json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise ManifestError(f"{path}:{error.lineno}: not valid JSON: {error.msg} (column {error.colno})") from error
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, thousands of brackets
        raise ManifestError(f"{path}: no manifest: {error}") from error
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
        entries.append(_Entry(place, item["wav"], _labels(place, labels, ",")))
    return entries


def _read_label_csv(path: Path) -> dict[str, str]:
    """Class name of every mid and display name, in class order."""
    if not path.is_file():
        raise ManifestError(f"{path}: the label CSV does not exist")
    rows = {}
    for line, row in read_table(path, ["index", "mid", "display_name"]):
        index, mid, name = (
            class_name(require_text(f"{path}:{line}", row[column]).strip())
            for column in ("index", "mid", "display_name")
        )
        if not index.isdecimal() or not mid or not name:
            raise ManifestError(f"{path}:{line}: expected index,mid,display_name, got {','.join(row.values())}")
        if int(index) in rows:
            raise ManifestError(f"{path}:{line}: index {index} is used twice")
        rows[int(index)] = (line, mid, name)
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
