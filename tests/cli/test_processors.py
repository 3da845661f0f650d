"""How many processors a process may use, from made-up control groups."""

from __future__ import annotations

import io
import os

import pytest

from ssamba.cli import diagnosis, processors


@pytest.fixture
def system(tmp_path):
    """system(groups of the process, **files under sys/fs/cgroup) -> the root of a file system that has them."""

    def make(groups, files=()):
        own = tmp_path / "proc" / "self" / "cgroup"
        own.parent.mkdir(parents=True)
        own.write_text(groups)
        for name, text in dict(files).items():
            file = tmp_path / "sys" / "fs" / "cgroup" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        return tmp_path

    return make


V1 = "12:memory:/docker/ab\n4:cpu,cpuacct:/docker/ab\n3:cpuset:/docker/ab\n1:name=systemd:/docker/ab\n"


@pytest.mark.parametrize(
    ("groups", "files", "expected"),
    [
        pytest.param("0::/\n", {"cpu.max": "150000 100000\n"}, 1.5, id="version 2, a container's own root"),
        pytest.param("0::/a/b\n", {"a/b/cpu.max": "max 100000\n"}, None, id="version 2, max"),
        pytest.param(
            "0::/a/b/c\n",
            {"a/cpu.max": "50000 100000\n", "a/b/cpu.max": "400000 100000\n", "a/b/c/cpu.max": "max 100000\n"},
            0.5,
            id="version 2, the least of all around",
        ),
        pytest.param("0::/\n", {}, None, id="version 2, the system's root"),
        pytest.param("0::/../../host\n", {"cpu.max": "200000 100000\n"}, 2.0, id="version 2, named from outside"),
        pytest.param(
            V1,
            {"cpu,cpuacct/docker/ab/cpu.cfs_quota_us": "300000", "cpu,cpuacct/docker/ab/cpu.cfs_period_us": "100000"},
            3.0,
            id="version 1",
        ),
        pytest.param(
            V1,
            {"cpu/cpu.cfs_quota_us": "25000\n", "cpu/cpu.cfs_period_us": "50000\n"},
            0.5,
            id="version 1, in a container",
        ),
        pytest.param(
            "1:cpu:/\n0::/\n",
            {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n", "unified/cgroup.procs": ""},
            None,
            id="both versions, none",
        ),
        pytest.param("2:cpuset:/a\n", {"cpu/cpu.cfs_quota_us": "1\n"}, None, id="no controller of processors"),
        pytest.param("0::/\n", {"cpu.max": "plenty\n"}, None, id="no numbers"),
        pytest.param("0::/\n", {"cpu.max": "100000 0\n"}, None, id="no period"),
        pytest.param("nonsense\n\n", {}, None, id="no groups"),
    ],
)
def test_quota(system, groups, files, expected):
    assert processors.quota(system(groups, files)) == expected


def test_no_quota_where_nothing_can_be_read(tmp_path):
    """On another system than Linux, or where a file is none."""
    assert processors.quota(tmp_path) is None
    (tmp_path / "proc" / "self" / "cgroup").mkdir(parents=True)
    assert processors.quota(tmp_path) is None


def test_affinity(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {1, 5, 6}, raising=False)
    assert processors.affinity() == 3
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 7)
    assert processors.affinity() == 7


@pytest.mark.parametrize(
    ("threads", "allowed", "limit", "hint"),
    [
        (8, 8, None, None),
        (1, 8, 0.5, None),
        (2, 8, 1.5, None),
        (8, 8, 2.0, "threads 8, but this container may use 2 processors: set OMP_NUM_THREADS=2 (or torch"),
        (8, 8, 1.5, "threads 8, but this container may use 1.5 processors: set OMP_NUM_THREADS=2 (or torch"),
        (8, 1, 4.0, "threads 8, but this process may use 1 processor: set OMP_NUM_THREADS=1 (or torch"),
    ],
)
def test_too_many_threads(threads, allowed, limit, hint):
    found = processors.too_many(threads, allowed, limit)
    assert found is None if hint is None else found.startswith(hint)


def test_doctor_gives_a_hint_and_finds_no_problem(monkeypatch):
    monkeypatch.setattr(processors, "affinity", lambda: 8)
    monkeypatch.setattr(processors, "quota", lambda: 2.0)
    monkeypatch.setattr(os, "cpu_count", lambda: 16)
    monkeypatch.setattr("torch.get_num_threads", lambda: 8)
    monkeypatch.setattr(diagnosis, "_kernels", lambda stream, advice: None)
    monkeypatch.setenv("OMP_NUM_THREADS", "8")
    stream = io.StringIO()
    assert diagnosis.run(stream) == 0
    lines = stream.getvalue().splitlines()
    assert "processors       8 of 16 by affinity, 2 by quota" in lines
    assert "threads          8 (OMP_NUM_THREADS=8)" in lines
    assert lines[-2].startswith("hint: threads 8, but this container may use 2 processors: set OMP_NUM_THREADS=2 ")
    assert lines[-1] == "No problem found."
    monkeypatch.delenv("OMP_NUM_THREADS")
    stream = io.StringIO()
    diagnosis.run(stream)
    assert "threads          8" in stream.getvalue().splitlines()
