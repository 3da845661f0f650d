"""`ssamba bench`."""

from __future__ import annotations

import sys
from argparse import Namespace
from dataclasses import dataclass
from pathlib import Path

from ..bench.case import PARTS, SIZES, Plan
from ..training.options import Settings, option
from .arguments import Parser, add_settings, make_settings

DESCRIPTION = """\
Measure time and peak memory beside those of other models and of what this
machine could do at best, each case in a process of its own. Writes
results.json, bench.md and pictures into --out. What does not fit into memory,
is not installed or would take too long is listed as such.

The part "peers" times one direction of the scan beside those that others have
written for CPUs. Each that is missing is listed with the command that installs
it; Intel's runs in a Python of its own, which SSAMBA_INTEL_PYTHON names."""

EXAMPLE = """\
  ssamba bench --budget 2
  ssamba bench --parts encoder --sizes tiny,base --tokens 513,4096,65536 \\
      --batch 1,4 --dtypes float32,bfloat16 --budget 30 --out runs/bench
  ssamba bench --parts peers --out runs/peers --readme docs/cpu-peers.md
  ssamba bench --report --out runs/bench --readme README.md"""

DTYPES = ("float32", "bfloat16")
LEVELS = ("baseline", "avx2", "avx512")


@dataclass(kw_only=True)
class BenchSettings(Settings):
    """Settings of `ssamba bench`."""

    out: str = option("runs/bench", "folder for the results", group="files", path=True)
    readme: str | None = option(None, "put the tables between the marks in this file too", group="files", path=True)
    report: bool = option(False, "measure nothing, write tables and pictures of what --out holds", group="files")
    parts: str = option(",".join(PARTS), "what to measure", group="run")
    sizes: str = option("tiny", "model sizes: tiny, small, base", group="model")
    tokens: str = option("128,513,2048,4096,8192,22528", "lengths for the encoder", group="model")
    batch: str = option("1", "clips at once for the encoder, such as 1,4", group="model")
    dtypes: str = option("float32", "float32, bfloat16", group="model")
    providers: str | None = option(None, "only these, such as 'ssamba,SSAST sdpa'", group="run")
    device: str = option("cpu", "where model and ops run", group="run", choices=("cpu", "cuda"))
    threads: int = option(2, "CPU threads", group="run", minimum=1)
    isa: str | None = option(None, "what our CPU kernels run on, if not on the best", group="run", choices=LEVELS)
    budget: float = option(5.0, "minutes for everything", group="run", above=0)
    longest: float = option(60.0, "seconds for one case", group="run", above=0)
    quiet: bool = option(False, "no line for each case", group="run")


def add_arguments(parser: Parser) -> None:
    add_settings(parser, BenchSettings)


def run(args: Namespace) -> int:
    settings = make_settings(BenchSettings, args)
    out = Path(settings.out)
    from ..bench.charts import write_charts
    from ..bench.report import fill_in, report
    from ..bench.results import new_results, read_results, write_results

    if not settings.report:
        from ..bench.runner import in_words, run_cases

        rows = []
        isa = _level(settings.isa)
        cases, budget = make_plan(settings).cases(), 60 * settings.budget
        for row in run_cases(cases, settings.threads, budget, settings.longest, isa):
            rows.append(row)
            write_results(out / "results.json", new_results(rows, settings.threads, isa))  # a stopped run has its part
            if not settings.quiet:
                print(in_words(row), file=sys.stderr, flush=True)
    results = read_results(out / "results.json")
    text = report(results)
    (out / "bench.md").write_text(text, encoding="utf-8")
    pictures = write_charts(results, out)
    if settings.readme:
        fill_in(Path(settings.readme), results)
    print(text)
    print("\n".join(map(str, [out / "results.json", out / "bench.md", *pictures])))
    return 1 if any(row["status"] == "failed" for row in results["rows"]) else 0


def make_plan(settings: BenchSettings) -> Plan:
    """Raises ValueError naming an option that holds something unknown."""
    return Plan(
        parts=_chosen("parts", settings.parts, PARTS),
        sizes=_chosen("sizes", settings.sizes, SIZES),
        tokens=_counts("tokens", settings.tokens),
        batches=_counts("batch", settings.batch),
        dtypes=_chosen("dtypes", settings.dtypes, DTYPES),
        providers=_listed(settings.providers or ""),
        device=settings.device,
    )


def _level(asked: str | None) -> str:
    """The instruction set to run on; raises ValueError where this processor lacks the one asked for."""
    from ssamba_ops import available_cpu_isas

    available = available_cpu_isas()
    if asked not in (None, *available):
        raise ValueError(f"this processor runs {available[-1]}; {asked} is not available here")
    return asked or available[-1]


def _listed(text: str) -> list[str]:
    return [item.strip() for item in text.split(",") if item.strip()]


def _chosen(name: str, text: str, known) -> list[str]:
    items = _listed(text)
    unknown = [item for item in items if item not in known]
    if unknown or not items:
        raise ValueError(f"{name} is {text!r}, expected some of: {', '.join(known)}")
    return items


def _counts(name: str, text: str) -> list[int]:
    try:
        counts = [int(item) for item in _listed(text)]
    except ValueError:
        counts = []
    if not counts or min(counts) < 1:
        raise ValueError(f"{name} is {text!r}, expected whole numbers above 0 such as 1,4")
    return counts
