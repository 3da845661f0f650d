"""Losses, gradients and optimiser trajectories of the published objectives."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from golden_model import PRECISIONS
from ssamba.objectives.losses import infonce

OBJECTIVES = {"mpc": "discriminative", "mpg": "generative"}
LOSS_TOLERANCE = {"f32": 1e-5, "f64": 1e-10}
STATE_TOLERANCE = {"f32": 2e-5, "f64": 1e-10}
# Gradients and parameters are stored in float32 but for the norms.
GRADIENT_TOLERANCE = {"f32": 1e-4, "f64": 3e-7}
NORM_TOLERANCE = {"f32": 1e-4, "f64": 1e-9}


def as_mask(indices, patches):
    return torch.zeros(len(indices), patches, dtype=torch.bool).scatter(1, indices.long(), True)


@pytest.fixture(scope="session")
def pretraining(golden):
    return golden.read("pretrain_t")


def own_name(published):
    return published.removeprefix("v.").replace("mlp_head", "head")


@pytest.mark.parametrize("task", OBJECTIVES)
def test_loss_states_and_every_gradient(golden, pretraining, task, precision):
    model = golden.model(PRECISIONS[precision])
    x = golden.x[:, :256].to(PRECISIONS[precision])
    indices = pretraining[f"mask_{task}"].long()
    mask = as_mask(indices, 128)
    output = model.pretrain_loss(x, mask=mask, objective=OBJECTIVES[task])
    output.loss.backward()
    assert abs(output.loss.item() - pretraining[f"{task}_loss_{precision}"].item()) < LOSS_TOLERANCE[precision]
    if task == "mpc":
        assert output.accuracy.item() == pytest.approx(pretraining[f"mpc_acc_{precision}"].item(), abs=1e-7)
        assert output.generative is None
    else:
        order = indices[0].argsort()
        wanted = pretraining[f"mpg_pred0_{precision}"][order]
        torch.testing.assert_close(output.reconstruction[0].detach(), wanted, rtol=0, atol=STATE_TOLERANCE[precision])
        assert output.discriminative is None
    with torch.no_grad():
        patches, grid = model.patches(x)
        norm2 = model.encode_patches(patches, grid, mask)[0][:, ::32]
    torch.testing.assert_close(norm2, pretraining[f"{task}_norm2_{precision}"], rtol=0, atol=STATE_TOLERANCE[precision])

    parameters = dict(model.named_parameters())
    published = [key.split("/")[1] for key in pretraining if key.startswith(f"{task}_grad/")]
    assert {own_name(name) for name in published} == {
        name for name, parameter in parameters.items() if parameter.grad is not None
    }
    for name in published:
        wanted = pretraining[f"{task}_grad/{name}"].double()
        found = parameters[own_name(name)].grad.double()
        if name == "cpredlayer.2.bias" and task == "mpc":  # truly 0: a common shift of a whole softmax row
            assert found.abs().max() < 1e-6
            continue
        assert (found - wanted).norm() <= GRADIENT_TOLERANCE[precision] * wanted.norm(), name
        norm = pretraining[f"{task}_gradnorm/{name}"].item()
        assert found.norm().item() == pytest.approx(norm, rel=NORM_TOLERANCE[precision]), name


def test_joint_loss_is_the_weighted_sum(golden, pretraining):
    model, x = golden.model(), golden.x[:, :256]
    mpc, mpg = (as_mask(pretraining[f"mask_{task}"], 128) for task in OBJECTIVES)
    with torch.no_grad():
        two = model.pretrain_loss(x, mask=(mpc, mpg), passes=2)
        one = model.pretrain_loss(x, mask=mpc)
        alone = model.pretrain_loss(x, mask=mpc, objective="generative")
    wanted = pretraining["mpc_loss_f64"] + 10 * pretraining["mpg_loss_f64"]
    torch.testing.assert_close(two.loss, wanted, rtol=0, atol=1e-10)
    assert torch.equal(two.mask, mpg)
    torch.testing.assert_close(one.discriminative, pretraining["mpc_loss_f64"], rtol=0, atol=1e-10)
    torch.testing.assert_close(one.generative, alone.loss, rtol=0, atol=0)
    torch.testing.assert_close(one.loss, one.discriminative + 10 * one.generative, rtol=0, atol=0)


def test_infonce_orientations_and_accuracies(golden):
    data = golden.read("nce_synth")
    predictions = (data["pred_int8"].double() * data["pred_scale"].double()).requires_grad_()
    model, x = golden.model(), golden.x[:, :256]
    targets = model.patches(x)[0].gather(1, data["mask"].long()[:, :, None].expand(-1, -1, 256))
    loss, accuracy = infonce(predictions, targets, "published_code")
    loss.backward()
    torch.testing.assert_close(loss.detach(), data["nce_f64"], rtol=0, atol=1e-10)
    assert accuracy.item() == pytest.approx(data["acc_f64"].item(), abs=1e-12)
    torch.testing.assert_close(predictions.grad[0].float(), data["dpred_f64"], rtol=1e-5, atol=1e-9)
    paper, paper_accuracy = infonce(predictions.detach(), targets, "paper")
    torch.testing.assert_close(paper, data["other_nce_paper_eq1"], rtol=0, atol=1e-10)
    assert paper_accuracy.item() == pytest.approx(data["other_acc_colargmax_raw"].item(), abs=1e-12)
    narrow, _ = infonce(predictions.detach().float(), targets.float(), "published_code")
    assert abs(narrow.item() - data["nce_f32"].item()) < 1e-5


def test_four_pretraining_steps(golden, precision):
    data, dtype = golden.read("traj_t"), PRECISIONS[precision]
    model, x = golden.model(dtype), golden.x[:, :256].to(dtype)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.95, 0.999), weight_decay=5e-8, eps=1e-8)
    found = []
    for step in range(4):
        masks = tuple(as_mask(data[f"pre/mask_{task}"][step], 128) for task in OBJECTIVES)
        output = model.pretrain_loss(x, mask=masks, passes=2)
        optimizer.zero_grad()
        output.loss.backward()
        optimizer.step()
        parts = (output.accuracy, output.discriminative, output.generative, output.loss)
        found.append([part.item() for part in parts])
    wanted = data[f"pre/acc_mpc_mpg_joint_{precision}"]
    error = (torch.tensor(found, dtype=torch.float64) - wanted).abs()
    assert error[:, :3].max() < LOSS_TOLERANCE[precision]  # accuracy and both losses
    assert error[:, 3].max() < 10 * LOSS_TOLERANCE[precision]  # mpc + 10 mpg
    if precision == "f64":
        compare_parameters(model, data, "pre/after/")


def test_four_finetuning_steps(golden, precision):
    data, dtype = golden.read("traj_t"), PRECISIONS[precision]
    model, x = golden.finetuned("overlap256", dtype)
    head = list(model.head.parameters())
    rest = [p for name, p in model.named_parameters() if not name.startswith("head.")]
    groups = [{"params": rest, "lr": 1e-3}, {"params": head, "lr": 3e-3}]
    optimizer = torch.optim.Adam(groups, betas=(0.95, 0.999), weight_decay=5e-7, eps=1e-8)
    losses = []
    for _ in range(4):
        loss = F.binary_cross_entropy_with_logits(model.classify(x), data["ft/labels"].to(dtype))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    wanted = data[f"ft/bce_{precision}"].tolist()
    assert losses == pytest.approx(wanted, abs=LOSS_TOLERANCE[precision])
    if precision == "f64":
        compare_parameters(model, data, "ft/after/")


def compare_parameters(model, data, prefix):
    parameters = dict(model.named_parameters())
    for key in data:
        if key.startswith(prefix):
            found = parameters[own_name(key.removeprefix(prefix))].detach()
            torch.testing.assert_close(found, data[key], rtol=0, atol=1e-10, msg=lambda m, k=key: f"{k}: {m}")
