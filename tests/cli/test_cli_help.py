"""Help is complete, fits 80 columns, and comes at once."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
from functools import partial
from importlib import import_module

import pytest

from ssamba.cli import VERBS
from ssamba.cli.arguments import make_settings
from ssamba.cli.bench import BenchSettings
from ssamba.cli.embed import EmbedSettings
from ssamba.cli.predict import PredictSettings
from ssamba.cli.stats import StatsSettings
from ssamba.cli.training_verb import training_settings
from ssamba.training import EvaluateSettings, FinetuneSettings, PretrainSettings, RepeatSettings

SETTINGS = {
    "pretrain": PretrainSettings,
    "finetune": FinetuneSettings,
    "evaluate": EvaluateSettings,
    "embed": EmbedSettings,
    "predict": PredictSettings,
    "stats": StatsSettings,
    "repeat": RepeatSettings,
    "bench": BenchSettings,
}


def test_top_help_names_every_verb(ssamba):
    code, out, err = ssamba("--help")
    assert (code, err) == (0, "")
    assert all(re.search(rf"^  {verb} ", out, re.MULTILINE) for verb in VERBS)
    assert max(map(len, out.splitlines())) <= 80


@pytest.mark.parametrize("verb", sorted(SETTINGS))
def test_verb_help(verb, ssamba, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    code, out, _ = ssamba(verb, "--help")
    assert code == 0
    assert max(map(len, out.splitlines())) <= 80
    assert f"example:\n  ssamba {verb} " in out
    for item in dataclasses.fields(SETTINGS[verb]):
        option = item.name.upper() if item.metadata["positional"] else "--" + item.name.replace("_", "-")
        assert re.search(rf"^  {option}\b", out, re.MULTILINE), option
        assert item.metadata["help"].split()[0] in out


@pytest.mark.parametrize("verb", VERBS)
def test_examples_are_understood(verb, ssamba, pretrained, monkeypatch, tmp_path):
    module = import_module(f"ssamba.cli.{verb}")
    understood = []

    def settings_only(asked, args):
        if asked in ("pretrain", "finetune", "repeat"):
            training_settings(SETTINGS[asked], args, asked)
        elif asked in SETTINGS:
            make_settings(SETTINGS[asked], args)
        understood.append(asked)
        return 0

    for name in VERBS:
        monkeypatch.setattr(f"ssamba.cli.{name}.run", partial(settings_only, name))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pretrain.yaml").write_text("data: clips\nout: runs/pretrained\n")
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "pretrained").symlink_to(pretrained)  # for the example that resumes

    commands = re.sub(r"\\\n\s*", "", module.EXAMPLE).splitlines()
    for command in commands:
        program, *argv = re.sub(r"torchrun .* -m ssamba", "ssamba", command).partition(" | ")[0].split()
        assert program == "ssamba"
        code, _, err = ssamba(*argv)
        assert (code, err) == (0, ""), command
    assert len(understood) == len(commands) > 0
    assert verb in understood


def test_help_and_version_are_words_too(ssamba):
    assert ssamba("help") == ssamba("--help")
    assert ssamba("help", "predict") == ssamba("predict", "--help")
    assert ssamba("version") == ssamba("--version")


def test_version(ssamba):
    code, out, _ = ssamba("--version")
    assert code == 0
    assert out.startswith("ssamba ")


def test_help_does_not_import_torch():
    script = (
        "import sys; from ssamba.cli import main; codes = [main([v, '--help']) for v in "
        f"{[*SETTINGS, 'prepare']}] + [main(['--help'])]; "
        "sys.exit(str(codes) if any(codes) or {'torch', 'numpy', 'accelerate'} & set(sys.modules) else 0)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
