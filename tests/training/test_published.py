"""Published checkpoints load without being told their sizes, or are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from ssamba.training import FinetuneSettings, finetune
from ssamba.training.loading import load_config, load_model
from tone_clips import TINY

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
CHECKPOINT = GOLDEN / "ckpt_t.pth"


def test_configuration_is_read_from_the_tensors():
    config = load_config(CHECKPOINT)
    assert (config.embed_dim, config.depth, config.state_size, config.expand, config.dt_rank) == (32, 2, 16, 2, 2)
    assert (config.grid, config.layout, config.norm) == ((8, 16), "paired", "layernorm")


@pytest.mark.parametrize(("case", "overrides"), [("same", {}), ("overlap256", {"fstride": 10, "tstride": 10})])
def test_gives_the_published_logits(case, overrides):
    golden, inputs = np.load(GOLDEN / "forward_t.npz"), np.load(GOLDEN / "inputs.npz")
    model = load_model(CHECKPOINT, num_classes=35, **overrides).eval()
    names = {"0.weight", "0.bias", "1.weight", "1.bias"}
    model.head.load_state_dict({name: torch.from_numpy(golden[f"head/{name}"]).float() for name in names})
    x = torch.from_numpy(inputs["xt"][:, :256]).float() * float(inputs["scale"])
    with torch.no_grad():
        logits = model.classify(x)
    np.testing.assert_allclose(logits.numpy(), golden[f"{case}/logits_avgtok_f32"], atol=2e-5)


def test_finetuning_starts_from_it(tones, tmp_path):
    options = {name: TINY[name] for name in ("batch_size", "learning_rate", "quiet")}
    settings = FinetuneSettings(
        **options, data=str(tones), out=str(tmp_path / "run"), pretrained=str(CHECKPOINT), input_tdim=64, max_steps=1
    )
    result = finetune(settings)
    assert load_config(result.checkpoint).input_tdim == 64
    drift = load_model(result.checkpoint).patch_embed.proj.weight - load_model(CHECKPOINT).patch_embed.proj.weight
    assert 0 < drift.abs().max() <= 2e-3  # one step of AdamW


def test_refusals(tmp_path):
    (tmp_path / "text.pth").write_text("no zip file")
    with pytest.raises(ValueError, match=r"text.pth is not a checkpoint that torch can read"):
        load_model(tmp_path / "text.pth")
    torch.save({"weight": torch.ones(1)}, tmp_path / "other.pth")
    with pytest.raises(ValueError, match=r"other.pth is not a checkpoint of the published SSAMBA code"):
        load_model(tmp_path / "other.pth")
    state = torch.load(CHECKPOINT, weights_only=True)
    del state["module.v.norm_f.weight"]
    torch.save(state, tmp_path / "part.pth")
    with pytest.raises(ValueError, match=r"missing module.v.norm_f.weight"):
        load_model(tmp_path / "part.pth")
