"""The table of scans, and the page that it stands on."""

from __future__ import annotations

import pytest

from ssamba.bench.peers.table import peers_table
from ssamba.bench.report import PEERS_BEGIN, PEERS_END, fill_in, report
from ssamba.bench.results import new_results


@pytest.fixture
def rows(row):
    def make(provider, tokens, threads, seconds=None, **fields):
        fields |= {"part": "peers", "detail": "softplus", "tokens": tokens, "threads": threads}
        return row(provider, seconds, **fields)

    ours = {"version": "", "instructions": "avx2"}
    return [
        make("ssamba", 513, 1, 0.002, **ours),
        make("ggml", 513, 1, 1.2344, version="0.20.2", instructions="avx2"),
        make("ONNX Runtime", 513, 1, status="not installed", why="No module named 'onnx'"),
        make("ssamba", 4096, 2, 0.014, **ours),
        make("ggml", 4096, 2, status="failed", why="no | room"),
        make("ONNX Runtime", 4096, 2, status="not installed", why="as on 513 tokens"),
    ]


def test_table(rows):
    assert peers_table(rows).splitlines() == [
        "| channels | computed | by | 513 tokens, 1 thread | 4,096 tokens, 2 threads |",
        "|--:|---|---|--:|--:|",
        "| 384 | Δ by softplus | ssamba, AVX2 | 2 ms | 14 ms |",
        "| 384 | Δ by softplus | ggml 0.20.2, AVX2 | 1234 ms, 617.2 × | failed |",
        "| 384 | Δ by softplus | ONNX Runtime | not installed | not installed |",
        "",
        "* ONNX Runtime: not installed: No module named 'onnx'",
        "* ggml: failed: no | room",
    ]


def test_report_has_the_table(rows, row):
    text = report(new_results([row("ssamba", 1.0), *rows], threads=2, isa="avx2"))
    assert "## One direction of the scan, beside those of others\n\n| channels |" in text
    assert "| tiny 1 x 513 float32 | ssamba | 1000 |" in text


def test_page_between_its_marks(rows, tmp_path):
    page, results = tmp_path / "page.md", new_results(rows, threads=2, isa="avx2")
    page.write_text(f"before\n{PEERS_BEGIN}\nold\n{PEERS_END}\nafter\n")
    fill_in(page, results)
    lines = page.read_text().splitlines()
    assert lines[:2] == ["before", PEERS_BEGIN]
    assert lines[2].startswith("Measured on: ")
    assert peers_table(rows).splitlines() == lines[4:-2]
    assert lines[-2:] == [PEERS_END, "after"]
    page.write_text("no marks")
    with pytest.raises(ValueError, match="has no line"):
        fill_in(page, results)
