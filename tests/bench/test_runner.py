"""What a run does with cases that cannot be measured."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

import ssamba_ops
from ssamba.bench import isolation, runner
from ssamba.bench.case import Case, Plan
from ssamba.bench.isolation import measure

LENGTHS = (100, 1000, 10000, 100000)


@pytest.fixture
def started(monkeypatch):
    """Pretends that a case takes 1 ms a token and that more than 9999 tokens do not fit; lists what was started."""
    cases = []

    def pretend(case, threads, limit, isa):
        cases.append((case.provider, case.tokens))
        found = {**case.to_dict(), "group": case.group, "threads": threads}
        if case.tokens > 9999:
            return {**found, "status": "out of memory", "why": "no room"}
        seconds = case.tokens / 1000
        return {**found, "status": "ok", "seconds": seconds, "slowest": seconds, "peak_bytes": 0}

    monkeypatch.setattr(runner, "measure", pretend)
    return cases


def run(providers, budget=3600.0, longest=3600.0):
    cases = Plan(parts=["encoder"], tokens=LENGTHS, providers=providers).cases()
    rows = runner.run_cases(cases, 2, budget, longest)
    return {(row["provider"], row["tokens"]): (row["status"], row.get("why", "")) for row in rows}


def test_after_the_first_that_does_not_fit_no_longer_one_is_started(started):
    rows = run(["ssamba", "SSAST explicit"])
    assert rows["ssamba", 1000] == ("ok", "")
    assert rows["ssamba", 10000] == ("out of memory", "no room")
    assert rows["ssamba", 100000] == ("out of memory", "as on 10000 tokens")
    assert ("ssamba", 100000) not in started
    assert len(rows) == 8


def test_too_long_is_foreseen(started):
    """From 1 s on 1000 tokens: 10 s on 10000 by a linear model, 100 s by a quadratic one."""
    rows = run(["ssamba", "SSAST sdpa"], longest=50.0)
    assert rows["ssamba", 10000] == ("out of memory", "no room")
    status, why = rows["SSAST sdpa", 10000]
    assert status == "not run"
    assert why.startswith("would take about 100 s")


def test_used_up_budget(started):
    rows = run(["ssamba"], budget=0.0)
    assert set(rows.values()) == {("not run", "the time budget is used up")}
    assert not started


@pytest.mark.parametrize("isa", ["baseline", None])
def test_a_case_runs_on_the_instruction_set_asked_for(isa, monkeypatch):
    found = []
    monkeypatch.setattr(isolation, "_limit_memory", lambda: None)
    monkeypatch.setattr("torch.set_num_threads", lambda threads: None)
    monkeypatch.setattr(isolation, "_figures", lambda case, finish: {"isa": ssamba_ops.current_cpu_isa()})
    isolation._measured(SimpleNamespace(send=found.append, close=lambda: None), Case("ops", "ssamba"), 1, isa)
    assert found == [{"status": "ok", "isa": isa or ssamba_ops.available_cpu_isas()[-1]}]


@pytest.mark.slow
def test_one_real_case():
    found = measure(Case("encoder", "ssamba", tokens=40), threads=1, limit=120)
    assert found["status"] == "ok", found
    assert found["seconds"] > 0
    assert found["peak_bytes"] > 2 * 4 * 6.7e6  # the weights, as they are and packed
    assert found["group"] == "encoder tiny 1 x 40 float32"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("case", "status"),
    [
        (Case("features", "torchaudio", batch=1), "not installed"),
        (Case("encoder", "SSAST explicit", tokens=200_000), "out of memory"),
    ],
)
def test_real_cases_that_fail(case, status, monkeypatch, tmp_path):
    """torchaudio is hidden from the process that measures."""
    (tmp_path / "torchaudio.py").write_text("raise ImportError('hidden')")
    monkeypatch.syspath_prepend(tmp_path)
    found = measure(case, threads=1, limit=120)
    assert found["status"] == status, found
    assert found["why"]
