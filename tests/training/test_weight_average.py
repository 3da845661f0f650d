"""The average of weights over epochs is their mean, outlives a resume, and is tested where nothing is held out."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from ssamba.training import FinetuneSettings, Interrupted, finetune
from ssamba.training.checkpoints import resolve_checkpoint
from ssamba.training.loop import TrainingLoop
from ssamba.training.weight_average import WeightAverage
from tone_clips import TINY


def test_mean_of_what_was_added():
    module = nn.Linear(3, 2).to(torch.bfloat16)
    average, seen = WeightAverage(), []
    for seed in range(4):
        with torch.no_grad():
            module.weight.copy_(torch.randn(2, 3, generator=torch.Generator().manual_seed(seed)))
        seen.append(module.weight.detach().double())
        average.add(module)
    own = module.weight.detach().clone()
    state = average.state_dict()
    torch.testing.assert_close(state["means"]["weight"].double(), torch.stack(seen).mean(dim=0), rtol=1e-6, atol=1e-6)
    with average.applied_to(module):
        torch.testing.assert_close(module.weight.double(), torch.stack(seen).mean(dim=0), rtol=1e-2, atol=1e-2)
    assert torch.equal(module.weight, own)


def settings_of(tones, out, **more):
    common = {**TINY, "epochs": 4, "average_from": 2, "average_to": 3, "validation_share": 0, "learning_rate": 5e-3}
    return FinetuneSettings(**{**common, **more}, data=str(tones), out=str(out))


@pytest.fixture
def epoch_weights(monkeypatch):
    """Weights at the end of each epoch, as the loop had them."""
    original, seen = TrainingLoop._advance, []

    def spied(loop, batches):
        original(loop, batches)
        if loop.position.batch == 0:
            state = loop.task.module.model.state_dict()
            seen.append({name: value.clone() for name, value in state.items()})

    monkeypatch.setattr(TrainingLoop, "_advance", spied)
    return seen


def test_run_averages_its_epochs(tones, tmp_path, epoch_weights):
    result = finetune(settings_of(tones, tmp_path / "run"))
    assert result.checkpoint == tmp_path / "run" / "checkpoints" / "average"
    assert resolve_checkpoint(tmp_path / "run") == result.checkpoint
    assert len(epoch_weights) == 4
    found = load_file(result.checkpoint / "model.safetensors")
    assert found.keys() == epoch_weights[0].keys()
    for name, value in found.items():
        expected = (epoch_weights[1][name].double() + epoch_weights[2][name].double()) / 2
        torch.testing.assert_close(value.double(), expected, rtol=0, atol=1e-6)
    last = load_file(tmp_path / "run" / "checkpoints" / "last" / "model.safetensors")
    assert all(torch.equal(last[name], value) for name, value in epoch_weights[3].items())
    assert any((found[name] - last[name]).abs().max() > 1e-3 for name in found)


def test_average_is_resumed(tones, tmp_path, monkeypatch):
    finetune(settings_of(tones, tmp_path / "whole"))
    original = TrainingLoop._step
    with monkeypatch.context() as patch:
        patch.setattr(
            TrainingLoop, "_step", lambda loop, batches: original(loop, batches) or 2 * (loop.position.step == 14)
        )
        with pytest.raises(Interrupted):
            finetune(settings_of(tones, tmp_path / "run"))
    finetune(settings_of(tones, tmp_path / "run", resume=True))
    one, two = (load_file(tmp_path / run / "checkpoints" / "average" / "model.safetensors") for run in ("whole", "run"))
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_with_validation_the_average_competes(tones, tmp_path, monkeypatch):
    from ssamba.training import finetuning

    original = finetuning.validator

    def scripted(*args):
        values = iter([0.5, 0.6, 0.7, 0.6, 0.9])  # four epochs, then the average
        original(*args)
        return lambda: {"loss": 1.0, "accuracy": next(values)}

    monkeypatch.setattr(finetuning, "validator", scripted)
    result = finetune(settings_of(tones, tmp_path / "run", validation_share=0.25))
    assert (result.best["accuracy"], result.checkpoint.name) == (0.9, "best")
    best, average = (
        load_file(tmp_path / "run" / "checkpoints" / name / "model.safetensors") for name in ("best", "average")
    )
    assert all(torch.equal(best[name], average[name]) for name in best)
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [line["accuracy"] for line in lines if line["split"] == "average"] == [0.9]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"average_from": None}, "average_to needs average_from"),
        ({"average_to": 9}, "epochs 2 to 9 cannot be averaged: the run has 1 to 4"),
        ({"average_from": 4}, "epochs 4 to 3 cannot be averaged"),
        ({"max_steps": 3}, "average_from counts whole epochs, which max_steps may end early"),
        ({"patience": 3}, "which patience may end early"),
    ],
)
def test_refusals(more, message):
    with pytest.raises(ValueError, match=message):
        settings_of("d", "o", **more)
