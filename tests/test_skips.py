from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = """
import skips

def pytest_addoption(parser):
    skips.add_option(parser)

def pytest_configure(config):
    config.pluginmanager.register(skips.Skips(), "skips")
"""
TESTS = """
import pytest

@pytest.mark.parametrize("i", range(3))
def test_of_another_machine(i):
    pytest.skip("{reason}")

def test_passes():
    pass
"""
EXPECTED, UNEXPECTED = "could not import 'torchaudio.compliance.kaldi'", "the moon is full"


@pytest.mark.parametrize(
    ("reason", "options", "line", "code"),
    [
        (EXPECTED, [], f"3 skipped: {EXPECTED}\n", 0),
        (EXPECTED, ["--no-unexpected-skips"], f"3 skipped: {EXPECTED}\n", 0),
        (UNEXPECTED, [], f"3 skipped: {UNEXPECTED}  UNEXPECTED\n", 0),
        (UNEXPECTED, ["--no-unexpected-skips"], f"3 skipped: {UNEXPECTED}  UNEXPECTED\n", 1),
    ],
)
def test_a_run_says_why_and_fails_where_it_is_not_expected(reason, options, line, code, tmp_path):
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_some.py").write_text(TESTS.format(reason=reason))
    path = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *options, str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert line in run.stdout
    assert run.returncode == code
