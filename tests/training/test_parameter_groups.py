"""Which parameters decay, and at which learning rate each is trained."""

from __future__ import annotations

import pytest

from ssamba.config import SSAMBAConfig
from ssamba.model import SSAMBA
from ssamba.training.optimizer import make_optimizer, parameter_groups

DECAYED = {
    "patch_embed.proj.weight",
    "layers.0.mixer.in_proj.weight",
    "layers.0.mixer.conv1d.weight",
    "layers.0.mixer.conv1d_b.weight",
    "layers.0.mixer.x_proj.weight",
    "layers.0.mixer.x_proj_b.weight",
    "layers.0.mixer.dt_proj.weight",
    "layers.0.mixer.dt_proj_b.weight",
    "layers.0.mixer.out_proj.weight",
    "cpredlayer.0.weight",
    "cpredlayer.2.weight",
    "gpredlayer.0.weight",
    "gpredlayer.2.weight",
    "head.1.weight",
}


@pytest.fixture
def model():
    return SSAMBA(SSAMBAConfig(embed_dim=16, depth=1, input_tdim=32, masked_patches=8, num_classes=3))


def by_name(model, groups):
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return {names[id(parameter)]: group for group in groups for parameter in group["params"]}


def test_every_parameter_once_and_decay_on_matrices_only(model):
    groups = parameter_groups(model, 1e-3, 0.05, head_multiplier=3)
    found = by_name(model, groups)
    assert found.keys() == {name for name, _ in model.named_parameters()}
    assert sum(len(group["params"]) for group in groups) == len(found)
    assert {name for name, group in found.items() if group["weight_decay"]} == DECAYED
    assert {group["weight_decay"] for group in groups} == {0.0, 0.05}


def test_head_has_its_own_rate(model):
    found = by_name(model, parameter_groups(model, 1e-3, 0.05, head_multiplier=3))
    peaks = {name: group["peak"] for name, group in found.items()}
    assert {name for name, peak in peaks.items() if peak == pytest.approx(3e-3)} == {
        name for name in peaks if name.startswith("head.")
    }
    assert set(peaks.values()) == {1e-3, 3e-3}


def test_frozen_parameters_are_left_out(model):
    model.requires_grad_(False)
    model.head.requires_grad_(True)
    found = by_name(model, parameter_groups(model, 1e-3, 0.05))
    assert found.keys() == {"head.0.weight", "head.0.bias", "head.1.weight", "head.1.bias"}


def test_decay_shrinks_only_what_it_should(model):
    optimizer = make_optimizer(parameter_groups(model, 0.1, 0.5), 0.9, 0.99)
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    for parameter in model.parameters():
        parameter.grad = parameter.new_zeros(parameter.shape)
    optimizer.step()
    for name, parameter in model.named_parameters():
        factor = 1 - 0.1 * 0.5 if name in DECAYED else 1.0
        assert parameter.detach().allclose(before[name] * factor, atol=1e-7), name
