"""A run directory is one process's at a time, and not a dead one's."""

from __future__ import annotations

import errno
import json
import os
import platform
import re
import signal
import time
from contextlib import contextmanager

import pytest

from ssamba.training import PretrainSettings, RepeatSettings, pretrain, repeat, run_lock
from ssamba.training.run_lock import LOCK, locked
from tone_clips import TINY

IN_USE = (
    r"is in use by process {pid} on {host} since \d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d; wait for it to end, or choose .*"
)


def in_use(directory, pid):
    return re.escape(str(directory)) + " " + IN_USE.format(pid=pid, host=re.escape(platform.node()))


@contextmanager
def child(work):
    """A forked process that does `work(ready)` and then sleeps; given once `ready(*numbers)` was called in it."""
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            work(lambda *numbers: os.write(writing, json.dumps(numbers).encode()))
            time.sleep(60)
        finally:
            os._exit(1)
    try:
        yield pid, json.loads(os.read(reading, 100))
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(reading)
        os.close(writing)


def test_the_second_is_refused_and_nothing_is_left_behind(tmp_path):
    run = tmp_path / "deep" / "run"
    with locked(run):
        with pytest.raises(ValueError, match=in_use(run, os.getpid())), locked(run):
            pass
        with locked(tmp_path / "deep" / "other"):
            pass
        assert [path.name for path in run.iterdir()] == [LOCK]
    assert list(tmp_path.iterdir()) == []
    run.mkdir(parents=True)
    with locked(run):
        (run / "config.json").write_text("{}")
    assert [path.name for path in run.iterdir()] == ["config.json"]


def test_a_living_process_holds_it_and_a_killed_one_does_not(tmp_path):
    run = tmp_path / "run"

    def work(ready):
        with locked(run):
            ready()
            time.sleep(60)

    with child(work) as (pid, _), pytest.raises(ValueError, match=in_use(run, pid)), locked(run):
        pass
    assert (run / LOCK).exists()
    with locked(run):
        assert json.loads((run / LOCK).read_text())["pid"] == os.getpid()


def test_a_worker_that_outlives_its_parent_does_not_hold_it(tmp_path):
    def work(ready):
        with locked(tmp_path):
            worker = os.fork()
            if worker:
                ready(worker)
            time.sleep(60)

    with child(work) as (parent, (worker,)):
        os.kill(parent, signal.SIGSTOP)  # so that it is there to be reaped by the end of the block
        with pytest.raises(ValueError, match="is in use by process"), locked(tmp_path):
            pass
        os.kill(parent, signal.SIGKILL)
        deadline = time.monotonic() + 10
        while True:
            try:
                with locked(tmp_path):
                    break
            except ValueError:
                assert time.monotonic() < deadline, "the worker holds the lock"
                time.sleep(0.01)
        os.kill(worker, 0)  # it still lives
        os.kill(worker, signal.SIGKILL)


def test_a_file_that_was_just_removed_is_not_the_lock(tmp_path, monkeypatch):
    real, taken = run_lock.try_lock, []

    def slow(descriptor, directory):
        if not taken:
            (directory / LOCK).unlink()  # by the holder, between our opening and our locking it
        taken.append(descriptor)
        return real(descriptor, directory)

    monkeypatch.setattr(run_lock, "try_lock", slow)
    with locked(tmp_path):
        assert len(taken) == 2
        monkeypatch.undo()
        with pytest.raises(ValueError, match="is in use"), locked(tmp_path):
            pass


def test_where_there_are_no_locks_a_line_says_so(tmp_path, monkeypatch, capsys):
    def flock(descriptor, how):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(run_lock.fcntl, "flock", flock)
    with locked(tmp_path):
        assert capsys.readouterr().err == (
            f"{tmp_path}: this file system has no locks ({os.strerror(errno.ENOLCK)}); start no second process there\n"
        )
    monkeypatch.setattr(run_lock, "fcntl", None)  # Windows
    with locked(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_named(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("x")
    with (
        pytest.raises(ValueError, match=r"out is .*/file, which is a file; give a directory"),
        locked(tmp_path / "file"),
    ):
        pass

    def refuse(path, flags, mode=0o777):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    monkeypatch.setattr(run_lock.os, "open", refuse)
    with pytest.raises(OSError, match="cannot be written: Read-only file system") as caught, locked(tmp_path):
        pass
    monkeypatch.undo()
    assert caught.value.filename == str(tmp_path)


def test_training_is_refused_in_a_directory_that_is_in_use(tones, tmp_path):
    settings = {**TINY, "data": str(tones), "out": str(tmp_path / "run"), "max_steps": 1}
    with locked(tmp_path / "run"):
        for resume in (False, True):
            with pytest.raises(ValueError, match="is in use by process"):
                pretrain(PretrainSettings(**settings, resume=resume))
        with pytest.raises(ValueError, match="is in use by process"):
            repeat(RepeatSettings(**settings, test=str(tones)))
        assert [path.name for path in (tmp_path / "run").iterdir()] == [LOCK]
    assert pretrain(PretrainSettings(**settings)).status == "finished"
    assert not (tmp_path / "run" / LOCK).exists()
