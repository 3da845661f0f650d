"""The check of the functions of one float, on a thin sample: it passes, and finds every error that is planted."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
SAMPLE = ("--every", "65537")
PATH = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))  # cmake and ninja of this environment

pytestmark = pytest.mark.skipif(
    not all(shutil.which(tool, path=PATH) for tool in ("c++", "cmake", "ninja")),
    reason="needs a C++ compiler, cmake and ninja: pip install cmake ninja",
)


@pytest.fixture(scope="session")
def check(tmp_path_factory):
    """check(*options) -> the finished process."""
    build = tmp_path_factory.mktemp("exhaustive")

    def run(*options: str) -> subprocess.CompletedProcess:
        command = [HERE / "run.sh", build, *options]
        return subprocess.run(command, env={**os.environ, "PATH": PATH}, capture_output=True, text=True)

    return run


def test_every_level_keeps_its_promises(check):
    run = check(*SAMPLE)
    assert (run.returncode, run.stderr) == (0, "")
    rows = [line.split()[:2] for line in run.stdout.splitlines()[2:]]
    for function in ("exp2", "softplus", "slope"):
        assert [function, "baseline"] in rows


@pytest.mark.parametrize(
    ("planted", "sentence"),
    [
        ("coefficient", "expected a relative error within the bound of contracts.h."),
        ("nan", "exp2 on baseline breaks a promise: of nan it is 0, exactly nan; expected a NaN."),
        ("infinity", "exp2 on baseline breaks a promise: of inf it is 3.40282347e+38, exactly inf; expected infinity."),
        ("underflow", "exactly 0; expected 0 to the smallest normal float."),
        ("rounded-decay", "expected 1 only where that is 0.51 units off at most."),
        ("slow-decay", "it is 0.99999994, exactly 1; expected less than a unit in the last place off."),
        ("identity", "expected the argument itself above 20."),
    ],
)
def test_planted_errors_are_found(check, planted, sentence):
    run = check(*SAMPLE, "--plant", planted)
    assert run.returncode == 1
    assert sentence in run.stderr


@pytest.mark.parametrize("options", [("--every", "0"), ("--every",), ("--plant", "nothing"), ("--all", "1")])
def test_wrong_use(check, options):
    run = check(*options)
    assert (run.returncode, run.stdout) == (2, "")
    assert run.stderr.startswith("usage: check [--every N] [--plant ERROR]")
