"""benchmarks/transformer.py on the smallest inputs: what it keeps, what it does not measure twice, its tables."""

from __future__ import annotations

import itertools
import json
import os

import pytest

import neighbours
import side_by_side
import transformer
import transformer_sections
from alternating import in_turn, in_words, ratio, spread
from ssamba.bench.case import Case
from transformer_table import tables

GIB = 2**30


def test_rounds_alternate_after_one_that_warms_up():
    order, ticks = [], itertools.count()
    calls = {name: (lambda name=name: order.append(name)) for name in "ab"}
    times = in_turn(calls, seconds=0, least=3, clock=lambda: next(ticks))
    assert "".join(order) == "abababab"
    assert times == {"a": [1, 1, 1], "b": [1, 1, 1]}
    times = in_turn(calls, seconds=20, least=1, clock=lambda: next(ticks))
    assert len(times["a"]) == len(times["b"]) > 1


def test_ratios_are_of_the_same_round():
    found = ratio([1.0, 4.0, 30.0], [2.0, 4.0, 10.0])
    assert found == {"median": 1.0, "quartiles": [0.75, 2.0], "rounds": 3}
    assert in_words(found) == "1.00 (0.75 to 2.00)"
    assert spread([5.0]) == {"median": 5.0, "quartiles": [5.0, 5.0], "rounds": 1}


@pytest.fixture
def rehearse(tmp_path, capsys):
    """rehearse(*options) -> (rows, stdout, stderr)."""

    def run(*options: str):
        results = tmp_path / "results.json"
        assert transformer.main(["--rehearse", "--results", str(results), *options]) == 0
        return (json.loads(results.read_text())["rows"], *capsys.readouterr())

    return run


def test_rehearsal_and_again(rehearse, tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{transformer.BEGIN}\nold\n{transformer.END}\nafter\n")
    rows, out, err = rehearse("--sections", "encode,train")
    assert err.splitlines() == ["transformer: encode tiny 17 1", "transformer: train tiny 1 17 1"]
    encode, train = rows
    assert set(encode["seconds"]) == {"ssamba", "SSAST sdpa", "SSAST explicit"}
    assert set(train["ratio"]) == {"SSAST sdpa"}
    assert train["seconds"]["ssamba"]["rounds"] == 1
    assert "| tiny, 17 tokens | 1 | " in out
    rows, out, err = rehearse("--sections", "encode,busy", "--readme", str(readme))
    assert err.splitlines() == ["transformer: busy tiny 17 1"]
    assert rows[:2] == [encode, train]
    assert rows[2]["slowdown"].keys() == {neighbours.SPINNING, neighbours.MULTIPLYING}
    assert readme.read_text() == f"before\n{transformer.BEGIN}\n{out.rstrip()}\n{transformer.END}\nafter\n"
    rows, _, err = rehearse("--sections", "train", "--again")
    assert [row["section"] for row in rows] == ["encode", "busy", "train"]
    assert rows[2]["seconds"] != train["seconds"]


@pytest.mark.slow
def test_rehearsal_in_other_processes(rehearse):
    rows, out, _ = rehearse("--sections", "processes,memory")
    default, one = rows[:2]
    assert (default["omp_num_threads"], one["omp_num_threads"], one["threads_each"]) == ("default", "1", 1)
    assert all(row["clips_a_second"]["ssamba"]["median"] > 0 for row in rows[:2])
    peaks = {row["provider"]: row["peak_bytes"] for row in rows[2:]}
    assert peaks["SSAST sdpa"] > 4 * 4 * 5.3e6  # weights, gradients and two moments
    assert len(peaks) == 3
    assert "| train, tiny, 17 tokens | " in out


def test_a_neighbour_that_fails_is_not_waited_for():
    begins = neighbours.beside([("dance", "1")])
    with pytest.raises(ChildProcessError, match=r"neighbours\.py dance 1 ended before it was at work"):
        begins.__enter__()


def test_what_a_process_finds_in_its_environment(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    with side_by_side.omp_threads("default"):
        assert "OMP_NUM_THREADS" not in os.environ
    with side_by_side.omp_threads("1"):
        assert os.environ["OMP_NUM_THREADS"] == "1"
    assert os.environ["OMP_NUM_THREADS"] == "3"


def test_attention_that_cannot_fit_is_not_begun(monkeypatch):
    monkeypatch.setattr(transformer_sections, "usable_bytes", lambda: 10 * GIB)
    why = transformer_sections.too_much(Case("encoder", "SSAST explicit", tokens=22529))
    assert why == "needs about 11 GiB, of which 10 may be taken"
    assert transformer_sections.too_much(Case("encoder", "SSAST sdpa", tokens=22529)) is None
    assert transformer_sections.too_much(Case("encoder", "SSAST explicit", tokens=2049)) is None
    assert "about 79 GiB" in transformer_sections.too_much(Case("pretraining", "SSAST explicit", tokens=22529))


def test_tables_say_what_did_not_run_and_what_is_less():
    machine = {"cpu": "a processor", "isa": "avx2", "cores": 2}
    case = {"section": "memory", "part": "encoder", "size": "tiny", "tokens": 22529, "commit": "0123456789abcdef"}
    found = [
        {"provider": "ssamba", "status": "ok", "peak_bytes": 2 * 2**20},
        {"provider": "SSAST sdpa", "status": "out of memory", "why": "no room"},
        {"provider": "SSAST explicit", "status": "ok", "peak_bytes": 100 * 2**20},
    ]
    long = {"section": "encode", "size": "tiny", "tokens": 22529, "threads": 2, "commit": ""}
    long |= {"seconds": {"ssamba": spread([2.0]), "SSAST sdpa": spread([20.0])}, "ratio": {"SSAST sdpa": spread([0.1])}}
    long["not_run"] = {"SSAST explicit": "needs more"}
    rows = [*({**case, **row} for row in found), long]
    lines = tables({"machine": machine, "versions": {"torch": "2.13"}, "rows": rows}).splitlines()
    assert lines[0].startswith("Measured on: a processor (avx2), 2 cores; torch 2.13, commit 0123456789ab. ")
    assert "| encode, tiny, 22,529 tokens | 2 | out of memory | 100 |  | 98.0% less |" in lines
    assert "| tiny, 22,529 tokens | 2 | 2000 | 2e+04 | 0.10 (0.10 to 0.10) | needs more |  |" in lines


def test_figures_of_two_machines_are_not_mixed(rehearse, tmp_path, capsys):
    results = tmp_path / "results.json"
    rehearse("--sections", "train")
    kept = json.loads(results.read_text())
    kept["machine"]["isa"] = "sse2"
    results.write_text(json.dumps(kept))
    command = ["--rehearse", "--sections", "train", "--results", str(results)]
    assert transformer.main(command) == 2
    assert "holds figures of another machine" in capsys.readouterr().err
    assert transformer.main([*command, "--report"]) == 0
    assert "(sse2)" in capsys.readouterr().out


def test_without_figures_there_is_no_report(tmp_path, capsys):
    assert transformer.main(["--report", "--results", str(tmp_path / "none.json")]) == 2
    assert "none.json does not exist; measure first, without --report" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--sections", "encode,sleep"], "there is no sleep; choose from encode, train"),
        (["--threads", "two"], "--threads is 'two', expected numbers such as 2,1"),
        (["--rehearse"], "--rehearse needs --results FILE"),
    ],
)
def test_wrong_use(options, message, capsys):
    with pytest.raises(SystemExit):
        transformer.main(options)
    assert message in capsys.readouterr().err
