"""Saving and loading: nothing half written, nothing half loaded."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from ssamba.checkpoints.folder import save_atomically
from ssamba.encoder.position import adapt_position_table
from ssamba.model import SSAMBA


@pytest.fixture
def saved(make_model, tmp_path):
    model = make_model(classes=("a", "b", "c", "d", "e"))
    model.save_pretrained(tmp_path / "model")
    return model, tmp_path / "model"


def test_round_trip(saved, noise):
    model, directory = saved
    loaded = SSAMBA.from_pretrained(directory)
    assert loaded.config == model.config
    assert sorted(path.name for path in directory.iterdir()) == ["config.json", "model.safetensors"]
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, loaded.state_dict()[name]), name
    x = noise(1, 96, 128)
    with torch.no_grad():
        assert torch.equal(model.classify(x), loaded.eval().classify(x))


def test_overrides(saved):
    model, directory = saved
    other = SSAMBA.from_pretrained(directory, num_classes=3, input_tdim=200, fstride=10, tstride=10, drop_path=0.0)
    assert other.config.classes is None
    assert other.head[1].weight.shape == (3, 32)
    wanted = adapt_position_table(model.pos_embed.detach(), (8, 6), (12, 19), "sequential", (10 / 16, 10 / 16))
    assert torch.equal(other.pos_embed, wanted)
    assert torch.equal(other.layers[1].mixer.A_log, model.layers[1].mixer.A_log)
    renamed = SSAMBA.from_pretrained(directory, classes=("v", "w", "x", "y", "z"))
    assert not torch.equal(renamed.head[1].weight, model.head[1].weight)
    assert SSAMBA.from_pretrained(directory, num_classes=None).head is None
    kept = SSAMBA.from_pretrained(directory, num_classes=5, input_tdim=96)
    assert torch.equal(kept.head[1].weight, model.head[1].weight)


def test_overrides_that_the_weights_forbid(saved):
    _, directory = saved
    with pytest.raises(ValueError, match=r"bound to embed_dim 32 \(asked for 64\), layout 'sequential' \(asked"):
        SSAMBA.from_pretrained(directory, embed_dim=64, layout="paired")
    with pytest.raises(ValueError, match=r"unknown configuration field\(s\) colour"):
        SSAMBA.from_pretrained(directory, colour=3)


def test_missing_unexpected_and_misshapen_tensors_are_all_named(saved):
    _, directory = saved
    tensors = load_file(directory / "model.safetensors")
    del tensors["layers.1.mixer.D_b"]
    tensors["norm_f.bias"] = torch.zeros(31)
    tensors["extra"] = torch.zeros(2, 3)
    save_file(tensors, directory / "model.safetensors")
    with pytest.raises(ValueError, match="do not fit the model") as error:
        SSAMBA.from_pretrained(directory)
    for part in (
        str(directory),
        "missing layers.1.mixer.D_b (64,)",
        "unexpected extra (2, 3)",
        "norm_f.bias has shape (31,), the model wants (32,)",
    ):
        assert part in str(error.value)


def test_missing_files_and_broken_configurations(saved, tmp_path):
    _, directory = saved
    with pytest.raises(FileNotFoundError, match=r"nowhere holds no config.json; give a directory written by"):
        SSAMBA.from_pretrained(tmp_path / "nowhere")
    config = json.loads((directory / "config.json").read_text())
    (directory / "config.json").write_text(json.dumps({**config, "heads": 3}))
    with pytest.raises(ValueError, match=r"config.json: unknown configuration field\(s\) heads"):
        SSAMBA.from_pretrained(directory)
    (directory / "config.json").write_text("{")
    with pytest.raises(ValueError, match=r"config.json: Expecting property name"):
        SSAMBA.from_pretrained(directory)
    (directory / "model.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"holds no model.safetensors"):
        SSAMBA.from_pretrained(directory)


def test_a_directory_in_the_place_of_the_file(tmp_path):
    with pytest.raises(IsADirectoryError) as caught:
        save_atomically(tmp_path, lambda path: path.write_text("new"))
    assert caught.value.filename == str(tmp_path)


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "deep" / "file.txt"
    save_atomically(path, lambda partial: partial.write_text("old"))

    def fail(partial):
        partial.write_text("half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        save_atomically(path, fail)
    assert path.read_text() == "old"
    save_atomically(path, lambda partial: partial.write_text("new"))
    assert path.read_text() == "new"
    assert [entry.name for entry in path.parent.iterdir()] == ["file.txt"]


@pytest.mark.parametrize("keep", [0, 7, 40, -1])
def test_a_truncated_weights_file_is_refused(saved, keep):
    _, directory = saved
    file = directory / "model.safetensors"
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(ValueError, match=r"model is damaged: model.safetensors is cut short or no safetensors file"):
        SSAMBA.from_pretrained(directory)
