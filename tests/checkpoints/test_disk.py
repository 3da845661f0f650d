"""Files on disks that refuse them, and who may read them."""

from __future__ import annotations

import errno
import os
import shutil
import stat

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from full_disk import files_up_to
from ssamba.checkpoints import disk
from ssamba.checkpoints.folder import save_atomically, save_objects, unfinished_files

TENSORS = {"a": torch.zeros(1000)}
WRITERS = {
    "safetensors": lambda path: save_file(TENSORS, path),
    "torch": lambda path: save_objects(path, TENSORS),
    "text": lambda path: path.write_text("x" * 4000),
}


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS.keys())
def test_the_old_file_stays_and_the_error_names_it(write, tmp_path):
    file = tmp_path / "file"
    file.write_text("old")
    reason = "File too large: more than this file system or ulimit -f allows"
    with pytest.raises(OSError, match=reason) as caught, files_up_to(2000):
        save_atomically(file, write)
    assert (caught.value.errno, caught.value.filename) == (errno.EFBIG, str(file))
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert file.read_text() == "old"


def refusing(error):
    def write(path):
        raise error(path)

    return write


FULL = os.strerror(errno.ENOSPC)


def torch_fails(path):
    """As torch does, whose archive cannot be closed after what it was in cannot be written."""
    error = RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 576 vs 534")
    error.__context__ = OSError(errno.ENOSPC, FULL)
    return error


@pytest.mark.parametrize(
    "error",
    [
        lambda path: OSError(errno.ENOSPC, FULL),
        lambda path: OSError(errno.ENOSPC, FULL, str(path)),
        lambda path: SafetensorError(f"Error while serializing: I/O error: {FULL} (os error 28)"),
        torch_fails,
    ],
)
def test_a_full_disk_says_what_is_free(error, tmp_path, monkeypatch):
    usage = shutil._ntuple_diskusage(total=10**7, used=10**7 - 410_000, free=410_000)
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda folder: usage)
    with pytest.raises(OSError, match=rf"{FULL} \(more is needed than the 410 kB that are free\)") as caught:
        save_atomically(tmp_path / "file", refusing(error))
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, str(tmp_path / "file"))
    assert list(tmp_path.iterdir()) == []


def test_a_disk_without_inodes(tmp_path, monkeypatch):
    found = os.statvfs(tmp_path)
    values = [0 if name == "f_favail" else 1 for name in ("f_bsize",) * 7 + ("f_favail",) + ("f_flag",) * 2]
    monkeypatch.setattr(disk.os, "statvfs", lambda folder: type(found)(values))
    assert "no inodes left" in disk.refused(OSError(errno.ENOSPC, FULL), tmp_path / "file").strerror


def test_other_errors_are_what_they_are(tmp_path):
    for error in (OSError(errno.ENOENT, "gone", "elsewhere"), ValueError("x"), RuntimeError("x"), SafetensorError("x")):
        with pytest.raises(type(error)) as caught:
            save_atomically(tmp_path / "file", refusing(lambda path, error=error: error))
        assert caught.value is error
    with pytest.raises(PermissionError) as caught:
        save_atomically(
            tmp_path / "file", refusing(lambda path: PermissionError(errno.EACCES, "Permission denied", str(path)))
        )
    assert (caught.value.filename, caught.value.strerror) == (str(tmp_path / "file"), "Permission denied")


@pytest.mark.parametrize("mask", [0o002, 0o022, 0o077])
def test_who_may_read_is_up_to_the_umask(mask, tmp_path, make_model):
    from ssamba.training.checkpoints import replace_directory, save_training_state

    def write(path):
        make_model().save_pretrained(path)
        save_training_state(path, {"position": {}})

    before = os.umask(mask)
    try:
        replace_directory(tmp_path / "checkpoints" / "last", write)
        make_model().frozen().save_pretrained(tmp_path / "frozen")
        make_model(layout="paired").save_official(tmp_path / "official.pth")
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.rglob("*")}
    files = {"config.json", "model.safetensors", "frozen.safetensors", "training_state.pt", "official.pth"}
    assert modes == {name: (0o666 if name in files else 0o777) & ~mask for name in modes}
    assert files <= modes.keys()


def test_what_a_killed_process_left_is_known(tmp_path):
    class Killed(BaseException):
        pass

    left = []

    def write(path):
        left.append(shutil.copy(__file__, path).name)
        shutil.copy(path, tmp_path / "copy")
        raise Killed

    with pytest.raises(Killed):
        save_atomically(tmp_path / "file.json", write)
    (tmp_path / "copy").rename(tmp_path / left[0])
    (tmp_path / ".notes.part").write_text("somebody's own")
    assert unfinished_files(tmp_path) == [tmp_path / left[0]]
