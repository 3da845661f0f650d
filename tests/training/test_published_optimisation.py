"""Settings of the published recipes against torch: learning rates by epoch and plateau, Adam with coupled decay."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ssamba.config import SSAMBAConfig
from ssamba.model import SSAMBA
from ssamba.training import FinetuneSettings, PretrainSettings, finetune, pretrain
from ssamba.training.optimizer import make_optimizer, parameter_groups
from ssamba.training.pretraining import pretrain_config
from ssamba.training.schedule import Plateau, epoch_decay
from test_run_resume import records
from tone_clips import TINY


@pytest.mark.parametrize(("start", "every", "factor"), [(15, 10, 0.75), (6, 1, 0.85), (1, 3, 0.5)])
def test_epoch_decay_is_multi_step_lr(start, every, factor):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, list(range(start, 200, every)), factor)
    for epoch in range(50):
        assert epoch_decay(epoch, start, every, factor) == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-12)
        optimizer.step()
        scheduler.step()


@pytest.mark.parametrize(("lowest", "patience"), [(False, 2), (True, 0), (True, 3)])
def test_plateau_is_reduce_lr_on_plateau(lowest, patience):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, "min" if lowest else "max", factor=0.5, patience=patience, eps=0
    )
    plateau = Plateau()
    values = 1 + np.random.default_rng(0).random(60).round(2)
    values[5] = values[4] * (1 + 5e-5)  # better, but by less than the threshold
    for value in values:
        plateau.update(float(value), lowest, 0.5, patience)
        scheduler.step(float(value))
        assert plateau.scale == optimizer.param_groups[0]["lr"]
    assert plateau.scale < 0.5


def test_adam_adds_decay_to_the_gradient():
    model = SSAMBA(SSAMBAConfig(embed_dim=16, depth=1, input_tdim=32, masked_patches=8, num_classes=3))
    groups = parameter_groups(model, 1e-3, 0.1, head_multiplier=3, decay_all=True)
    assert {group["weight_decay"] for group in groups} == {0.1}
    assert sorted(group["peak"] for group in groups) == pytest.approx([1e-3, 3e-3])
    assert sum(len(group["params"]) for group in groups) == len(list(model.parameters()))
    optimizer = make_optimizer(groups, 0.9, 0.99, "adam")
    before = model.layers[0].mixer.A_log.detach().clone()
    gradient = torch.randn(before.shape, generator=torch.Generator().manual_seed(0))
    model.layers[0].mixer.A_log.grad = gradient.clone()
    optimizer.step()
    total = gradient + 0.1 * before  # first step of Adam: sign of the whole gradient, but for eps
    expected = before - 1e-3 * total / (total.abs() + 1e-8)
    torch.testing.assert_close(model.layers[0].mixer.A_log.detach(), expected)


def learning_rates(run):
    return [record["learning_rate"] for record in records(run) if record["split"] == "train"]


def test_rates_of_a_run_by_epoch(tones, tmp_path):
    settings = FinetuneSettings(
        **TINY,
        data=str(tones),
        out=str(tmp_path / "run"),
        epochs=4,
        validation_share=0,
        schedule="epochs",
        decay_start=2,
        decay_every=1,
        decay_factor=0.5,
        warmup_steps=2,
        log_every=1,
        optimizer="adam",
    )
    finetune(settings)
    whole = [1e-3] * 10 + [5e-4] * 6 + [2.5e-4] * 6  # six steps an epoch
    assert learning_rates(tmp_path / "run") == pytest.approx([1e-3 / 3, 2e-3 / 3, *whole])


def test_rates_of_a_run_on_a_plateau(tones, tmp_path, monkeypatch):
    from ssamba.training.loop import TrainingLoop

    original, losses = TrainingLoop._validate, iter([1.0, 1.0, 1.0, 0.5, 0.5])

    def scripted(loop, split):
        loop.task.validate = lambda: {"loss": next(losses), "accuracy": 0.0}
        return original(loop, split)

    monkeypatch.setattr(TrainingLoop, "_validate", scripted)
    settings = PretrainSettings(
        **TINY,
        data=str(tones),
        out=str(tmp_path / "run"),
        max_steps=5,
        validate_every=1,
        schedule="plateau",
        plateau_patience=0,
        decay_factor=0.1,
        warmup_steps=0,
        log_every=1,
    )
    pretrain(settings)
    assert learning_rates(tmp_path / "run") == pytest.approx([1e-3, 1e-3, 1e-4, 1e-5, 1e-5])


def test_plateau_is_resumed(tones, tmp_path):
    common = {"data": str(tones), "validate_every": 1, "schedule": "plateau", "plateau_patience": 0, "save_every": 1}
    common |= {**TINY, "max_steps": 6, "learning_rate": 1e-12, "log_every": 1}  # nothing improves, so it falls at once
    pretrain(PretrainSettings(**common, out=str(tmp_path / "whole")))
    from ssamba.training import Interrupted
    from ssamba.training.loop import TrainingLoop

    original = TrainingLoop._step
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            TrainingLoop, "_step", lambda loop, batches: original(loop, batches) or 2 * (loop.position.step == 3)
        )
        with pytest.raises(Interrupted):
            pretrain(PretrainSettings(**common, out=str(tmp_path / "run")))
    pretrain(PretrainSettings(**common, out=str(tmp_path / "run"), resume=True))
    assert learning_rates(tmp_path / "run") == learning_rates(tmp_path / "whole")
    assert learning_rates(tmp_path / "run")[-1] < 1e-12 / 4


def test_refusals(tones, tmp_path):
    with pytest.raises(ValueError, match="schedule plateau watches validation clips"):
        pretrain(PretrainSettings(data=str(tones), out=str(tmp_path), schedule="plateau", validation_share=0))
    with pytest.raises(ValueError, match="select accuracy needs the discriminative objective"):
        pretrain_config(PretrainSettings(data="d", out="o", objective="generative", select="accuracy"))
