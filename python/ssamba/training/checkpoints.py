"""Checkpoint directories that survive a kill at any instant, and finding them again."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

WEIGHTS = "model.safetensors"
TRAINING_STATE = "training_state.pt"


def _partial(target: Path) -> Path:
    return target.with_name(f".{target.name}.partial")


def _previous(target: Path) -> Path:
    return target.with_name(f".{target.name}.previous")


def replace_directory(target: Path, write: Callable[[Path], None]) -> None:
    """Let `write(path)` fill a new directory, then put it at `target` in place of what is there.

    Killed at any instant, either the old or the new directory is whole: at `target`, or, between the two renames,
    aside, from where `recover` brings it back.
    """
    partial, previous = _partial(target), _previous(target)
    recover(target)
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    write(partial)
    if target.exists():
        os.replace(target, previous)
    os.replace(partial, target)
    shutil.rmtree(previous, ignore_errors=True)


def recover(target: Path) -> None:
    """Finish what a kill in `replace_directory` left: restore the old directory, or drop it beside the new."""
    previous = _previous(target)
    if target.exists():
        shutil.rmtree(previous, ignore_errors=True)
    elif previous.exists():
        os.replace(previous, target)


def resolve_checkpoint(path: str | Path) -> Path:
    """The checkpoint that `path` means: itself if it is a file or holds weights, else the best of a run.

    Without validation there is no best; then it is the average over epochs if there is one, else the last.

    Raises ValueError saying what was found instead.
    """
    path = Path(path)
    path = path.parent if path.name == WEIGHTS else path
    if path.is_file() or (path / WEIGHTS).is_file():
        return path
    if not path.exists():
        raise ValueError(f"checkpoint {path} does not exist")
    for folder in (path / "checkpoints", path):
        for name in ("best", "average", "last"):
            recover(folder / name)
            if (folder / name / WEIGHTS).is_file():
                return folder / name
    hint = "the run has not saved a checkpoint yet" if (path / "checkpoints").is_dir() else f"it holds no {WEIGHTS}"
    raise ValueError(f"{path} is not a checkpoint or run directory: {hint}")


def save_training_state(path: Path, state: dict[str, Any]) -> None:
    """Write optimiser, scaler and position to a file that `torch.load(weights_only=True)` reads."""
    torch.save(state, path / TRAINING_STATE)


def load_training_state(path: Path) -> dict[str, Any]:
    """Read what `save_training_state` wrote; raises ValueError if it is missing or damaged."""
    file = path / TRAINING_STATE
    if not file.is_file():
        raise ValueError(f"{path} holds no {TRAINING_STATE}, so training cannot be resumed from it")
    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:
        raise ValueError(f"{file} is damaged ({type(error).__name__}: {error})") from error
