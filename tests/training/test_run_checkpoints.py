"""Checkpoint directories under crashes, and finding them."""

from __future__ import annotations

import errno
import os

import pytest
import torch

from ssamba.training import checkpoints
from ssamba.training.checkpoints import (
    clear_unfinished,
    load_training_state,
    recover,
    replace_directory,
    resolve_checkpoint,
    save_training_state,
)


class Crash(BaseException):
    pass


def writer(text):
    def write(path):
        (path / "model.safetensors").write_text(text)
        (path / "config.json").write_text(text)

    return write


def content(path):
    return {file.name: file.read_text() for file in path.iterdir()}


WHOLE = {text: {"model.safetensors": text, "config.json": text} for text in ("old", "new")}


def test_replaces_everything(tmp_path):
    target = tmp_path / "deep" / "last"
    replace_directory(target, writer("old"))
    (target / "stale").write_text("x")
    replace_directory(target, writer("new"))
    assert content(target) == WHOLE["new"]
    assert [path.name for path in target.parent.iterdir()] == ["last"]


def test_crash_while_writing_keeps_the_old(tmp_path):
    target = tmp_path / "checkpoints" / "last"
    replace_directory(target, writer("old"))

    def half(path):
        (path / "model.safetensors").write_text("ne")
        raise Crash

    with pytest.raises(Crash):
        replace_directory(target, half)
    assert content(resolve_checkpoint(tmp_path)) == WHOLE["old"]
    replace_directory(target, writer("new"))
    assert content(target) == WHOLE["new"]


@pytest.mark.parametrize("renames", [0, 1, 2])
def test_crash_at_each_rename_leaves_one_whole_checkpoint(renames, tmp_path, monkeypatch):
    target = tmp_path / "checkpoints" / "last"
    replace_directory(target, writer("old"))
    done, real = [], os.replace

    def crashing(source, destination):
        if len(done) == renames:
            raise Crash
        done.append(source)
        real(source, destination)

    monkeypatch.setattr(checkpoints.os, "replace", crashing)
    if renames < 2:
        with pytest.raises(Crash):
            replace_directory(target, writer("new"))
    else:  # the crash comes after the second rename, while the old one is removed
        monkeypatch.setattr(
            checkpoints.shutil, "rmtree", lambda path, **options: (_ for _ in ()).throw(Crash()) if done else None
        )
        with pytest.raises(Crash):
            replace_directory(target, writer("new"))
    monkeypatch.undo()
    left = sorted(path.name for path in target.parent.iterdir())
    found = resolve_checkpoint(tmp_path)
    assert found == resolve_checkpoint(target) == (target.with_name(".last.previous") if renames == 1 else target)
    assert content(found) == WHOLE["new" if renames == 2 else "old"]
    assert sorted(path.name for path in target.parent.iterdir()) == left  # a reader changes nothing
    recover(target)
    assert resolve_checkpoint(tmp_path) == target
    assert not target.with_name(".last.previous").exists()


@pytest.mark.parametrize("name", ["model.safetensors", None])
def test_what_cannot_be_written_leaves_the_old_and_is_called_by_its_own_name(name, tmp_path):
    target = tmp_path / "checkpoints" / "last"
    replace_directory(target, writer("old"))

    def refuse(path):
        (path / "config.json").write_text("new")
        raise OSError(errno.ENOSPC, "No space left on device", name and str(path / name))

    with pytest.raises(OSError, match="No space left on device") as caught:
        replace_directory(target, refuse)
    assert caught.value.filename == (name and str(target / name))
    assert content(target) == WHOLE["old"]
    assert [path.name for path in target.parent.iterdir()] == ["last"]


def test_a_reader_that_holds_files_open_does_not_end_the_training(tmp_path, monkeypatch):
    """On NFS a directory stays as long as somebody reads what was in it."""
    target = tmp_path / "checkpoints" / "last"
    with monkeypatch.context() as patch:
        patch.setattr(checkpoints.shutil, "rmtree", lambda path, **options: None)
        for text in ("old", "old", "new"):
            replace_directory(target, writer(text))
    assert content(target) == WHOLE["new"]
    clear_unfinished(target.parent)
    assert [path.name for path in target.parent.iterdir()] == ["last"]


def test_resolve(tmp_path):
    run = tmp_path / "run"
    replace_directory(run / "checkpoints" / "last", writer("old"))
    assert resolve_checkpoint(run) == run / "checkpoints" / "last"
    replace_directory(run / "checkpoints" / "best", writer("new"))
    best = run / "checkpoints" / "best"
    assert resolve_checkpoint(run) == resolve_checkpoint(run / "checkpoints") == resolve_checkpoint(best) == best
    with pytest.raises(ValueError, match="does not exist"):
        resolve_checkpoint(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"is not a checkpoint or run directory: it holds no model.safetensors"):
        resolve_checkpoint(tmp_path / "empty")
    (tmp_path / "young" / "checkpoints").mkdir(parents=True)
    with pytest.raises(ValueError, match="has not saved a checkpoint yet"):
        resolve_checkpoint(tmp_path / "young")


def test_training_state_is_plain_data(tmp_path):
    state = {"position": {"step": 3}, "optimizer": {"state": {0: {"exp_avg": torch.ones(2)}}}, "scaler": None}
    save_training_state(tmp_path, state)
    loaded = torch.load(tmp_path / "training_state.pt", weights_only=True)
    assert loaded["position"] == {"step": 3}
    assert torch.equal(loaded["optimizer"]["state"][0]["exp_avg"], torch.ones(2))
    (tmp_path / "training_state.pt").write_bytes(b"not a zip file")
    with pytest.raises(ValueError, match=r"training_state.pt is damaged"):
        load_training_state(tmp_path)
    (tmp_path / "training_state.pt").unlink()
    with pytest.raises(ValueError, match=r"holds no training_state.pt"):
        load_training_state(tmp_path)
