"""The README's examples run as they stand."""

from __future__ import annotations

import re
from pathlib import Path

import torch

from ssamba.cli import VERBS

README = (Path(__file__).parents[1] / "README.md").read_text()


def test_python_examples_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", README, flags=re.S)
    assert len(blocks) == 3
    names = {"x": torch.randn(2, 128, 128), "waveform": torch.randn(44100).numpy() * 0.1}
    for block in blocks:
        exec(block.replace("tiny(", "tiny(depth=2, input_tdim=128, masked_patches=20, "), names)
    assert names["y"].shape == (4, 100, 64)
    assert names["tokens"].shape == (2, 1 + 8 * 8, 192)
    assert names["logits"].shape == (2, 35)
    assert names["loss"].isfinite()
    assert names["vector"].shape[-1] == 192


def test_commands_are_verbs():
    verbs = set(re.findall(r"^ssamba (\w+)", README, flags=re.M))
    assert verbs
    assert verbs <= set(VERBS)
