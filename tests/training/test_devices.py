"""Where inference runs, and what a launcher's variables do to it: nothing."""

from __future__ import annotations

import os

import pytest
import torch
from accelerate.state import AcceleratorState, PartialState

from ssamba.training.devices import alone, inference_device, is_main_process


@pytest.fixture
def second_of_two(monkeypatch):
    """As a launcher leaves its variables; there is nobody at the other end."""
    for name, value in {"RANK": "1", "LOCAL_RANK": "1", "WORLD_SIZE": "2", "PMI_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("MASTER_ADDR", raising=False)
    AcceleratorState._reset_state(reset_partial_state=True)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.mark.parametrize(
    ("gpus", "name", "expected"),
    [(0, "auto", "cpu"), (2, "auto", "cuda"), (2, "cpu", "cpu"), (1, "cuda", "cuda"), (2, "cuda:1", "cuda:1")],
)
def test_names(monkeypatch, gpus, name, expected):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    assert inference_device(name) == torch.device(expected)


@pytest.mark.parametrize(
    ("gpus", "name", "message"),
    [
        (0, "cuda", "device is cuda, but torch sees no GPU here"),
        (1, "cuda:1", r"device is cuda:1, but torch sees cuda:0 only \(CUDA_VISIBLE_DEVICES may hide some\)"),
        (2, "cuda:2", "device is cuda:2, but torch sees cuda:0 to cuda:1 only"),
        (2, "gpu", "device is 'gpu', expected auto, cpu, cuda, or one of several GPUs such as cuda:1"),
        (2, "cuda:", "device is 'cuda:', expected"),
    ],
)
def test_devices_that_are_not_there(monkeypatch, gpus, name, message):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    with pytest.raises(ValueError, match=message):
        inference_device(name)


def test_alone_in_spite_of_a_launcher(second_of_two):
    assert is_main_process()
    with alone():
        assert PartialState().num_processes == 1
        assert not {"RANK", "LOCAL_RANK", "WORLD_SIZE", "PMI_SIZE"} & set(os.environ)
    assert os.environ["RANK"] == "1"


@pytest.mark.parametrize("verb", ["predict", "embed", "stats", "evaluate"])
def test_verbs_of_one_process(second_of_two, tones, tmp_path, verb):
    from ssamba import SSAMBA, SSAMBAConfig
    from ssamba.cli import main

    config = SSAMBAConfig.tiny(embed_dim=16, depth=2, input_tdim=32, classes=("high", "low", "mid"))
    SSAMBA(config).save_pretrained(tmp_path / "model")
    options = {
        "predict": ["--checkpoint", tmp_path / "model", tones / "low"],
        "embed": ["--checkpoint", tmp_path / "model", "--out", tmp_path / "f.npz", tones / "low"],
        "stats": ["--data", tones, "--feature-cache", tmp_path / "cache"],
        "evaluate": ["--checkpoint", tmp_path / "model", "--data", tones],
    }[verb]
    assert main([verb, *map(str, options)]) == 0
