"""Configurations: what they compute, and what they refuse and how they say it."""

from __future__ import annotations

import json

import pytest

from ssamba.config import SSAMBAConfig


@pytest.mark.parametrize(
    ("overrides", "grid", "patches"),
    [
        ({}, (8, 64), 512),
        ({"fstride": 10, "tstride": 10}, (12, 101), 1212),
        ({"input_tdim": 512, "fstride": 10, "tstride": 10}, (12, 50), 600),
        ({"input_tdim": 6144}, (8, 384), 3072),
        ({"fshape": 128, "tshape": 2, "fstride": 128, "tstride": 2}, (1, 512), 512),
    ],
)
def test_grid(overrides, grid, patches):
    config = SSAMBAConfig.tiny(**overrides)
    assert config.grid == grid
    assert config.num_patches == patches


def test_sizes_and_derived_values():
    sizes = [config().embed_dim for config in (SSAMBAConfig.tiny, SSAMBAConfig.small, SSAMBAConfig.base)]
    assert sizes == [192, 384, 768]
    assert SSAMBAConfig.small().time_step_rank == 24
    assert SSAMBAConfig.tiny(dt_rank=5).time_step_rank == 5
    assert SSAMBAConfig.tiny(classes=["cat", "dog"]).num_classes == 2
    assert SSAMBAConfig.tiny(layout="paired").infonce_orientation == "published_code"
    assert SSAMBAConfig.tiny().infonce_orientation == "paper"


def test_json_round_trip():
    config = SSAMBAConfig.base(classes=["cat", "dog"], layout="paired", fstride=10)
    assert SSAMBAConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    with pytest.raises(ValueError, match=r"unknown configuration field\(s\) colour, heads; known are"):
        SSAMBAConfig.from_dict({"heads": 3, "depth": 4, "colour": 1})


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"depth": 0}, "depth must be at least 1, got 0"),
        ({"embed_dim": 19.5}, "embed_dim must be an integer, got 19.5"),
        ({"expand": True}, "expand must be an integer, got True"),
        ({"dt_rank": 0}, "dt_rank must be at least 1"),
        ({"num_classes": -1}, "num_classes must be at least 1"),
        ({"layout": "pairs"}, "layout is 'pairs'; choose one of 'sequential', 'paired'"),
        ({"norm": "batchnorm"}, "norm is 'batchnorm'"),
        ({"masking": "random"}, "masking is 'random'"),
        ({"infonce": "both"}, "infonce is 'both'"),
        ({"backward_dt_init": None}, "backward_dt_init is None"),
        ({"depth": 5, "layout": "paired"}, "depth is 5; the paired layout needs an even number"),
        ({"input_tdim": 10}, r"input_tdim is 10 frames, less than one patch \(tshape 16\)"),
        ({"input_fdim": 8}, "input_fdim is 8 mel bins, less than one patch"),
        ({"tstride": 17}, "tstride 17 is larger than tshape 16"),
        ({"fstride": 20}, "fstride 20 is larger than fshape 16"),
        ({"drop_path": 1.0}, "drop_path is 1.0"),
        ({"std": 0.0}, "norm_eps and std must be above 0"),
        ({"mean": float("nan")}, "mean must be a finite number, got nan"),
        ({"generative_weight": -1.0}, "generative_weight is -1.0"),
        ({"min_cluster": 6}, "min_cluster 6 is larger than max_cluster 5"),
        ({"classes": "cat"}, "classes is the single string 'cat'"),
        ({"classes": ["a", "b", "a"]}, "classes names a more than once"),
        ({"classes": ["a", 3]}, "sequence of at least one label name"),
        ({"classes": ["a", "b"], "num_classes": 3}, "num_classes is 3, but classes holds 2 names"),
    ],
)
def test_refused(overrides, message):
    with pytest.raises((ValueError, TypeError), match=message):
        SSAMBAConfig(**overrides)
