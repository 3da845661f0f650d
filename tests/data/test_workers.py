"""Processes that read ahead: as many as shared memory has room for, and what befalls them in one sentence."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import warnings
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from torch._utils import ExceptionWrapper
from torch.utils.data import DataLoader, Subset, get_worker_info

from ssamba.audio.reading import AudioError
from ssamba.data import AudioDataset, FeatureCache, make_loader, read_manifest, workers
from ssamba.data.workers import WorkerError, affordable_workers, batch_bytes, naming_worker_faults, shared_bytes


@pytest.fixture
def manifest(write_wav, tmp_path):
    """Twelve clips of three classes."""
    for number in range(12):
        write_wav(f"clips/{number % 3}/{number}.wav", seconds=0.3 + 0.03 * number, seed=number)
    return read_manifest(tmp_path / "clips")


@pytest.fixture
def dataset(manifest):
    return AudioDataset(manifest, seconds=0.25)


def read(loader):
    try:
        with naming_worker_faults(loader):
            return list(loader)
    finally:
        if loader.num_workers:
            loader._iterator._shutdown_workers()  # which takes torch 5 s each where it is left to the garbage collector


def fault(loader) -> str:
    with pytest.raises(WorkerError) as caught:
        read(loader)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 1
    return str(caught.value)


def in_workers(monkeypatch, action):
    """`action()` in the process that reads, before each clip, if that is a worker."""
    original = AudioDataset._item_if_readable

    def patched(dataset, index):
        if get_worker_info() is not None:
            action()
        return original(dataset, index)

    monkeypatch.setattr(AudioDataset, "_item_if_readable", patched)


def test_bytes_of_a_batch(dataset, manifest, tmp_path):
    read_whole = AudioDataset(manifest)
    cached = AudioDataset(manifest, seconds=0.25, feature_cache=FeatureCache(tmp_path / "cache"))
    assert batch_bytes(dataset, 8) == 4 * 8 * (4000 + 3)
    assert batch_bytes(Subset(dataset, [0]), 8) == batch_bytes(dataset, 8)
    assert batch_bytes(read_whole, 2) == 4 * 2 * (round(16000 * read_whole.durations.max()) + 3)
    assert batch_bytes(cached, 1) == 4 * (25 * 128 + 3)
    for data in (dataset, read_whole, cached):
        for batch in make_loader(data, 4, shuffle=False, seed=0):
            sound = batch["log_mel"] if "log_mel" in batch else batch["wave"]
            assert sound.nbytes + batch["labels"].nbytes <= batch_bytes(data, 4)


@pytest.mark.parametrize(("free", "fewer"), [(12, 2), (11, 1), (8, 1), (7, 0), (0, 0), (10**6, 4)])
def test_fewer_where_shared_memory_is_small(free, fewer, dataset, monkeypatch, caplog):
    batch = batch_bytes(dataset, 8)
    assert shared_bytes(batch, 2) == 12 * batch
    usage = shutil._ntuple_diskusage(total=free * batch, used=0, free=free * batch)
    monkeypatch.setattr(workers.shutil, "disk_usage", lambda folder: usage)
    monkeypatch.setattr(workers, "SHARED_MEMORY", Path("/"))
    assert affordable_workers(dataset, 8, 4) == fewer
    if fewer == 4:
        assert caplog.messages == []
    else:
        (message,) = caplog.messages
        assert message.startswith("/ has ")
        assert f"free, 4 workers may need 2.56 MB: reading with {f'{fewer} of them' if fewer else 'none'}; " in message
        assert message.endswith("(docker run --shm-size=1g), or take fewer --workers or a smaller --batch-size")
    monkeypatch.setattr(workers, "SHARED_MEMORY", Path("/nowhere"))  # macOS
    assert affordable_workers(dataset, 8, 4) == 4


def test_no_room_at_all_reads_the_same(dataset, monkeypatch):
    expected = read(make_loader(dataset, 4, shuffle=True, seed=3))
    monkeypatch.setattr(workers, "shared_bytes", lambda batch, workers: 10**18)
    loader = make_loader(dataset, 4, shuffle=True, seed=3, num_workers=2)
    assert loader.num_workers == 0
    for one, other in zip(read(loader), expected, strict=True):
        assert all(torch.equal(one[name], other[name]) for name in one)


def test_shared_memory_that_is_full_ends_the_reading(dataset, monkeypatch):
    def refuse(tensor):
        raise RuntimeError(
            "unable to allocate shared memory(shm) for file </torch_12_34_0>: No space left on device (28)"
        )

    monkeypatch.setattr(torch.Tensor, "share_memory_", refuse)
    text = fault(make_loader(dataset, 4, shuffle=False, seed=0, num_workers=2))
    assert text.startswith("shared memory is full: ")
    assert "2 workers may need " in text
    assert text.endswith("smaller --batch-size, or --workers 0")


def test_batches_of_workers_lie_in_shared_memory(dataset):
    for batch in make_loader(dataset, 4, shuffle=False, seed=0, num_workers=1):
        assert all(tensor.is_shared() for tensor in batch.values())


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (
            signal.SIGKILL,
            "a worker process was killed, most likely because memory ran out; ",
        ),
        (signal.SIGBUS, "shared memory is full: "),
        (signal.SIGSEGV, "a worker process has ended ("),
    ],
)
def test_workers_that_die(number, said, dataset, monkeypatch):
    in_workers(monkeypatch, lambda: os.kill(os.getpid(), number))
    assert fault(make_loader(dataset, 4, shuffle=False, seed=0, num_workers=1)).startswith(said)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_to_all_processes_are_left_to_the_main_one(number, dataset, monkeypatch):
    sent = []

    def send():
        if not sent:
            sent.append(number)
            os.kill(os.getpid(), number)

    in_workers(monkeypatch, send)
    assert len(read(make_loader(dataset, 4, shuffle=False, seed=0, num_workers=1))) == 3


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("Too many open files. Communication with the workers is no longer possible."),
        RuntimeError("received 0 items of ancdata"),
        OSError(24, "Too many open files"),
    ],
)
def test_too_many_open_files(error, dataset):
    said = r"2 workers hold more files open than are allowed; .*ulimit -n"
    with pytest.raises(WorkerError, match=said), naming_worker_faults(DataLoader(dataset, num_workers=2)):
        raise error


def test_a_file_that_stops_a_strict_data_set_is_named(manifest):
    """As torch brings an error from a worker, in which the traceback there is part of the message."""
    silent = manifest.clips[5].path
    soundfile.write(silent, np.zeros(8000), 16000)
    dataset = AudioDataset(manifest, seconds=0.25, strict=True)
    try:
        dataset[5]
    except AudioError:
        brought = ExceptionWrapper(where="in DataLoader worker process 0")
    with pytest.raises(AudioError) as caught, naming_worker_faults(DataLoader(dataset, num_workers=1)):
        brought.reraise()
    assert (caught.value.path, caught.value.reason) == (silent, "is silent: every sample is 0")
    with pytest.raises(AudioError, match=r"^x: is short$"), naming_worker_faults(DataLoader(dataset)):
        raise AudioError("x", "is short")


def test_other_errors_pass(dataset, monkeypatch):
    for count, error in [(2, RuntimeError("a bug")), (2, OSError(28, "full", "a")), (0, RuntimeError("Bus error"))]:
        with pytest.raises(type(error)) as caught, naming_worker_faults(DataLoader(dataset, num_workers=count)):
            raise error
        assert caught.value is error


def test_more_workers_than_processors_are_nobody_elses_business(dataset, caplog):
    with warnings.catch_warnings(record=True) as caught, caplog.at_level(logging.WARNING):
        make_loader(dataset, 4, shuffle=False, seed=0, num_workers=50)
    assert caught == []
    assert caplog.messages == []
