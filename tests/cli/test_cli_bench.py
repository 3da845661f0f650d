"""`ssamba bench`: from the command line to the report."""

from __future__ import annotations

import json

import pytest


def test_measures_reports_and_reports_again(ssamba, tmp_path):
    out = tmp_path / "bench"
    options = ["--parts", "encoder", "--tokens", "16,40", "--providers", "ssamba,SSAST sdpa", "--threads", "1"]
    code, shown, told = ssamba("bench", *options, "--out", out)
    assert code == 0, told
    rows = json.loads((out / "results.json").read_text())["rows"]
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
        (["--dtypes", "float8"], "dtypes is 'float8', expected some of: float32, bfloat16"),
        (["--report", "--out", "nowhere"], "nowhere/results.json does not exist; run `ssamba bench --out nowhere`"),
    ],
)
def test_wrong_use(ssamba, options, message):
    code, _, told = ssamba("bench", *options)
    assert code == 2
    assert message in told
