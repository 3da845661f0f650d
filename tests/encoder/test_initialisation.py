"""Fresh weights are distributed as those of the published model."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import pytest
import torch

from ssamba.config import SSAMBAConfig
from ssamba.model import SSAMBA

GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.fixture(scope="module")
def published_sizes():
    torch.manual_seed(0)
    return SSAMBA(SSAMBAConfig.tiny(layout="paired", backward_dt_init="zero_bias"))


def pooled(model):
    """Values by published name, those of the layers together."""
    values = {}
    for name, parameter in model.named_parameters():
        outer = name.startswith(("mask_embed", "cpredlayer", "gpredlayer"))
        published = "module." + ("" if outer else "v.") + re.sub(r"^layers\.\d+", "layers.*", name)
        values.setdefault(published, []).append(parameter.detach().flatten())
    return {name: torch.cat(parts).double() for name, parts in values.items()}


def test_statistics(published_sizes):
    """Mean and spread within five standard errors of two draws; bounds of the uniform ones within their spacing."""
    statistics = json.loads((GOLDEN / "init_stats_tiny.json").read_text())
    values = pooled(published_sizes)
    assert set(statistics) - {"module.v.head.weight", "module.v.head.bias"} == set(values)
    for name, found in values.items():
        wanted = statistics[name]
        n, std = wanted["n"], wanted["std"]
        assert found.numel() == n, name
        assert abs(found.mean().item() - wanted["mean"]) <= 5 * std * math.sqrt(2 / n) + 1e-7, name
        assert abs(found.std(unbiased=False).item() - std) <= 5 * std * math.sqrt(2 / n) + 1e-7, name
        uniform = std and abs(wanted["max"] - wanted["min"]) < 4 * std
        for bound in ("min", "max"):
            slack = 40 * std / n if uniform else 1.5 * std
            assert abs(getattr(found, bound)().item() - wanted[bound]) <= slack + 1e-6, name


def test_names_and_shapes_are_the_published_ones(published_sizes):
    lines = (GOLDEN / "keys.txt").read_text().split("## small")[0].splitlines()
    published = {}
    for line in lines:
        if line and not line.startswith("#"):
            name, shape, _ = line.split("\t")
            published[name.removeprefix("module.").removeprefix("v.")] = shape
    for unused in ("p_input_fdim", "p_input_tdim", "head.weight", "head.bias"):
        del published[unused]
    assert published == {name: str(tuple(tensor.shape)) for name, tensor in published_sizes.state_dict().items()}


def test_backward_step_sizes_start_like_the_forward_ones():
    mixer = SSAMBA(SSAMBAConfig.tiny(depth=2, backward_dt_init="like_forward")).layers[0].mixer
    for bias in (mixer.dt_proj.bias, mixer.dt_proj_b.bias):
        steps = torch.nn.functional.softplus(bias)
        assert 0.00099 < steps.min() < 0.0012
        assert 0.085 < steps.max() < 0.101
        assert abs(steps.log().mean().item() - math.log(0.01)) < 5 * 1.33 / math.sqrt(384)
    assert not torch.equal(mixer.dt_proj.bias, mixer.dt_proj_b.bias)


def test_backward_step_sizes_of_a_new_model_start_alike():
    for layer in SSAMBA(SSAMBAConfig.tiny(depth=2)).layers:
        assert not layer.mixer.dt_proj_b.bias.any()  # softplus(0) = 0.69


def test_output_projection_shrinks_with_depth():
    for depth in (1, 4):
        weight = SSAMBA(SSAMBAConfig.tiny(depth=depth)).layers[0].mixer.out_proj.weight
        assert weight.abs().max().item() == pytest.approx((384 * depth) ** -0.5, rel=1e-3)
