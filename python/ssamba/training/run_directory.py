"""The directory of one run: what it was started with, and whether it may be continued."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.metadata
import json
import os
import platform
from pathlib import Path
from typing import Any

from ..checkpoints.folder import save_atomically
from .checkpoints import WEIGHTS, recover
from .options import Settings

_PATH_FIELDS = ("data", "validation", "test", "label_csv", "audio_root", "pretrained", "feature_cache")
_PACKAGES = ("ssamba", "torch", "accelerate", "numpy", "soundfile", "soxr", "scikit-learn")


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that can change a result."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "not installed as a package"
    return found


def fingerprint(clips: list[tuple[str, tuple[str, ...]]]) -> dict[str, Any]:
    """Number of clips and a hash of their paths and labels, to notice a data set that changed between two starts."""
    digest = hashlib.sha256()
    for path, labels in clips:
        digest.update(json.dumps([os.path.abspath(path), *labels]).encode())
    return {"clips": len(clips), "sha256": digest.hexdigest()}


def absolute_settings(settings: Settings) -> dict[str, Any]:
    """The settings as a dict with absolute paths, so that a run can be resumed from another folder."""
    values = settings.to_dict()
    return {k: os.path.abspath(v) if k in _PATH_FIELDS and v is not None else v for k, v in values.items()}


def saved_settings(out: str | Path, verb: str) -> dict[str, Any] | None:
    """The settings that the `verb` run in `out` was started with; None if there is no run; ValueError for another."""
    file = Path(out) / "config.json"
    if not file.is_file():
        return None
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        settings, found = content["settings"], content["verb"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{file} is not the config.json of a run ({type(error).__name__}: {error})") from error
    if found != verb:
        raise ValueError(f"{out} holds a {found} run, not a {verb} run; choose another --out")
    return settings


def differences(saved: dict[str, Any], given: dict[str, Any], settings: Settings) -> list[str]:
    """ "name: saved -> given" for every setting that changes the result and is not equal."""
    free = {item.name for item in dataclasses.fields(settings) if not item.metadata["affects_result"]} | {"out"}
    if saved.get("feature_cache") and given.get("feature_cache"):  # it matters that there is one, not where
        free.add("feature_cache")
    names = [name for name in {**saved, **given} if name not in free]
    return [
        f"{name} was {saved.get(name)!r}, now {given.get(name)!r}"
        for name in names
        if saved.get(name) != given.get(name)
    ]


class RunDirectory:
    """Layout of a run: config.json, metrics.jsonl, tensorboard/, checkpoints/{last,best,average}."""

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.config = self.path / "config.json"
        self.metrics = self.path / "metrics.jsonl"
        self.tensorboard = self.path / "tensorboard"
        self.last = self.path / "checkpoints" / "last"
        self.best = self.path / "checkpoints" / "best"
        self.average = self.path / "checkpoints" / "average"

    def check_startable(self, verb: str, settings: Settings) -> bool:
        """True if there is a run to continue; call it before any long work.

        Raises ValueError if the directory is in use and `settings.resume` is off, holds something else, or was
        started with other settings.
        """
        if not self.path.exists() or (self.path.is_dir() and not any(self.path.iterdir())):
            return False
        if not self.path.is_dir():
            raise ValueError(f"out is {self.path}, which is a file; give a directory")
        saved = saved_settings(self.path, verb)
        if saved is None:
            raise ValueError(f"{self.path} is not empty and holds no run (no config.json); choose another --out")
        if not settings.resume:
            raise ValueError(f"{self.path} already holds a run; continue it with --resume or choose another --out")
        changed = differences(saved, absolute_settings(settings), settings)
        if changed:
            raise ValueError(
                f"the run in {self.path} was started with other settings: {'; '.join(changed)}; "
                "resume it with the same settings or choose another --out"
            )
        recover(self.last)
        recover(self.best)
        recover(self.average)
        return (self.last / WEIGHTS).is_file()

    def check_same(self, facts: dict[str, Any]) -> None:
        """Raise ValueError if data or number of processes are not those the run was started with."""
        saved = json.loads(self.config.read_text())
        for name, value in facts.items():
            if saved.get(name) != value:
                raise ValueError(
                    f"the run in {self.path} cannot be resumed: {name} was {_brief(saved.get(name))}, "
                    f"now {_brief(value)}"
                )

    def write_config(self, verb: str, settings: Settings, facts: dict[str, Any], **more: Any) -> None:
        """Write config.json: settings, versions, and the facts that a resumed run must share."""
        self.path.mkdir(parents=True, exist_ok=True)
        content = {"verb": verb, "settings": absolute_settings(settings), **facts, "versions": versions(), **more}
        write_json(self.config, content)


def _brief(value: Any) -> str:
    if isinstance(value, dict) and "sha256" in value:
        return f"{value['clips']} clips ({value['sha256'][:8]})"
    return str(value)


def write_json(path: Path, content: Any) -> None:
    """Write `content` as JSON, aside and renamed."""
    text = json.dumps(content, indent=2, allow_nan=False) + "\n"
    save_atomically(path, lambda partial: Path(partial).write_text(text))
