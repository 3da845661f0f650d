"""Published checkpoints: sizes read from the tensors, written back bit for bit, wrong files refused with the reason."""

from __future__ import annotations

import logging
import os
import re

import pytest
import torch
from safetensors.torch import save_file

from published_network import random_checkpoint
from ssamba.checkpoints.published import official_name
from ssamba.config import SSAMBAConfig
from ssamba.model import SSAMBA

HEADS = ("p_input_", "mask_embed", "cpredlayer.", "gpredlayer.")


@pytest.fixture
def state():
    """A pretraining checkpoint of 8 x 6 patches, by published names."""
    return random_checkpoint(width=16, depth=4, columns=6, state=4, conv=3, rank=2)


@pytest.fixture
def write(tmp_path):
    """write(state) -> path of a checkpoint."""

    def save(state, name="model.pth"):
        torch.save(state, tmp_path / name)
        return tmp_path / name

    return save


def finetuned(state, rows, columns, classes=3):
    """The checkpoint as fine-tuned on rows x columns patches."""
    generator = torch.Generator().manual_seed(5)
    state = {name: tensor for name, tensor in state.items() if not name.removeprefix("module.").startswith(HEADS)}
    width = state["module.v.cls_token"].shape[2]
    shapes = {"0.weight": (width,), "0.bias": (width,), "1.weight": (classes, width), "1.bias": (classes,)}
    head = {f"module.mlp_head.{name}": torch.randn(shape, generator=generator) for name, shape in shapes.items()}
    table = torch.randn(1, 1 + rows * columns, width, generator=generator)
    return {**state, **head, "module.v.pos_embed": table}


def assert_same_bits(first, second):
    assert set(first) == set(second)
    for name, tensor in first.items():
        assert tensor.dtype == second[name].dtype, name
        assert torch.equal(tensor, second[name]), name


def test_every_size_is_read_from_the_file(state, write):
    config = SSAMBA.from_official(write(state)).config
    assert config == SSAMBAConfig(
        embed_dim=16,
        depth=4,
        state_size=4,
        conv_width=3,
        dt_rank=2,
        input_tdim=96,
        layout="paired",
        masked_patches=37,
        features="compat",
        backward_dt_init="zero_bias",
    )


@pytest.mark.parametrize("norm", ["layernorm", "rmsnorm"])
@pytest.mark.parametrize("prefix", ["module.", ""])
def test_pretraining_round_trip(write, tmp_path, norm, prefix):
    state = random_checkpoint(width=16, depth=2, columns=6, norm=norm)
    model = SSAMBA.from_official(write({prefix + name.removeprefix("module."): state[name] for name in state}))
    assert model.config.norm == norm
    model.save_official(tmp_path / "again.pth")
    assert_same_bits(state, torch.load(tmp_path / "again.pth", weights_only=True))


def test_golden_round_trip(golden, tmp_path):
    SSAMBA.from_official(golden.path).save_official(tmp_path / "again.pth")
    assert_same_bits(golden.state, torch.load(tmp_path / "again.pth", weights_only=True))


@pytest.mark.parametrize("size", ["tiny", "small", "base"])
def test_names_and_shapes_of_the_published_sizes(golden, size):
    section = (golden.path.parent / "keys.txt").read_text().split(f"## {size}: ")[1]
    lines = re.split(r"\n## (?:tiny|small|base)", section)[0].splitlines()
    listed = dict(line.split("\t")[:2] for line in lines if line.startswith("module."))
    assert len(listed) == 451
    with torch.device("meta"):
        model = SSAMBA(getattr(SSAMBAConfig, size)(layout="paired"))
    own = {official_name(name): str(tuple(tensor.shape)) for name, tensor in model.state_dict().items()}
    not_ours = ("module.v.head.", "module.p_input_")
    assert {name: shape for name, shape in listed.items() if not name.startswith(not_ours)} == own


def test_finetuned_round_trip(state, write, tmp_path, caplog):
    stored = finetuned(state, 12, 9)
    with caplog.at_level(logging.INFO):
        model = SSAMBA.from_official(write(stored))
    assert (model.config.grid, model.config.num_classes, model.config.input_tdim) == ((12, 9), 3, 96)
    assert (model.config.fstride, model.config.tstride) == (10, 10)
    assert "without what pretraining needs" in caplog.text
    assert "1000-class head" in caplog.text
    model.save_official(tmp_path / "again.pth")
    assert_same_bits(stored, torch.load(tmp_path / "again.pth", weights_only=True))
    assert SSAMBA.from_official(tmp_path / "again.pth", num_classes=3).config == model.config


def test_through_a_directory_only_the_unused_head_is_lost(state, write, tmp_path):
    SSAMBA.from_official(write(state)).save_pretrained(tmp_path / "own")
    SSAMBA.from_pretrained(tmp_path / "own").save_official(tmp_path / "again.pth")
    blank = {name: torch.zeros_like(state[name]) for name in state if ".v.head." in name}
    assert len(blank) == 2
    assert_same_bits({**state, **blank}, torch.load(tmp_path / "again.pth", weights_only=True))


def test_overrides(state, write):
    model = SSAMBA.from_official(
        write(state), classes=("a", "b"), input_tdim=60, fstride=10, tstride=10, mean=-6.0, features="sound"
    )
    assert model.config.grid == (12, 5)
    assert (model.config.classes, model.config.mean, model.config.features) == (("a", "b"), -6.0, "sound")
    assert model.head[1].weight.shape == (2, 16)
    with pytest.raises(ValueError, match="bound to embed_dim 16"):
        SSAMBA.from_official(write(state), embed_dim=32)
    with pytest.raises(ValueError, match="input_tdim is 10 frames, less than one patch"):
        SSAMBA.from_official(write(state), input_tdim=10)
    with pytest.raises(ValueError, match="tstride 20 is larger than tshape 16"):
        SSAMBA.from_official(write(state), tstride=20)


@pytest.mark.parametrize(
    ("rows", "columns", "asked", "grid_or_error"),
    [
        (8, 64, {}, (8, 64)),
        (12, 101, {}, (12, 101)),
        (12, 50, {}, r"600 patches may be 8 x 75 \(strides 16 x 16\) or 12 x 50 \(strides 10 x 10\).*ssamba convert"),
        (12, 50, {"input_tdim": 512}, (12, 50)),
        (12, 50, {"fstride": 10, "tstride": 10}, (12, 50)),
        (8, 384, {"input_tdim": 6144}, (8, 384)),
        (12, 50, {"input_tdim": 1024}, r"600 patches, which strides 16 x 16 or 10 x 10 cannot make .* of 1024 frames"),
        (
            12,
            101,
            {"fstride": 16, "tstride": 16},
            r"1212 patches, which strides 16 x 16 cannot make from an input; give",
        ),
        (7, 1, {}, r"7 patches, which strides 16 x 16 or 10 x 10 cannot make"),
        (12, 50, {"input_tdim": 12}, "input_tdim is 12 frames, less than one patch"),
        (12, 50, {"fstride": 0}, "fstride must be at least 1"),
        (12, 50, {"fstride": 10, "tstride": 10, "num_classes": 5}, "fine-tuned to 3 classes, not 5; leave num_classes"),
    ],
)
def test_what_a_finetuned_file_does_not_say(state, write, rows, columns, asked, grid_or_error):
    path = write(finetuned(state, rows, columns))
    if isinstance(grid_or_error, tuple):
        assert SSAMBA.from_official(path, **asked).config.grid == grid_or_error
        return
    with pytest.raises(ValueError, match=grid_or_error) as error:
        SSAMBA.from_official(path, **asked)
    assert str(path) in str(error.value)


def without(state, *parts):
    return {name: tensor for name, tensor in state.items() if not any(part in name for part in parts)}


INCOMPLETE = {
    "norms mixed": (
        lambda s: without(s, "layers.1.norm.bias", "layers.2.norm.bias"),
        r"missing module.v.layers.1.norm.bias \(16,\)\s+missing module.v.layers.2.norm.bias \(16,\)",
    ),
    "layer left out": (lambda s: without(s, "layers.2."), "layers are not numbered without gaps: 0, 1, 3"),
    "part of a layer left out": (
        lambda s: without(s, "layers.2.mixer.A_b", "layers.2.mixer.D_b"),
        r"missing module.v.layers.2.mixer.A_b_log \(32, 4\)\s+missing module.v.layers.2.mixer.D_b \(32,\)",
    ),
    "odd depth": (lambda s: without(s, "layers.3."), "model.pth: depth is 3; the paired layout needs an even number"),
    "prediction head": (lambda s: without(s, "gpredlayer.2"), r"missing module.gpredlayer.2.weight \(256, 16\)"),
    "class head": (
        lambda s: without(finetuned(s, 8, 6), "mlp_head.1.weight"),
        r"no mlp_head.1.weight of shape \(classes, D\)",
    ),
    "both forms": (
        lambda s: {**finetuned(s, 8, 64), "module.mask_embed": s["module.mask_embed"]},
        r"unexpected module.mask_embed \(1, 1, 16\)",
    ),
    "more": (lambda s: {**s, "module.v.rope.freqs": torch.ones(3)}, r"unexpected module.v.rope.freqs \(3,\)"),
    "other names": (lambda s: {**s, "module.cls_token": torch.ones(3)}, r"does not have: cls_token \(3,\)"),
    "other unused head": (
        lambda s: {**s, "module.v.head.weight": torch.ones(50, 16)},
        r"does not have: v.head.weight \(50, 16\)",
    ),
    "misshapen": (
        lambda s: {**s, "module.v.norm_f.bias": torch.ones(15)},
        r"module.v.norm_f.bias has shape \(15,\), the model wants \(16,\)",
    ),
    "twice": (lambda s: {**s, "v.norm_f.bias": torch.ones(16)}, "same name with and without 'module.'"),
    "sizes": (lambda s: without(s, "p_input_fdim"), "no single number p_input_fdim, so its input size is unknown"),
    "neither form": (lambda s: without(s, "p_input"), r"neither p_input_fdim .* nor mlp_head.\* \(fine-tuned\)"),
    "other input": (
        lambda s: {**s, "module.p_input_tdim": torch.tensor(128)},
        "position table holds 48 patches, but its input of 128 x 128 cut into 16 x 16 makes 64",
    ),
    "half precision": (
        lambda s: {**s, "module.mask_embed": s["module.mask_embed"].half()},
        "published checkpoints are float32, but it holds mask_embed torch.float16",
    ),
    "not finite": (
        lambda s: {**s, "module.v.norm_f.bias": torch.full((16,), torch.nan)},
        "holds NaN or infinity in v.norm_f.bias",
    ),
    "one direction": (lambda s: without(s, "A_b_log"), "it has no v.layers.0.mixer.A_b_log of the expected dimensions"),
    "image model": (
        lambda s: {"cls_token": torch.ones(1, 1, 16), "pos_embed": torch.ones(1, 197, 16)},
        r"not a checkpoint of the published SSAMBA code: .* but 2 entries \(cls_token, pos_embed\)",
    ),
    "empty": (lambda s: {}, r"not a checkpoint of the published SSAMBA code: .* but 0 entries"),
    "training state": (
        lambda s: {"model": s, "epoch": 3},
        r"holds 2 entries \(model, epoch\); expected a dict of tensors by name",
    ),
    "a list": (lambda s: list(s.values()), "holds a list; expected a dict of tensors"),
}


@pytest.mark.parametrize("case", INCOMPLETE)
def test_wrong_tensors_are_refused_by_name(state, write, case):
    change, message = INCOMPLETE[case]
    path = write(change(state))
    with pytest.raises(ValueError, match=message) as error:
        SSAMBA.from_official(path)
    assert str(path) in str(error.value)


class Malicious:
    def __reduce__(self):
        return os.mkdir, ("must-not-exist",)


def test_files_that_are_no_checkpoints(state, write, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"code or Python objects, which are never run \(.*mkdir"):
        SSAMBA.from_official(write({**state, "x": Malicious()}))
    assert not (tmp_path / "must-not-exist").exists()
    whole = write(state).read_bytes()
    flipped = bytearray(whole)
    flipped[whole.index(state["module.v.pos_embed"].numpy().tobytes())] ^= 1
    for content, message in [
        (b"", "not a checkpoint that torch can read: it is cut short, damaged or of another kind"),
        (whole[: len(whole) // 2], "is cut short, damaged"),
        (b"hello world", "is cut short, damaged"),
        (bytes(flipped), "is damaged: the checksum of its record .*data.* is wrong"),
    ]:
        (tmp_path / "bad.pth").write_bytes(content)
        with pytest.raises(ValueError, match=message):
            SSAMBA.from_official(tmp_path / "bad.pth")
    with pytest.raises(FileNotFoundError, match=r"checkpoint .*nowhere.pth does not exist"):
        SSAMBA.from_official(tmp_path / "nowhere.pth")
    with pytest.raises(ValueError, match=r"is a directory; SSAMBA.from_pretrained reads"):
        SSAMBA.from_official(tmp_path)
    save_file({"layers.0.mixer.D": torch.ones(3)}, tmp_path / "own.safetensors")
    with pytest.raises(ValueError, match=r"own.safetensors is not a checkpoint"):
        SSAMBA.from_official(tmp_path / "own.safetensors")


def test_what_the_published_code_cannot_hold_is_not_written(make_model, state, write, tmp_path):
    for model, message in [
        (make_model(), "layout 'paired', this model 'sequential'"),
        (make_model(torch.float64, layout="paired"), r"float32, this model torch.float64; call model.float\(\)"),
        (
            SSAMBA.from_official(write(state), tstride=8),
            "without overlap, this model patches of 16 x 16 with strides 16 x 8",
        ),
    ]:
        with pytest.raises(ValueError, match=message):
            model.save_official(tmp_path / "out.pth")
    assert not (tmp_path / "out.pth").exists()
