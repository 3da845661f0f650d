"""The directory of one run: what it was started with, and whether it may be continued."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.metadata
import json
import os
import platform
import shutil
from pathlib import Path
from typing import Any

from ..checkpoints.folder import save_atomically, unfinished_files
from .checkpoints import WEIGHTS, clear_unfinished, resolve_checkpoint
from .options import Settings
from .progress import say
from .run_lock import LOCK

_SOURCES = ("data", "validation", "test", "label_csv", "audio_root")  # paths that a resumed run reads again
_HELPERS = ("pretrained", "feature_cache")  # paths that it can do without
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


def fingerprint(clips: list[tuple[str, tuple[str, ...]]], root: str | None = None) -> dict[str, Any]:
    """Number of clips and a hash of their paths and labels, to notice a data set that changed between two starts.

    With `root`, where the data set lies, also a hash that stays the same when all of it is moved: of the paths from
    there, the sizes of the files, and the labels. Without the sizes a copy at another rate would pass for the same.
    """
    digest, moved = hashlib.sha256(), hashlib.sha256()
    below = os.path.join(root or "", "")
    for path, labels in clips:
        digest.update(json.dumps([os.path.abspath(path), *labels]).encode())
        if root is not None:
            name = path[len(below) :] if path.startswith(below) else os.path.relpath(path, root)
            moved.update(json.dumps([name.replace(os.sep, "/"), _size(path), *labels]).encode())
    found = {"clips": len(clips), "sha256": digest.hexdigest()}
    return found if root is None else {**found, "wherever": moved.hexdigest()}


def _size(path: str) -> int | None:
    try:
        return os.path.getsize(path)
    except OSError:
        return None


def same_facts(saved: Any, now: Any) -> bool:
    """Whether two facts of a run are equal; of two fingerprints it is enough that one of their hashes is."""
    if not (isinstance(saved, dict) and isinstance(now, dict) and "sha256" in now):
        return saved == now
    hashes = [name for name in ("sha256", "wherever") if name in saved]
    return saved["clips"] == now["clips"] and any(saved[name] == now.get(name) for name in hashes)


def absolute_settings(settings: Settings) -> dict[str, Any]:
    """The settings as a dict with absolute paths, so that a run can be resumed from another folder."""
    values = settings.to_dict()
    return {k: os.path.abspath(v) if k in settings.paths() and isinstance(v, str) else v for k, v in values.items()}


def holds_nothing(folder: Path) -> bool:
    """Whether a folder is empty, but for what a start that was killed left there."""
    unfinished = unfinished_files(folder)
    return all(path.name == LOCK or path in unfinished for path in folder.iterdir())


def read_run_config(out: str | Path, verb: str) -> dict[str, Any] | None:
    """config.json of the `verb` run in `out`; None if there is no run; ValueError for another."""
    file = Path(out) / "config.json"
    if not file.is_file():
        return None
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        _, found = content["settings"], content["verb"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{file} is not the config.json of a run ({type(error).__name__}: {error})") from error
    if found != verb:
        raise ValueError(f"{out} holds a {found} run, not a {verb} run; choose another --out")
    return content


def saved_settings(out: str | Path, verb: str) -> dict[str, Any] | None:
    """The settings that the `verb` run in `out` was started with; None if there is no run; ValueError for another.

    If the run was moved together with what it reads, the paths are the new ones.
    """
    content = read_run_config(out, verb)
    if content is None:
        return None
    settings, here = content["settings"], os.path.abspath(out)
    there = settings.get("out")
    for name in (*_SOURCES, *_HELPERS):
        path = settings.get(name)
        if path and there and os.path.isabs(there) and not os.path.exists(path):
            beside = os.path.normpath(os.path.join(here, os.path.relpath(path, there)))
            if os.path.exists(beside):
                settings[name] = beside
    return {**settings, "out": str(out)}


def check_resumable(out: Path, saved: dict[str, Any], settings: Settings) -> dict[str, str]:
    """Raise ValueError unless `settings` may go on with what `saved` began; returns what lies elsewhere by now.

    Every setting that changes the result must be equal. Data may have moved, as the clips themselves are compared; a
    pretrained model that is gone from its place is not read any more.
    """
    now = absolute_settings(settings)
    moved = {name: now[name] for name in _SOURCES if saved.get(name) and now.get(name) and saved[name] != now[name]}
    free = {item.name for item in dataclasses.fields(settings) if not item.metadata["affects_result"]}
    free |= {"out", *moved}
    if saved.get("feature_cache") and now.get("feature_cache"):  # it matters that there is one, not where
        free.add("feature_cache")
    if saved.get("pretrained") and now.get("pretrained") and not os.path.exists(saved["pretrained"]):
        free.add("pretrained")
    changed = [
        f"{name} was {saved.get(name)!r}, now {now.get(name)!r}"
        for name in {**saved, **now}
        if name not in free and saved.get(name) != now.get(name)
    ]
    if changed:
        raise ValueError(
            f"the run in {out} was started with other settings: {'; '.join(changed)}; "
            "resume it with the same settings or choose another --out"
        )
    for name in _SOURCES:
        if now.get(name) and not os.path.exists(now[name]):
            raise ValueError(
                f"{name} of the run in {out} is {now[name]}, which does not exist any more; "
                f"give its new place with --{name.replace('_', '-')}"
            )
    return moved


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
        """True if there is a run to continue; call it before any long work, and while the directory is `locked`.

        Puts right what a killed process left. A run without any checkpoint has not begun, and is started anew.

        Raises ValueError if the directory is in use and `settings.resume` is off, holds something else, or was
        started with other settings.
        """
        config = read_run_config(self.path, verb)
        unfinished = unfinished_files(self.path)
        if config is None and not holds_nothing(self.path):
            raise ValueError(f"{self.path} is not empty and holds no run (no config.json); choose another --out")
        if config is None or not self.begun:
            self._clear(unfinished)
            self.metrics.unlink(missing_ok=True)
            shutil.rmtree(self.tensorboard, ignore_errors=True)
            return False
        if not settings.resume:
            raise ValueError(f"{self.path} already holds a run; continue it with --resume or choose another --out")
        moved = check_resumable(self.path, config["settings"], settings)
        self._clear(unfinished)
        if not (self.last / WEIGHTS).is_file():
            raise ValueError(f"{self.path} cannot be resumed: {self.last} is gone; choose another --out")
        for name, path in moved.items():
            say(f"{name} has moved: it was {config['settings'][name]}, now {path}")
        return True

    @property
    def begun(self) -> bool:
        """Whether a checkpoint was saved."""
        try:
            return bool(resolve_checkpoint(self.path))
        except ValueError:
            return False

    def _clear(self, unfinished: list[Path]) -> None:
        """Put right what a killed process left."""
        for path in unfinished:
            path.unlink(missing_ok=True)
        clear_unfinished(self.last.parent)

    def go_on(self, settings: Settings, facts: dict[str, Any]) -> None:
        """Note where the run and its data are now, if they were moved.

        Raises ValueError if data or number of processes are not those the run was started with.
        """
        saved = json.loads(self.config.read_text(encoding="utf-8"))
        for name, value in facts.items():
            if not same_facts(saved.get(name), value):
                raise ValueError(
                    f"the run in {self.path} cannot be resumed: {name} was {_brief(saved.get(name))}, "
                    f"now {_brief(value)}"
                )
        now = absolute_settings(settings)
        places = {name: now[name] for name in (*_SOURCES, *_HELPERS, "out") if now.get(name)}
        if any(saved["settings"].get(name) != path for name, path in places.items()):
            write_json(self.config, {**saved, "settings": {**saved["settings"], **places}, **facts})

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
    save_atomically(path, lambda partial: Path(partial).write_text(text, encoding="utf-8"))
