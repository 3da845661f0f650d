"""Models of other sizes than the golden one, and with RMSNorm, against the plain statement of the published network."""

from __future__ import annotations

import pytest
import torch

from published_network import PublishedNetwork, random_checkpoint
from ssamba.model import SSAMBA

EXACT = {"rtol": 0, "atol": 1e-10}
MODELS = {
    "s": {"width": 48, "depth": 6, "columns": 13, "state": 8, "conv": 3, "rank": 5},
    "rmsnorm": {"width": 24, "depth": 4, "columns": 5, "norm": "rmsnorm"},
}


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """These shapes are too small for two; restored for other tests."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module", params=MODELS)
def published(request, tmp_path_factory):
    """(path of the checkpoint, the plain network, frames that it was pretrained with)."""
    state = random_checkpoint(**MODELS[request.param])
    path = tmp_path_factory.mktemp("published") / "model.pth"
    torch.save(state, path)
    return path, PublishedNetwork(state), 16 * MODELS[request.param]["columns"]


@pytest.mark.parametrize("frames", ["same", "short", "long"])
def test_states(published, noise, frames):
    path, network, length = published
    x = noise(2, {"same": length, "short": length - 37, "long": length + 50}[frames], 128).double()
    model = SSAMBA.from_official(path).double().eval()
    with torch.no_grad():
        torch.testing.assert_close(model.encode(x), network.encode(x), **EXACT)


def test_logits_with_overlapping_patches(published, noise):
    path, network, length = published
    x = noise(2, length, 128).double()
    model = SSAMBA.from_official(path, fstride=10, tstride=10, num_classes=7).double().eval()
    with torch.no_grad():
        table = network.positions(*model.config.grid)
        torch.testing.assert_close(model.pos_embed, table, rtol=0, atol=1e-6)  # carried over in float32
        model.pos_embed.copy_(table)
        tokens = network.encode(x, stride=10)
        for pooling, pooled in (("avgtok", tokens[:, 1:].mean(1)), ("cls", tokens[:, 0])):
            torch.testing.assert_close(model.classify(x, pooling), model.head(pooled), **EXACT)


@pytest.mark.parametrize("objective", ["discriminative", "generative"])
def test_losses_and_every_gradient(published, noise, objective):
    path, network, length = published
    x = noise(2, length, 128).double()
    mask = noise(2, length // 2, seed=2).argsort(1) < length // 5
    model = SSAMBA.from_official(path).double().eval()
    found = model.pretrain_loss(x, mask=mask, objective=objective)
    wanted = getattr(network, objective)(x, mask)
    if objective == "discriminative":
        wanted, accuracy = wanted
        assert found.accuracy.item() == pytest.approx(accuracy, abs=1e-12)
    torch.testing.assert_close(found.loss, wanted, **EXACT)
    gradients = dict(zip(network.p, torch.autograd.grad(wanted, network.p.values(), allow_unused=True), strict=True))
    found.loss.backward()
    for name, parameter in model.named_parameters():
        gradient = gradients[name if name.startswith(("mask_embed", "cpred", "gpred")) else f"v.{name}"]
        assert (gradient is None) == (parameter.grad is None), name
        if gradient is not None:
            torch.testing.assert_close(parameter.grad, gradient, **EXACT, msg=lambda m, n=name: f"{n}: {m}")
