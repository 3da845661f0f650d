"""benchmarks/gpu.py as far as it goes without a GPU: floors, what is not run and why, tables."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import types
from pathlib import Path

import pytest
import torch

import gpu
import gpu_floor
import gpu_predictions
import gpu_training
import report
from gpu_floor import Rates, Work
from gpu_providers import PROVIDERS, NotInstalled, Prepared
from ssamba_ops import reference

RATES = Rates(bytes=3000.0, exponentials=3600.0, fmas=30000.0)


def test_floors_follow_from_the_shape():
    forward = gpu_floor.bi_scan_work(4, 4097, 384, 16, element=2, gradient=False)
    rows = 4 * 4097 * 384
    assert forward == Work(6 * rows * 2 + 4 * 4 * 4097 * 16 * 2, 2 * rows * 16, 4 * 2 * rows * 16)
    floors = forward.floors_ms(RATES)
    assert floors["exponentials"] == pytest.approx(32 * rows / 3600 / 1e6)
    assert max(floors, key=floors.__getitem__) == "exponentials"
    step = gpu_floor.bi_scan_work(4, 4097, 384, 16, element=2, gradient=True)
    assert step.fmas == 16 * 2 * rows * 16
    assert gpu_floor.bi_conv1d_work(4, 10, 8, element=4, gradient=False).bytes == 3 * 320 * 4
    assert gpu_floor.patch_mask_work(4, 10, 8, element=4, gradient=True).bytes == 4 * 320 * 4


def row(provider: str, milliseconds: float) -> dict:
    return {
        "group": "bi_scan forward (4, 4097, 384) bfloat16",
        "provider": provider,
        "median_ms": milliseconds,
        "gigabytes_per_second": 100.0,
        "floor": "exponentials",
        "floor_share": 0.5,
        "peak_megabytes": 12.0,
    }


def test_table_says_card_ratio_floor_and_what_was_not_run():
    run = {
        "machine": {
            "gpu": "a card",
            "copy_gigabytes_per_second": 3000.0,
            "exponentials_per_ns": 3600.0,
            "fmas_per_ns": 30000.0,
        },
        "versions": {"torch": "2.13"},
        "rows": [row("ssamba", 1.0), row("mamba-ssm", 4.0)],
        "not_run": [{"group": "bi_conv1d float32", "provider": "causal-conv1d", "reason": "does not import"}],
    }
    text = report.tables(run)
    assert "Measured on one a card; torch 2.13." in text
    assert "| bi_scan forward (4, 4097, 384) bfloat16 | mamba-ssm | 4 | 4.00 |" in text
    assert "100.0 GB/s, 50% of the floor (exponentials), 12 MB" in text
    assert "- causal-conv1d, bi_conv1d float32: does not import" in text


def test_missing_providers_and_wrong_results_are_listed_once_and_time_is_kept(monkeypatch):
    def missing(inputs):
        raise NotInstalled("peer does not import (no module)")

    def wrong(inputs):
        return Prepared(lambda: (torch.zeros(2, 2, 50, 24),), [])

    providers = {"ssamba": PROVIDERS["bi_conv1d"]["ssamba"], "missing": missing, "wrong": wrong}
    monkeypatch.setattr(gpu, "PROVIDERS", {"bi_conv1d": providers})
    monkeypatch.setattr(gpu, "time_case", lambda op, *case: [{"group": op, "median_ms": 1.0}])
    ticks = iter(range(1000))
    run = gpu.Run("cpu", ops=["bi_conv1d"])
    rows, not_run = gpu.run_all(run, RATES, budget_seconds=10, clock=lambda: next(ticks))
    assert {x["provider"] for x in rows} == {"ssamba"}
    reasons = {(x["provider"], x["reason"]) for x in not_run}
    assert ("missing", "peer does not import (no module)") in reasons
    assert ("wrong", "Tensor-likes are not close!") in reasons
    assert ("ssamba", "the run's 10 seconds were over") in reasons
    assert sum(x["provider"] == "missing" for x in not_run) == len(gpu.DTYPES)


@pytest.mark.parametrize("dtype", gpu.DTYPES)
@pytest.mark.parametrize(("op", "name"), [(op, name) for op in PROVIDERS for name in PROVIDERS[op]])
def test_every_provider_computes_the_op(op, name, dtype, monkeypatch):
    """Peers' functions are stood in for by definitions in their layout, so that flips and transposes are checked."""

    def selective_scan_fn(u, delta, A, B, C, D, z, delta_bias, delta_softplus):
        inputs = {
            "u": u.mT,
            "delta": delta.mT,
            "A": A,
            "B": B.mT,
            "C": C.mT,
            "D": D,
            "z": z.mT,
            "delta_bias": delta_bias,
        }
        return reference.selective_scan(**inputs, delta_softplus=delta_softplus)[0].mT

    def causal_conv1d_fn(x, weight, bias, activation):
        return reference.causal_conv1d(x.mT, weight, bias, silu=activation == "silu").mT

    stand_ins = {
        "mamba_ssm": {},
        "mamba_ssm.ops": {},
        "mamba_ssm.ops.selective_scan_interface": {"selective_scan_fn": selective_scan_fn},
        "causal_conv1d": {"causal_conv1d_fn": causal_conv1d_fn},
    }
    for module, members in stand_ins.items():
        monkeypatch.setitem(sys.modules, module, types.SimpleNamespace(**members))
    monkeypatch.setattr(torch, "compile", lambda function: function)
    gpu.check_against_reference(op, PROVIDERS[op][name], dtype, "cpu")
    prepared = PROVIDERS[op][name](gpu.inputs_of(op, (2, 50, 24), dtype, "cpu"))
    results = prepared.call()
    gradients = torch.autograd.grad(results, prepared.leaves, [torch.ones_like(x) for x in results])
    assert all(x.isfinite().all() for x in gradients)


def test_without_a_gpu_it_says_so(monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert gpu.main([]) == 2
    assert "finds no GPU" in capsys.readouterr().err


def test_without_nvcc_it_says_so(monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(gpu.shutil, "which", lambda name: None)
    assert gpu.main([]) == 2
    assert "nvcc is not on PATH" in capsys.readouterr().err


def test_an_op_that_is_not_there_is_named(capsys):
    with pytest.raises(SystemExit):
        gpu.main(["--rehearse", "--ops", "bi_scan,scan"])
    assert "there is no scan; choose from bi_scan" in capsys.readouterr().err


def test_predictions_follow_the_kernels_own_numbers():
    """The choices are those of tests/simt/test_scan_blocks.py, which asks the kernels."""
    for direction, lanes in (("Forward", [2, 4, 8, 4, 8]), ("Backward", [4, 8, 8, 4, 8])):
        shapes = [(64, 384), (4, 384), (4, 768), (4, 1536), (1, 768)]
        found = [gpu_predictions.choose(gpu_predictions.blocks(direction), *shape, 132).lanes for shape in shapes]
        assert found == lanes
    block = gpu_predictions.Block(lanes=2, threads=64, latency=100, issue=10, resident=4)
    assert block.clocks(1, 32, 1) == 110
    assert block.clocks(8, 32, 1) == 2 * 140
    run = {"machine": {"multiprocessors": 132}, "rows": [row("ssamba", 0.4), row("mamba-ssm", 4.0)]}
    run["rows"][0]["shape"] = {"B": 4, "L": 4097, "D": 384}
    line = gpu_predictions.table(run).splitlines()[-1]
    assert line.startswith("| bi_scan forward (4, 4097, 384) bfloat16 | 0.283 | 0.4 | 1.4")
    with pytest.raises(ValueError, match="has no line with kForwardBlocks"):
        gpu_predictions.blocks("Forward", "// nothing")


def test_half_precision_is_compared_at_equal_steps_and_nan_is_found():
    def runs(half, exact):
        return {"bfloat16": half, "float32": exact}

    exact = {"0": [5.0, 2.0], "1": [5.0, 2.5]}
    assert gpu_training.compare(runs({"0": [5.0, 2.1, 9.0], "1": [5.0, 2.4]}, exact))["as_float32"]
    assert not gpu_training.compare(runs({"0": [5.0, 4.0], "1": [5.0, 2.4]}, exact))["as_float32"]
    broken = gpu_training.compare(runs({"0": [5.0, float("nan")], "1": [5.0, 2.4]}, exact))
    assert not broken["finite"]
    assert not broken["as_float32"]


def test_the_day_goes_on_after_a_failure_and_where_it_stopped(tmp_path):
    def day(*options: str) -> subprocess.CompletedProcess:
        script = Path(__file__).parents[1] / "benchmarks" / "gpu_day.sh"
        environment = os.environ | {"PYTHON": sys.executable}
        return subprocess.run([script, *options], capture_output=True, text=True, env=environment)

    steps = ("--rehearse", "--out", str(tmp_path), "--steps", "predictions,environment")
    first = day(*steps)
    assert first.returncode == 1
    assert "gpu_day: environment," in first.stdout
    assert "gpu_day: predictions FAILED" in first.stdout
    assert "No such file or directory" in first.stdout
    (tmp_path / "ops.json").write_text(json.dumps({"machine": {"multiprocessors": 0}, "rows": []}))
    second = day(*steps)
    assert second.returncode == 0
    assert "gpu_day: environment was done before" in second.stdout
    assert (tmp_path / "predictions.md").read_text().startswith("| what |")
    assert day("--out-of-order").returncode == 2
