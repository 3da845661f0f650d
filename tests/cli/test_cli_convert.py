"""`ssamba convert`."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from ssamba.model import SSAMBA

CHECKPOINT = Path(__file__).resolve().parents[1] / "golden" / "ckpt_t.pth"


def test_convert_makes_a_directory_that_every_verb_reads(ssamba, clips, tmp_path):
    code, out, err = ssamba("convert", CHECKPOINT, tmp_path / "own")
    assert (code, err) == (0, "")
    assert "own: pretraining model; every tensor read back is the same" in out
    assert "2 layers of width 32, layernorm" in out
    assert "strides 16 x 16: 8 x 16" in out
    assert "left out   the 1000-class head" in out
    model, wanted = SSAMBA.from_pretrained(tmp_path / "own"), SSAMBA.from_official(CHECKPOINT)
    assert model.config == wanted.config
    assert all(torch.equal(tensor, wanted.state_dict()[name]) for name, tensor in model.state_dict().items())
    assert ssamba("embed", "--checkpoint", tmp_path / "own", "--out", tmp_path / "f.npz", clips / "low")[0] == 0


def test_options_carry_the_model_over(ssamba, tmp_path):
    sizes = ["--input-tdim", "100", "--fstride", "10", "--tstride", "10"]
    assert ssamba("convert", CHECKPOINT, tmp_path / "own", *sizes, "--mean", "-6.5", "--std", "5")[0] == 0
    config = SSAMBA.from_pretrained(tmp_path / "own").config
    assert (config.grid, config.mean, config.std) == ((12, 9), -6.5, 5.0)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("convert {ckpt} {tmp}/full", "{tmp}/full exists and is not an empty directory"),
        ("convert {ckpt} {tmp}/full/file", "full/file exists and is not an empty directory"),
        ("convert {tmp}/nowhere.pth {tmp}/own", "checkpoint {tmp}/nowhere.pth does not exist"),
        ("convert {tmp}/full/file {tmp}/own", "full/file is not a checkpoint that torch can read"),
        ("convert {tmp}/full {tmp}/own", "{tmp}/full is a directory"),
        ("convert {ckpt} {tmp}/own --tstride 20", "tstride 20 is larger than tshape 16"),
        (
            "convert {ckpt} {tmp}/own --tstride x",
            "argument --tstride: invalid int value: 'x'; see ssamba convert --help",
        ),
        ("convert {ckpt}", "the following arguments are required: OUT"),
    ],
)
def test_wrong_use_writes_nothing(ssamba, tmp_path, line, message):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("text")
    code, _, err = ssamba(*line.format(ckpt=CHECKPOINT, tmp=tmp_path).split())
    assert code == 2
    assert err.startswith("ssamba: error: ")
    assert message.format(tmp=tmp_path) in err
    assert not (tmp_path / "own").exists()


def test_help(ssamba):
    code, out, _ = ssamba("convert", "--help")
    assert code == 0
    assert "example:\n  ssamba convert " in out
    assert max(map(len, out.splitlines())) <= 80
