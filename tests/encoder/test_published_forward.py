"""The paired layout computes what the published model computes on its fine-tuning path."""

from __future__ import annotations

import pytest
import torch

from golden_model import PRECISIONS

CASES = ["same", "short100", "long320", "overlap256"]
STATE_TOLERANCE = {"f32": 2e-5, "f64": 1e-10}


@pytest.fixture(scope="session")
def forward(golden):
    return golden.read("forward_t")


@pytest.mark.parametrize("case", CASES)
def test_position_table_is_carried_over_as_published(golden, forward, case):
    model, _ = golden.finetuned(case, torch.float32)
    torch.testing.assert_close(model.pos_embed.detach()[0], forward[f"{case}/pos_embed"], rtol=0, atol=3e-6)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("pooling", ["avgtok", "cls"])
def test_logits(golden, forward, case, pooling, precision):
    model, x = golden.finetuned(case, PRECISIONS[precision])
    with torch.no_grad():
        logits = model.classify(x, pooling)
        pooled = model.encode(x)[:, 1:].mean(dim=1)
    tolerance = {"rtol": 0, "atol": STATE_TOLERANCE[precision]}
    torch.testing.assert_close(logits, forward[f"{case}/logits_{pooling}_{precision}"], **tolerance)
    torch.testing.assert_close(pooled, forward[f"{case}/pooled_{precision}"], **tolerance)


@pytest.mark.parametrize(("case", "frames"), [("short100", 100), ("long320", 320)])
def test_pretraining_model_takes_other_lengths_by_the_same_rule(golden, forward, case, frames):
    model = golden.model()
    with torch.no_grad():
        pooled = model.encode(golden.x[:, :frames])[:, 1:].mean(dim=1)
    torch.testing.assert_close(pooled, forward[f"{case}/pooled_f64"], rtol=0, atol=1e-10)


def test_states_on_the_way(golden, forward):
    model = golden.model()
    x = golden.x[:1, :256]
    with torch.no_grad():
        tokens = model.embed(*model.patches(x))
        hidden = model.layers.pair(0, tokens, tokens)
        residual, states = model.layers(tokens, wanted=(1,))
        once = model.norm_f(residual)
        output = model.encode(x)
    for found, name in [
        (tokens, "tokens"),
        (hidden, "pair0_hidden"),
        (2 * tokens, "pair0_resid"),
        (residual, "resid_final"),
        (states[1], "resid_final"),
        (once, "norm1"),
        (output, "norm2"),
    ]:
        torch.testing.assert_close(
            found, forward[f"same/{name}_f64"], rtol=0, atol=1e-10, msg=lambda m, n=name: f"{n}: {m}"
        )
