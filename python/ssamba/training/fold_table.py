"""Mean and standard deviation of test metrics over folds and seeds."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any


def metric_table(runs: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """For each metric of runs {"fold", "seed", "test": {metric: value}}, each fold run with each seed:

    `by_fold`: mean over seeds of each fold; `by_seed`: mean over folds of each seed; `mean` of all runs;
    `std_over_folds`, `std_over_seeds`: standard deviation (n - 1) of `by_fold` and of `by_seed`, None for one fold or
    one seed. A metric that some run does not have, or that is infinite in it (None), has no entry but `undefined_in`.
    """
    names = dict.fromkeys(name for run in runs for name in run["test"])
    return {name: _summary(name, runs) for name in names}


def _summary(name: str, runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    undefined = [f"fold {run['fold']}, seed {run['seed']}" for run in runs if run["test"].get(name) is None]
    if undefined:
        return {"undefined_in": undefined}
    means = {
        axis: {
            str(place): statistics.fmean(run["test"][name] for run in runs if run[axis] == place)
            for place in dict.fromkeys(run[axis] for run in runs)
        }
        for axis in ("fold", "seed")
    }
    return {
        "mean": statistics.fmean(run["test"][name] for run in runs),
        "std_over_folds": _deviation(list(means["fold"].values())),
        "std_over_seeds": _deviation(list(means["seed"].values())),
        "by_fold": means["fold"],
        "by_seed": means["seed"],
    }


def _deviation(values: list[float]) -> float | None:
    return statistics.stdev(values) if len(values) > 1 else None


def format_table(results: dict[str, Any]) -> str:
    """One row a run with its test metrics, then mean and standard deviations, as text."""
    metrics = results["metrics"]
    rows = [["fold", "seed", *metrics]]
    for run in results["runs"]:
        rows.append([run["fold"], str(run["seed"]), *(_number(run["test"].get(name)) for name in metrics)])
    summaries = {"mean": "mean", "std folds": "std_over_folds", "std seeds": "std_over_seeds"}
    for title, key in summaries.items():
        rows.append([title, "", *(_number(values.get(key)) for values in metrics.values())])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join(lines)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
