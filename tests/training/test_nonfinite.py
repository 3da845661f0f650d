"""A loss that is not finite stops the run, names the layer, and leaves the last good checkpoint alone."""

from __future__ import annotations

import math

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from ssamba.encoder.layers import BidirectionalMamba
from ssamba.training import NonFiniteError, PretrainSettings, pretrain
from ssamba.training.checkpoints import load_training_state
from ssamba.training.loop import TrainingLoop
from ssamba.training.nonfinite import first_nonfinite_module, last_nonfinite_gradient
from tone_clips import TINY


class Logarithm(nn.Module):
    def forward(self, x):
        return x.log()


def test_names_the_innermost_module_first_at_fault():
    model = nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.Identity(), Logarithm()), nn.Linear(2, 1))
    x = torch.ones(1, 2)
    with torch.no_grad():
        model[0].weight.fill_(0.0)
        model[0].bias.copy_(torch.tensor([1.0, -1.0]))
    assert first_nonfinite_module(model, lambda: model(x)) == "1.1 (Logarithm; its input was finite)"
    assert first_nonfinite_module(model, lambda: model[0](x)) is None
    assert not any(module._forward_hooks for module in model.modules())


def test_names_a_parameter():
    model = nn.Linear(2, 2)
    with torch.no_grad():
        model.bias[0] = math.nan
    assert first_nonfinite_module(model, lambda: model(torch.ones(1, 2))) == "the parameter bias itself"


def test_names_bad_input():
    model = nn.Sequential(nn.Linear(1, 1))
    found = first_nonfinite_module(model, lambda: model(torch.tensor([[math.inf]])))
    assert found == "0 (Linear; its input already was not finite)"


def test_names_the_gradient_nearest_to_the_output():
    model = nn.Sequential(nn.Linear(1, 1), nn.Linear(1, 1))
    model(torch.ones(1, 1)).sum().backward()
    assert last_nonfinite_gradient(model) is None
    model[0].bias.grad.fill_(math.nan)
    assert last_nonfinite_gradient(model) == "0.bias"


def spoil_from_step(monkeypatch, step, layer):
    """Make the second layer's mixer return NaN from optimiser step `step` on."""
    original_step, original_forward = TrainingLoop._step, BidirectionalMamba.forward
    state = {"on": False, "target": None}

    def patched_step(loop, batches):
        state["on"] = loop.position.step >= step
        state["target"] = loop.task.module.model.layers[layer].mixer
        return original_step(loop, batches)

    def patched_forward(mixer, *args, **options):
        out = original_forward(mixer, *args, **options)
        return out * math.nan if state["on"] and mixer is state["target"] else out

    monkeypatch.setattr(TrainingLoop, "_step", patched_step)
    monkeypatch.setattr(BidirectionalMamba, "forward", patched_forward)


def test_run_stops_and_keeps_the_last_good_checkpoint(tones, tmp_path, monkeypatch):
    spoil_from_step(monkeypatch, 3, 1)
    settings = PretrainSettings(**TINY, data=str(tones), out=str(tmp_path / "run"), epochs=1, save_every=2)
    with pytest.raises(NonFiniteError) as caught:
        pretrain(settings)
    message = str(caught.value)
    assert "loss is nan at step 4" in message
    assert "layers.1.mixer (BidirectionalMamba; its input was finite)" in message
    assert ".wav" in message
    last = tmp_path / "run" / "checkpoints" / "last"
    assert str(last) in message
    assert load_training_state(last)["position"]["step"] == 2
    assert all(torch.isfinite(tensor).all() for tensor in load_file(last / "model.safetensors").values())


def test_gradient_that_is_not_finite_stops_the_run(tones, tmp_path, monkeypatch):
    original = TrainingLoop._averaged

    def patched(loop, outputs):
        loop.task.module.model.patch_embed.proj.bias.grad.fill_(math.inf)
        return original(loop, outputs)

    def norm(loop_accelerator, parameters, largest):
        return torch.tensor(math.inf)

    monkeypatch.setattr(TrainingLoop, "_averaged", patched)
    monkeypatch.setattr("accelerate.Accelerator.clip_grad_norm_", norm)
    with pytest.raises(
        NonFiniteError, match=r"gradient norm is inf .* first at the gradient of .*patch_embed.proj.bias"
    ):
        pretrain(PretrainSettings(**TINY, data=str(tones), out=str(tmp_path / "run"), epochs=1))
