"""A data set as a list of labelled clips: checking, choosing parts, writing to CSV and SSAST JSON."""

from __future__ import annotations

import csv
import io
import json
import os
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from ..audio.names import printable
from ..checkpoints.folder import save_atomically
from .folders import real_files


class ManifestError(ValueError):
    """A manifest that cannot be used; the message names the file and the place in it."""


def class_name(text: str) -> str:
    """A class by its name in Unicode's composed form (NFC): a Mac decomposes accents in the names of folders."""
    return unicodedata.normalize("NFC", text)


@dataclass(frozen=True)
class Clip:
    """An audio file and its class names, none if it is unlabelled; `seconds`: the class of each second, if known."""

    path: str
    labels: tuple[str, ...] = ()
    seconds: tuple[str, ...] = ()


@dataclass(frozen=True)
class Manifest:
    """The clips of a data set, and its classes in the order of the model's outputs (none if it is unlabelled).

    Raises:
        ManifestError: a class twice, a path twice, or a clip with a label that is not a class or that it has twice.
    """

    clips: Sequence[Clip]
    classes: tuple[str, ...] = ()

    def __post_init__(self):
        object.__setattr__(self, "clips", list(self.clips))
        object.__setattr__(self, "classes", tuple(self.classes))
        _no_repeats(self.classes, "class")
        _no_repeats([clip.path for clip in self.clips], "clip")
        known = set(self.classes)
        for clip in self.clips:
            if unknown := [label for label in clip.labels if label not in known]:
                raise ManifestError(
                    f"{printable(clip.path)}: label {unknown[0]!r} is not one of the {len(known)} classes"
                )
            _no_repeats(clip.labels, f"{printable(clip.path)}: label")
            if clip.seconds and set(clip.seconds) != set(clip.labels):
                raise ManifestError(f"{printable(clip.path)}: the classes of its seconds are not those of its labels")

    def __len__(self) -> int:
        return len(self.clips)

    def counts(self) -> dict[str, int]:
        """Clips of each class, in class order."""
        found = Counter(label for clip in self.clips for label in clip.labels)
        return {name: found[name] for name in self.classes}

    def subset(self, indices: Iterable[int]) -> Manifest:
        """The clips at these positions, in this order, with the same classes."""
        return Manifest([self.clips[i] for i in indices], self.classes)

    def unlabelled(self) -> Manifest:
        """The same clips without labels and classes, as pretraining sees them."""
        return Manifest([Clip(clip.path) for clip in self.clips])

    def shared_files(self, other: Manifest) -> list[str]:
        """Files that stand in both manifests, under whatever names, sorted."""
        mine, theirs = (set(real_files(clip.path for clip in manifest.clips)) for manifest in (self, other))
        return sorted(mine & theirs)

    def split(self, *fractions: float, seed: int = 0) -> tuple[Manifest, ...]:
        """Disjoint random parts of these relative sizes, each class divided alike (by a clip's first label).

        The same seed gives the same parts; together they are the whole, each in the order of this manifest. Clips that
        are links to one file fall into one part.

        Raises:
            ValueError: fewer than two fractions, one that is not above 0, or a sum other than 1.
        """
        if len(fractions) < 2 or min(fractions) <= 0 or abs(sum(fractions) - 1) > 1e-6:
            raise ValueError(f"fractions must be two or more numbers above 0 that sum to 1, got {fractions}")
        files: dict[str, list[int]] = {}  # clips of each file, by which they are divided
        for index, file in enumerate(real_files(clip.path for clip in self.clips)):
            files.setdefault(file, []).append(index)
        groups: dict[tuple[str, ...], list[int]] = {}
        for first, *_ in files.values():
            groups.setdefault(self.clips[first].labels[:1], []).append(first)
        same = {first: [first, *others] for first, *others in files.values()}
        random = np.random.default_rng(seed)
        parts: list[list[int]] = [[] for _ in fractions]
        for group in groups.values():
            cuts = np.round(np.cumsum(fractions[:-1]) * len(group)).astype(int)
            for part, chosen in zip(parts, np.split(random.permutation(group), cuts), strict=True):
                part.extend(index for first in chosen for index in same[int(first)])
        return tuple(self.subset(sorted(part)) for part in parts)

    def limit_per_class(self, n: int, seed: int = 0) -> Manifest:
        """At most `n` random clips of each class, all of a class that has fewer; unlabelled clips are left out.

        A clip of several classes counts for each and is kept while any of them has fewer than `n`.
        """
        if n < 1:
            raise ValueError(f"n must be at least 1, got {n}")
        counts: Counter[str] = Counter()
        kept = []
        for index in np.random.default_rng(seed).permutation(len(self.clips)).tolist():
            labels = self.clips[index].labels
            if any(counts[label] < n for label in labels):
                counts.update(labels)
                kept.append(index)
        return self.subset(sorted(kept))

    def write_csv(self, path: str | os.PathLike) -> None:
        """Write columns path,label (absolute paths, labels joined by ';'), and seconds if clips have labels by second.

        An existing file is replaced in one step.
        """
        if bad := [name for name in self.classes if ";" in name or name != name.strip()]:
            raise ManifestError(f"class {bad[0]!r} cannot stand in a CSV: ';' and outer spaces have a meaning there")
        columns = 3 if any(clip.seconds for clip in self.clips) else 2 if self.classes else 1
        rows = [
            [os.path.abspath(clip.path), ";".join(clip.labels), ";".join(clip.seconds)][:columns] for clip in self.clips
        ]
        _write_csv(path, ["path", "label", "seconds"][:columns], rows)

    def write_json(self, path: str | os.PathLike, label_csv: str | os.PathLike | None = None) -> None:
        """Write the JSON form of SSAST, and its label CSV (index,mid,display_name), which labelled clips need.

        A class is written by its name where no name holds a comma, else by a code `class_<index>`.
        """
        if any(clip.seconds for clip in self.clips):
            raise ValueError("labels by the second have no place in the JSON form; use write_csv")
        if self.classes and label_csv is None:
            raise ValueError("give label_csv too: the JSON form keeps the class names in it")
        plain = not any("," in name for name in self.classes)
        codes = {name: name if plain else f"class_{index}" for index, name in enumerate(self.classes)}
        data = [
            {"wav": os.path.abspath(clip.path), "labels": ",".join(codes[label] for label in clip.labels)}
            for clip in self.clips
        ]
        if label_csv is not None:
            rows = [[index, codes[name], name] for index, name in enumerate(self.classes)]
            _write_csv(label_csv, ["index", "mid", "display_name"], rows)
        text = json.dumps({"data": data}, indent=1, ensure_ascii=False) + "\n"
        _write(path, text.encode(errors="backslashreplace"))  # of a name that is not UTF-8 it makes JSON's escapes


def _no_repeats(names: Sequence[str], what: str) -> None:
    if len(set(names)) < len(names):
        name = next(name for name, count in Counter(names).items() if count > 1)
        raise ManifestError(f"{what} {name!r} is listed twice")


def _write_csv(path: str | os.PathLike, header: list[str], rows: list[list]) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    _write(path, text.getvalue().encode(errors="surrogateescape"))  # names that are not UTF-8 keep their bytes


def _write(path: str | os.PathLike, content: bytes) -> None:
    save_atomically(path, lambda aside: aside.write_bytes(content))
