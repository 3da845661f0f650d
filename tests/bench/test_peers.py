"""The scans of others: each computes what it is compared with, and one that cannot has a sentence for it."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from importlib.util import find_spec
from types import SimpleNamespace

import pytest
import torch

import ssamba_ops
from ssamba.bench.case import PROVIDERS, Case, Plan
from ssamba.bench.isolation import measure
from ssamba.bench.peers import comparison, ggml
from ssamba.bench.peers.comparison import Scan, scan_inputs
from ssamba.bench.peers.registry import COMPUTED, INTEL_PYTHON, PEERS, absent
from ssamba.bench.runner import in_words

OTHERS = [name for name in PEERS if name != "ssamba"]


def test_ours_is_in_every_comparison():
    groups = {}
    for case in Plan(parts=["peers"]).cases():
        groups.setdefault(case.group, []).append(case.provider)
    assert len(groups) == len(COMPUTED) * 2 * 2
    for members in groups.values():
        assert members[0] == PROVIDERS["peers"][0] == "ssamba"
        assert len(members) > 1
    assert groups["peers softplus tiny 1 x 4096 float32 2 threads"] == ["ssamba", "ggml", "ONNX Runtime"]
    assert {name for members in groups.values() for name in members} == set(PEERS)


@pytest.mark.parametrize("name", OTHERS)
def test_a_peer_is_a_file_and_a_command(name):
    peer = PEERS[name]
    assert callable(import_module(f"ssamba.bench.peers.{peer.module}").prepare)
    assert set(peer.computes) <= set(COMPUTED)
    assert "pip install " in peer.install
    assert peer.packages


@pytest.mark.parametrize(("name", "computed"), [(name, one) for name, peer in PEERS.items() for one in peer.computes])
def test_numbers(name, computed, run_peer):
    peer = PEERS[name]
    here = os.environ.get(INTEL_PYTHON) if peer.module == "intel" else all(map(find_spec, peer.packages))
    if not here:
        pytest.skip(f"{name} is not installed: {peer.install}")
    y = run_peer(name, computed)  # has held it against the reference
    assert y.shape == (1, 13, 384)
    assert y.abs().max() > 0.1


def test_all_scan_by_the_same_steps():
    """Without skip and gate, the results of all three are one."""
    inputs = {computed: scan_inputs(computed, 2, 13, 6, 4) for computed in COMPUTED}
    inputs["gated"] |= {"D": None, "z": None}
    given, softplus, gated = (ssamba_ops.selective_scan(**inputs[computed])[0] for computed in COMPUTED)
    torch.testing.assert_close(softplus, given)
    torch.testing.assert_close(gated, given)


@pytest.mark.parametrize("name", OTHERS)
def test_an_absent_peer_names_the_command(name, monkeypatch, run_peer):
    monkeypatch.delenv(INTEL_PYTHON, raising=False)
    loaded = [module for module in sys.modules if module.partition(".")[0] in PEERS[name].packages]
    for module in {*loaded, *PEERS[name].packages}:
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError) as found:
        run_peer(name, PEERS[name].computes[0])
    assert absent(found.value).endswith(f"; install it by `{PEERS[name].install}`")


def test_what_else_is_absent_has_no_command():
    assert absent(ModuleNotFoundError("No module named 'x'", name="x")) == "No module named 'x'"
    assert absent(ImportError("hidden")) == "hidden"


@pytest.mark.slow
def test_absent_mambapy_in_another_part(monkeypatch, tmp_path):
    (tmp_path / "mambapy.py").write_text("raise ModuleNotFoundError('hidden', name='mambapy')")
    monkeypatch.syspath_prepend(tmp_path)
    found = measure(Case("ops", "mambapy", tokens=40, detail="bi_scan"), threads=1, limit=120)
    assert (found["status"], found["why"]) == ("not installed", "hidden; install it by `pip install mambapy==1.2.0`")


@pytest.mark.slow
def test_a_case_has_its_own_threads():
    found = measure(Case("peers", "ssamba", tokens=40, detail="softplus", threads=1), threads=2, limit=120)
    assert found["status"] == "ok", found
    assert found["threads"] == 1
    assert found["instructions"]
    assert "peak_bytes" not in found  # the check needs more than the scan
    assert in_words(found).endswith(" ms")


def fall(y):
    raise OSError


@pytest.mark.parametrize(
    ("broken", "sentence"),
    [
        (torch.zeros_like, r"its numbers are wrong: \S+ off the reference in float64, expected 0.0001"),
        (lambda y: y * float("nan"), "its numbers are wrong: nan off the reference in float64, expected 0.0001"),
        (lambda y: y[:, 1:], r"its result is \(1, 12, 384\), expected \(1, 13, 384\)"),
        (lambda y: {}["kernel"], "KeyError: 'kernel'"),
        (fall, "OSError: "),
    ],
)
def test_a_broken_peer_has_a_sentence(broken, sentence, monkeypatch, run_peer):
    def prepare(inputs, resources):
        return Scan(lambda: broken(ssamba_ops.selective_scan(**inputs)[0]))

    monkeypatch.setattr(comparison, "import_module", lambda *_: SimpleNamespace(prepare=prepare))
    with pytest.raises(RuntimeError, match=f"^{sentence}; written for `pip install libggml"):
        run_peer("ggml", "softplus")


@pytest.mark.slow
def test_a_peer_that_ends_its_process(monkeypatch, tmp_path):
    (tmp_path / "libggml.py").write_text("import os; os.abort()")
    monkeypatch.syspath_prepend(tmp_path)
    found = measure(Case("peers", "ggml", tokens=40, detail="softplus"), threads=1, limit=120)
    assert found["status"] == "failed"
    assert found["why"] == f"the process ended with code -6; written for `{PEERS['ggml'].install}`"


def test_ggml_without_its_library(tmp_path):
    with pytest.raises(RuntimeError, match="the package libggml has no library libggml-base"):
        ggml.library(tmp_path, "libggml-base")


def test_ggml_without_its_functions(tmp_path, monkeypatch):
    (tmp_path / "libggml-base.so").touch()
    monkeypatch.setattr(ggml, "CDLL", lambda file: SimpleNamespace(ggml_version=SimpleNamespace()))
    with pytest.raises(RuntimeError, match="libggml-base has no function ggml_init"):
        ggml.library(tmp_path, "libggml-base")
