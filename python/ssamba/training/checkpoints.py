"""Checkpoint directories that survive a kill at any instant, and finding them again."""

from __future__ import annotations

import os
import secrets
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from ..checkpoints.folder import WEIGHTS_FILE as WEIGHTS
from ..checkpoints.folder import save_atomically, save_objects

TRAINING_STATE = "training_state.pt"
NAMES = ("best", "average", "last")  # of a run's checkpoints, in the order in which they are preferred


def _partial(target: Path) -> Path:
    return target.with_name(f".{target.name}.partial")


def _previous(target: Path) -> Path:
    return target.with_name(f".{target.name}.previous")


def replace_directory(target: Path, write: Callable[[Path], None]) -> None:
    """Let `write(path)` fill a new directory, then put it at `target` in place of what is there.

    Killed at any instant, either the old or the new directory is whole: at `target`, or, between the two renames,
    aside, where `resolve_checkpoint` finds it and from where `recover` brings it back. When `write` raises, the old one
    stays and nothing of the new one does; an OSError names the file that was meant. For one process at a time.
    """
    partial, previous = _partial(target), _previous(target)
    recover(target)
    _discard(partial)
    try:
        partial.mkdir(parents=True)
        write(partial)
    except BaseException as error:
        shutil.rmtree(partial, ignore_errors=True)
        if isinstance(error, OSError) and error.filename and Path(error.filename).is_relative_to(partial):
            meant = target / Path(error.filename).relative_to(partial)
            raise OSError(error.errno, error.strerror, str(meant)) from error
        raise
    if target.exists():
        os.replace(target, previous)
    os.replace(partial, target)
    shutil.rmtree(previous, ignore_errors=True)


def recover(target: Path) -> None:
    """Finish what a kill in `replace_directory` left: restore the old directory, or drop it beside the new.

    Only for the process that writes there.
    """
    previous = _previous(target)
    if target.exists():
        _discard(previous)
    elif previous.exists():
        os.replace(previous, target)


def clear_unfinished(folder: Path) -> None:
    """Recover every checkpoint in a run's folder of checkpoints, and remove what else killed processes left there.

    Only for the process that writes there.
    """
    for name in NAMES:
        recover(folder / name)
        _discard(_partial(folder / name))
    for path in folder.glob(".*.discarded"):
        shutil.rmtree(path, ignore_errors=True)


def _discard(path: Path) -> None:
    """Remove a directory; what a reader holds open there, as on NFS, only gets out of the way."""
    shutil.rmtree(path, ignore_errors=True)
    if path.exists():
        os.replace(path, path.with_name(f".{secrets.token_hex(4)}.discarded"))


def resolve_checkpoint(path: str | Path) -> Path:
    """The checkpoint that `path` means: itself if it is a file or holds weights, else the best of a run.

    Without validation there is no best; then it is the average over epochs if there is one, else the last. Changes
    nothing, as the run may be in training: where a checkpoint is just being replaced, or was when the process was
    killed, the old one is found aside.

    Raises ValueError saying what was found instead.
    """
    path = Path(path)
    path = path.parent if path.name == WEIGHTS else path
    if path.is_file():
        return path
    if found := _standing(path):
        return found
    if not path.exists():
        raise ValueError(f"checkpoint {path} does not exist")
    for folder in (path / "checkpoints", path):
        for name in NAMES:
            if found := _standing(folder / name):
                return found
    hint = "the run has not saved a checkpoint yet" if (path / "checkpoints").is_dir() else f"it holds no {WEIGHTS}"
    raise ValueError(f"{path} is not a checkpoint or run directory: {hint}")


def _standing(target: Path) -> Path | None:
    """Where the checkpoint `target` is: there, or aside."""
    previous = _previous(target)
    if not (target / WEIGHTS).is_file() and (previous / WEIGHTS).is_file():
        time.sleep(0.1)  # a living process is at once through with its two renames
        if not (target / WEIGHTS).is_file():
            return previous
    return target if (target / WEIGHTS).is_file() else None


def save_training_state(path: Path, state: dict[str, Any]) -> None:
    """Write optimiser, scaler and position to a file that `torch.load(weights_only=True)` reads."""
    save_atomically(path / TRAINING_STATE, lambda aside: save_objects(aside, state))


def load_training_state(path: Path) -> dict[str, Any]:
    """Read what `save_training_state` wrote; raises ValueError if it is missing or damaged."""
    file = path / TRAINING_STATE
    if not file.is_file():
        raise ValueError(f"{path} holds no {TRAINING_STATE}, so training cannot be resumed from it")
    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:
        raise ValueError(f"{file} is damaged ({type(error).__name__}: {error})") from error
