"""A tiny data set, and models trained on it through the command line."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "training"))
from tone_clips import TINY_OPTIONS, write_tones


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """These shapes are too small for two; restored for other tests."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def clips(tmp_path_factory) -> Path:
    return write_tones(tmp_path_factory.mktemp("cli") / "clips")


@pytest.fixture(scope="session")
def pretrained(clips, tmp_path_factory) -> Path:
    from ssamba.cli import main

    out = tmp_path_factory.mktemp("cli") / "pretrained"
    assert main(["pretrain", "--data", str(clips), "--out", str(out), *TINY_OPTIONS, "--epochs", "1", "--quiet"]) == 0
    return out


@pytest.fixture(scope="session")
def finetuned(clips, pretrained, tmp_path_factory) -> Path:
    from ssamba.cli import main

    out = tmp_path_factory.mktemp("cli") / "finetuned"
    options = ["--pretrained", str(pretrained), "--epochs", "6", "--batch-size", "4", "--learning-rate", "5e-3"]
    assert main(["finetune", "--data", str(clips), "--out", str(out), *options, "--validation-share", "0.25"]) == 0
    return out


@pytest.fixture
def ssamba(capsys):
    """ssamba("verb", ...) -> (exit code, stdout, stderr)."""
    from ssamba.cli import main

    def run(*argv):
        capsys.readouterr()
        code = main([str(argument) for argument in argv])
        return code, *capsys.readouterr()

    return run
