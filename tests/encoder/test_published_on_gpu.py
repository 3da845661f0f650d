"""The golden model on a GPU: what the published code computes, forward, and a step of its pretraining."""

from __future__ import annotations

import pytest
import torch

from golden_model import PRECISIONS
from ssamba_ops._library import cuda_problem

pytestmark = pytest.mark.cuda
TOLERANCE = {"f32": 1e-4, "f64": 1e-9}


@pytest.fixture(autouse=True)
def gpu() -> torch.device:
    if problem := cuda_problem():
        pytest.skip(f"needs a GPU: {problem}")
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = False
    yield torch.device("cuda")
    torch.backends.cuda.matmul.allow_tf32 = before


@pytest.mark.parametrize("frozen", [False, True], ids=["plain", "frozen"])
@pytest.mark.parametrize("case", ["same", "short100", "long320", "overlap256"])
@pytest.mark.parametrize("pooling", ["avgtok", "cls"])
def test_logits(golden, case, pooling, precision, frozen, gpu):
    forward = golden.read("forward_t")
    model, x = golden.finetuned(case, PRECISIONS[precision])
    model = model.to(gpu).frozen() if frozen else model.to(gpu)
    with torch.no_grad():
        logits = model.classify(x.to(gpu), pooling).cpu()
        pooled = model.encode(x.to(gpu))[:, 1:].mean(dim=1).cpu()
    tolerance = {"rtol": 0, "atol": TOLERANCE[precision]}
    torch.testing.assert_close(logits, forward[f"{case}/logits_{pooling}_{precision}"], **tolerance)
    torch.testing.assert_close(pooled, forward[f"{case}/pooled_{precision}"], **tolerance)


def test_gradients_are_those_of_the_cpu(golden, gpu):
    """With gradient the layers take another way than without."""
    x = golden.x[:, :256]
    gradients = []
    for device in (torch.device("cpu"), gpu):
        model = golden.model().to(device)
        model.encode(x.to(device, torch.float64)).square().mean().backward()
        gradients.append({name: p.grad.cpu() for name, p in model.named_parameters() if p.grad is not None})
    on_cpu, on_gpu = gradients
    assert on_cpu.keys() == on_gpu.keys()
    for name, expected in on_cpu.items():
        torch.testing.assert_close(on_gpu[name], expected, rtol=1e-7, atol=1e-10, msg=lambda m, n=name: f"{n}: {m}")


def test_pretraining_loss_is_that_of_the_cpu(golden, gpu):
    model, x = golden.model(), golden.x[:, :256].double()  # evaluating: stochastic depth is drawn by each device
    expected = model.pretrain_loss(x, seed=3)
    found = model.to(gpu).pretrain_loss(x.to(gpu), seed=3)
    assert torch.equal(found.mask.cpu(), expected.mask)
    torch.testing.assert_close(found.loss.cpu(), expected.loss, rtol=1e-9, atol=0)
