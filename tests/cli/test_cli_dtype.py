"""--dtype is one option of all verbs that run a trained model, and says where it is slow."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from ssamba.training import loading

WITHOUT = {"avx512_bf16": False, "amx_bf16": False, "avx512_vnni": False}


@pytest.fixture(autouse=True)
def processor(monkeypatch):
    """One that has no instructions; what it has once said is forgotten."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: WITHOUT)
    loading._say_without_instructions.cache_clear()


def test_predict_says_it_once(ssamba, finetuned, clips):
    command = ("predict", "--checkpoint", finetuned, "--dtype", "bfloat16", "--json", clips / "low")
    code, out, err = ssamba(*command)
    assert code == 0
    assert err.count("no instructions for products in bfloat16 (AVX512_BF16, AMX_BF16)") == 1
    assert [item["labels"][0]["label"] for item in json.loads(out)] == ["low"] * 8
    assert ssamba(*command)[::2] == (0, "")


def test_embed(ssamba, pretrained, clips, tmp_path):
    stored = {}
    for dtype in ("float32", "int8", "int8_weight_only"):
        out = tmp_path / f"{dtype}.npz"
        code, _, err = ssamba("embed", "--checkpoint", pretrained, "--out", out, "--dtype", dtype, clips)
        assert code == 0
        assert ("no instructions for products in int8" in err) == (dtype == "int8")
        stored[dtype] = np.load(out)["features"]
    for dtype in ("int8", "int8_weight_only"):
        difference = np.abs(stored[dtype] - stored["float32"]).max()
        assert 0 < difference < 0.05 * np.abs(stored["float32"]).max()


def test_evaluate(ssamba, finetuned, clips, tmp_path):
    out = tmp_path / "results.json"
    command = ("evaluate", "--checkpoint", finetuned, "--data", clips, "--out", out, "--dtype", "bfloat16")
    code, _, err = ssamba(*command)
    assert code == 0
    assert "no instructions for products in bfloat16" in err
    report = json.loads(out.read_text())
    assert report["settings"]["dtype"] == "bfloat16"
    assert report["accuracy"] > 0.8


@pytest.mark.parametrize("verb", ["embed --out x.npz x", "predict x", "evaluate --data x"])
def test_others_are_refused(ssamba, verb):
    code, _, err = ssamba(*verb.split(), "--checkpoint", "x", "--dtype", "float8")
    assert code == 2
    assert "dtype is 'float8', expected one of: float32, bfloat16, float16, int8, int8_weight_only" in err
