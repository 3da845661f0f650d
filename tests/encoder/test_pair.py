"""Two layers computed as one, against the published network's layers one by one."""

from __future__ import annotations

import pytest
import torch

from published_network import PublishedNetwork, random_checkpoint
from ssamba.model import SSAMBA

EXACT = {"rtol": 0, "atol": 1e-12}


@pytest.fixture(params=["layernorm", "rmsnorm"])
def both(request, tmp_path):
    """(our model in float64, the plain network on the same weights)."""
    state = random_checkpoint(width=24, depth=4, columns=3, norm=request.param)
    torch.save(state, tmp_path / "model.pth")
    return SSAMBA.from_official(tmp_path / "model.pth").double(), PublishedNetwork(state)


@pytest.fixture(params=["wide", "one by one"], autouse=True)
def in_training(request, monkeypatch):
    """Both ways of computing a pair with gradients, whatever the device prefers."""
    monkeypatch.setattr("ssamba.encoder.stack._WIDE_TRAINING", {"cpu"} if request.param == "wide" else set())


def one_by_one(network, index, even, odd):
    hidden = network.mixer(index, network.norm(f"v.layers.{index}.norm", even))
    reversed_hidden = network.mixer(index + 1, network.norm(f"v.layers.{index + 1}.norm", odd.flip(1)))
    return hidden + reversed_hidden.flip(1)


@pytest.mark.parametrize("readers", ["alike", "different"])
@pytest.mark.parametrize("checkpointing", [False, True], ids=["kept", "recomputed"])
def test_values_and_every_gradient(both, noise, readers, checkpointing):
    """With stochastic depth the two layers of a pair read different tokens."""
    model, network = both
    model.train().gradient_checkpointing_enable(checkpointing)
    even, upstream = (noise(2, 19, 24, seed=seed).double() for seed in (1, 3))
    even.requires_grad_()
    odd = even if readers == "alike" else noise(2, 19, 24, seed=2).double().requires_grad_()
    found, wanted = model.layers.pair(2, even, odd), one_by_one(network, 2, even, odd)
    torch.testing.assert_close(found, wanted, **EXACT)
    leaves = [even] if odd is even else [even, odd]
    for ours, theirs in zip(
        torch.autograd.grad(found, leaves, upstream, retain_graph=True),
        torch.autograd.grad(wanted, leaves, upstream, retain_graph=True),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs, **EXACT)
    found.backward(upstream)
    wanted.backward(upstream)
    for name, parameter in model.layers.named_parameters():
        gradient = network.p[f"v.layers.{name}"].grad
        assert (parameter.grad is None) == (gradient is None) == (int(name[0]) < 2), name
        if gradient is not None:
            torch.testing.assert_close(parameter.grad, gradient, **EXACT, msg=lambda m, n=name: f"{n}: {m}")


def test_lengths(both, noise):
    """A clip behind whose end other tokens lie gives what it gives alone, whichever way the pair is computed."""
    model, network = both
    tokens, lengths = noise(3, 19, 24).double(), torch.tensor([19, 7, 1])
    other = tokens.clone()  # equal, but another tensor: computed as different readers
    with torch.no_grad():
        found = [model.eval().layers.pair(0, tokens, tokens, lengths)]
        found += [model.train().layers.pair(0, tokens, odd, lengths) for odd in (tokens, other)]
        for clip, length in enumerate(lengths.tolist()):
            alone = tokens[clip : clip + 1, :length]
            wanted = one_by_one(network, 0, alone, alone)[0]
            for hidden in found:
                torch.testing.assert_close(hidden[clip, :length], wanted, **EXACT)


def test_training_step_with_stochastic_depth(both, noise):
    """The whole stack with the drops of one seed, layer after layer."""
    model, network = both
    tokens = noise(5, 9, 24).double()
    model.train().layers.drop_path = 0.5
    torch.manual_seed(7)
    found, _ = model.layers(tokens)
    torch.manual_seed(7)

    def dropped(hidden, rate):
        keep = torch.rand(5, 1, 1) >= rate
        return hidden * keep / (1 - rate)

    first = one_by_one(network, 0, tokens, tokens)
    even, odd = (2 * tokens + dropped(first, 0.5 * reader / 3) for reader in (1, 2))
    second = one_by_one(network, 2, even, odd)
    torch.testing.assert_close(found, even + odd + dropped(second, 0.5), **EXACT)


def test_autocast_and_compile(both, noise):
    model, _ = both
    model, tokens = model.float().train(), noise(2, 19, 24)
    other = tokens.clone()
    for odd in (tokens, other):
        wanted = model.layers.pair(0, tokens, odd)
        compiled = torch.compile(model.layers.pair, fullgraph=True, dynamic=True, backend="eager")
        torch.testing.assert_close(compiled(0, tokens, odd), wanted, rtol=0, atol=1e-6)
        with torch.autocast("cpu", torch.bfloat16):
            low = model.layers.pair(0, tokens, odd)
        assert low.dtype == torch.bfloat16
        torch.testing.assert_close(low.float(), wanted, rtol=0.05, atol=0.1)
