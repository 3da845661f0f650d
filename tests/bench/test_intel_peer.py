"""Intel's scan in a Python of its own: what is said to that Python, and what it may answer."""

from __future__ import annotations

import re
import sys
from contextlib import ExitStack
from importlib.util import find_spec

import pytest
import torch

from ssamba.bench.peers import intel
from ssamba.bench.peers.comparison import scan_inputs
from ssamba.bench.peers.registry import INTEL_PYTHON

NAME = "Intel's extension"
ANSWERS = """
import json, sys, numpy
u = numpy.load(sys.argv[1] + "/inputs.npz")["u"]
numpy.save(sys.argv[1] + "/y.npy", u + int(sys.argv[2]))
print(json.dumps({"version": "9", "instructions": "AVX9"}), flush=True)
for line in sys.stdin:
    print("{}", flush=True)
"""


@pytest.fixture
def script(tmp_path, monkeypatch):
    """script(text): this Python is that of Intel's extension, and runs `text` in place of intel_scan.py."""

    def use(text):
        (tmp_path / "script.py").write_text(text)
        monkeypatch.setattr(intel, "SCRIPT", tmp_path / "script.py")
        monkeypatch.setenv(INTEL_PYTHON, sys.executable)

    return use


def test_asked_and_answered(script):
    script(ANSWERS)
    inputs = scan_inputs("gated", 1, 13, 6, 4)
    with ExitStack() as resources:
        scan = intel.prepare(inputs, resources)
        assert (scan.version, scan.instructions) == ("9", "AVX9")
        for _ in range(3):
            torch.testing.assert_close(scan.run(), inputs["u"] + torch.get_num_threads())


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("print('hello')", "answered 'hello', expected an object in JSON"),
        ("print([1])", "answered '[1]', expected an object in JSON"),
        ("import sys; sys.exit('wrong torch')", "ended with code 1, its last words: wrong torch"),
        ("import os; os._exit(3)", "ended with code 3, its last words: none"),
        ("""print('{"error": "no such op"}')""", "cannot run the scan: no such op"),
    ],
)
def test_wrong_answers(text, sentence, script, run_peer):
    script(text)
    with pytest.raises(RuntimeError, match=f"^{INTEL_PYTHON} {re.escape(sentence)}; written for `python -m venv"):
        run_peer(NAME, "gated")


def test_no_such_python(monkeypatch, tmp_path, run_peer):
    monkeypatch.setenv(INTEL_PYTHON, str(tmp_path / "python"))
    sentence = rf"{INTEL_PYTHON} is '.*python', which does not start \(No such file or directory\); written for"
    with pytest.raises(RuntimeError, match=sentence):
        run_peer(NAME, "gated")


def test_a_python_without_the_extension(monkeypatch, run_peer):
    if find_spec("intel_extension_for_pytorch"):
        pytest.skip("the Python that runs the tests has Intel's extension")
    monkeypatch.setenv(INTEL_PYTHON, sys.executable)
    sentence = "cannot run the scan: ModuleNotFoundError: No module named 'intel_extension_for_pytorch'; written for"
    with pytest.raises(RuntimeError, match=sentence):
        run_peer(NAME, "gated")
