"""`ssamba bench`: from the command line to the report."""

from __future__ import annotations

import json

import pytest

import ssamba_ops
from ssamba.cli.bench import LEVELS


def test_measures_reports_and_reports_again(ssamba, tmp_path):
    out = tmp_path / "bench"
    options = ["--parts", "encoder", "--tokens", "16,40", "--providers", "ssamba,SSAST sdpa", "--threads", "1"]
    options += ["--isa", "baseline"]
    code, shown, told = ssamba("bench", *options, "--out", out)
    assert code == 0, told
    results = json.loads((out / "results.json").read_text())
    rows, machine = results["rows"], results["machine"]
    assert (machine["isa"], machine["threads"]) == ("baseline", 1)
    assert machine["cpu"]
    assert [(row["provider"], row["tokens"], row["status"]) for row in rows] == [
        ("ssamba", 16, "ok"),
        ("SSAST sdpa", 16, "ok"),
        ("ssamba", 40, "ok"),
        ("SSAST sdpa", 40, "ok"),
    ]
    assert all(row["seconds"] > 0 and row["peak_bytes"] > 0 for row in rows)
    assert len(told.splitlines()) == 4
    assert "| tiny 1 x 40 float32 | SSAST sdpa |" in shown
    (out / "bench.md").unlink()
    code, again, told = ssamba("bench", "--report", "--out", out)
    assert (code, again, told) == (0, shown, "")
    assert (out / "bench.md").read_text() in shown


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--parts", "encoder,kitchen"], "parts is 'encoder,kitchen', expected some of: encoder, pretraining"),
        (["--tokens", "0"], "tokens is '0', expected whole numbers above 0"),
        (["--isa", "sse9"], "isa is 'sse9', expected one of: baseline, avx2, avx512"),
        (["--dtypes", "float8"], "dtypes is 'float8', expected some of: float32, bfloat16"),
        (["--report", "--out", "nowhere"], "nowhere/results.json does not exist; run `ssamba bench --out nowhere`"),
    ],
)
def test_wrong_use(ssamba, options, message):
    code, _, told = ssamba("bench", *options)
    assert code == 2
    assert message in told


def test_an_instruction_set_that_the_processor_lacks(ssamba, monkeypatch, tmp_path):
    monkeypatch.setattr(ssamba_ops, "available_cpu_isas", lambda: ("baseline", "avx2"))
    code, shown, told = ssamba("bench", "--isa", "avx512", "--out", tmp_path / "bench")
    assert (code, shown) == (2, "")
    assert told == "ssamba: error: this processor runs avx2; avx512 is not available here\n"
    assert not (tmp_path / "bench").exists()


def test_levels_are_those_of_the_ops():
    """Written down twice, since help comes without loading the ops."""
    assert ssamba_ops.isa.LEVELS == LEVELS
