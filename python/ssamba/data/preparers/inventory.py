"""What a data set lacks, collected so that all of it is said at once."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

_SHOWN = 3
_BLOCK = 1 << 20


class PreparationError(ValueError):
    """A data set that cannot be turned into manifests; the message says what is missing."""


class Inventory:
    """Compares a data set on disk with what was published; `problems` are what is missing, `notes` what is normal."""

    def __init__(self, dataset: str, root: Path):
        self.dataset, self.root = dataset, root
        self.problems: list[str] = []
        self.notes: list[str] = []

    def locate(self, marker: str, folders: Sequence[str], download: str) -> Path:
        """The folder that holds `marker`: the root, or one of these folders in it; raises PreparationError."""
        for folder in ("", *folders):
            if (self.root / folder / marker).exists():
                return self.root / folder
        places = ", ".join(str(self.root / folder / marker) for folder in ("", *folders))
        raise PreparationError(f"{self.dataset}: found none of {places}; give the folder of {download}")

    def present(self, paths: Iterable[Path], what: str) -> set[Path]:
        """Those of `paths` that exist; the others are a problem."""
        paths = list(paths)
        found = {path for path in paths if path.is_file()}
        self.missing([str(path) for path in paths if path not in found], len(paths), what)
        return found

    def missing(self, names: Sequence[str], of: int, what: str) -> None:
        """Note that these of so many things are not there."""
        if names:
            more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
            self.problems.append(f"{len(names)} of {of} {what} are missing: {', '.join(names[:_SHOWN])}{more}")

    def count(self, what: str, found: int, expected: int) -> None:
        """Note a number that is not the published one."""
        if found != expected:
            self.problems.append(f"{found:,} {what}, expected {expected:,}")

    def archive(self, name: str, algorithm: str, digest: str) -> None:
        """Compare the checksum of the downloaded archive, if it still lies in the root or beside it."""
        for path in (self.root / name, self.root.parent / name):
            if path.is_file():
                found = _digest(path, algorithm)
                if found != digest:
                    self.problems.append(f"{path} has {algorithm} {found}, expected {digest}: download it again")
                return

    def summary(self) -> str:
        """All problems in one sentence each; empty if there is none."""
        return f"{self.dataset} is not complete: {'; '.join(self.problems)}." if self.problems else ""


def _digest(path: Path, algorithm: str) -> str:
    digest = hashlib.new(algorithm)
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
