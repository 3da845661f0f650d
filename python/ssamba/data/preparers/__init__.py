"""Data sets as they are downloaded, turned into manifests with their official splits; one module a data set.

A module `<dataset>` has DOWNLOAD (what to download, and from where), EXPECTED (counts of the complete data set) and
`splits(root, out, inventory, expected)`, which looks at the files under `root`, tells `inventory` what is missing, and
returns the folds. Whatever it has to write besides manifests goes to `out`.
"""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path
from typing import Any

from .inventory import Inventory, PreparationError
from .splits import Fold, Splits, read_splits, write_splits

__all__ = ["Fold", "Inventory", "PreparationError", "Splits", "prepare", "read_splits", "write_splits"]


def prepare(
    dataset: str,
    root: str | os.PathLike,
    out: str | os.PathLike,
    incomplete: bool = False,
    expected: dict[str, Any] | None = None,
) -> tuple[Splits, Inventory]:
    """Write the manifests of `dataset`, found under `root`, and splits.json to `out`.

    With `incomplete`, what is missing is only reported (`Inventory.problems`). `expected` replaces the counts of the
    complete data set. Raises PreparationError naming everything that is missing, or a layout that is not the published.
    """
    module = import_module(f".{dataset}", __name__)
    root, out = Path(root), Path(out)
    if not root.is_dir():
        raise PreparationError(f"root {root} is not a folder; give the folder of {module.DOWNLOAD}")
    inventory = Inventory(dataset, root)
    folds = module.splits(root, out, inventory, {**module.EXPECTED, **(expected or {})})
    if inventory.problems and not incomplete:
        raise PreparationError(f"{inventory.summary()} With --incomplete, what is there is used.")
    empty = [f"{part} of fold {fold.name}" for fold in folds for part, clips in fold.parts() if not len(clips)]
    if empty:
        raise PreparationError(f"{dataset}: nothing is left for {', '.join(empty)}. {inventory.summary()}".strip())
    return write_splits(out, dataset, folds, inventory), inventory
