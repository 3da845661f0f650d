"""Times every op on a GPU beside what people use today, in one run of less than eight minutes.

python benchmarks/gpu.py                                                 # writes benchmarks/results/gpu/ops.json
python benchmarks/report.py benchmarks/results/gpu/ops.json              # tables to read

Needs a GPU, a CUDA build of torch and of this library, and nvcc, with which the card's rates are measured first.
mamba-ssm and causal-conv1d are timed where they are installed. What was not run is listed with the reason. --rehearse
goes the same way on the CPU with small sizes, to see that nothing is broken; its figures say nothing.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor

import gpu_floor
from bandwidth import DTYPES
from gpu_floor import Rates, Work
from gpu_providers import PROVIDERS, NotInstalled, Provider
from gpu_timing import ROUNDS, time_on
from ssamba.bench.scans import bi_scan_inputs
from ssamba_ops import reference

SIZES = {"tiny": 384, "small": 768, "base": 1536}
PLACES = [(64, 513), (4, 4097), (4, 22528), (16, 1025), (1, 513)]  # B, L
STATE, WIDTH = 16, 4
OPTIONS = {"bi_scan": {"delta_softplus": True}, "bi_conv1d": {"silu": True}, "patch_mask": {}}
BUDGET_SECONDS = 420  # after which no case is begun
DEFAULT_OUTPUT = Path(__file__).parent / "results" / "gpu" / "ops.json"

Shape = tuple[int, int, int]


@dataclasses.dataclass(frozen=True)
class Run:
    """What is timed and where."""

    device: str = "cuda"
    places: Sequence[tuple[int, int]] = tuple(PLACES)
    channels: Sequence[int] = tuple(SIZES.values())
    ops: Sequence[str] = tuple(PROVIDERS)

    def cases(self) -> list[tuple[str, str, Provider, Shape, str]]:
        """(op, provider's name, provider, shape, dtype): op after op, so that the time runs out on the last."""
        return [
            (op, name, provider, (*place, channels), dtype)
            for op in self.ops
            for place in self.places
            for channels in self.channels
            for dtype in DTYPES
            for name, provider in PROVIDERS[op].items()
        ]


REHEARSAL = Run("cpu", [(2, 40)], [24])
REHEARSED_RATES = Rates(1.0, 1.0, 1.0)


def inputs_of(op: str, shape: Shape, dtype: str, device: str = "cuda") -> dict[str, Tensor]:
    batch, length, channels = shape
    if op == "bi_scan":
        return bi_scan_inputs(batch, length, channels, STATE, DTYPES[dtype], device)
    generator = torch.Generator(device).manual_seed(0)

    def normal(*sizes: int) -> Tensor:
        return torch.randn(*sizes, generator=generator, device=device)

    x = normal(batch, length, channels).to(DTYPES[dtype])
    if op == "bi_conv1d":
        return {"x": x, "weight": normal(2, channels, WIDTH) / WIDTH**0.5, "bias": normal(2, channels)}
    mask = normal(batch, length) < 0
    return {"x": x, "mask": mask, "mask_token": normal(channels), "pos": normal(length, channels)}


def work_of(op: str, shape: Shape, dtype: str, gradient: bool) -> Work:
    element = DTYPES[dtype].itemsize
    if op == "bi_scan":
        return gpu_floor.bi_scan_work(*shape, STATE, element, gradient)
    return getattr(gpu_floor, f"{op}_work")(*shape, element, gradient)


def check_against_reference(op: str, provider: Provider, dtype: str, device: str) -> None:
    """Once before timing, on a small shape: a fast wrong result is no result."""
    inputs = inputs_of(op, (2, 50, 24), dtype, device)
    exact = {name: x.double() if x.is_floating_point() else x for name, x in inputs.items()}
    expected = getattr(reference, op)(**exact, **OPTIONS[op])
    prepared = provider(inputs)
    tolerance = 1e-3 if dtype == "float32" else 5e-2
    torch.testing.assert_close(prepared.assemble(*prepared.call()).double(), expected, rtol=tolerance, atol=tolerance)


def time_case(op: str, provider: Provider, shape: Shape, dtype: str, rates: Rates, device: str) -> Iterator[dict]:
    """Rows of one provider at one shape: forward, and forward with gradients."""
    prepared = provider(inputs_of(op, shape, dtype, device))
    with torch.no_grad():
        upstream = [torch.ones_like(x) for x in prepared.call()]

    def forward() -> None:
        with torch.no_grad():
            prepared.call()

    def step() -> None:
        torch.autograd.grad(prepared.call(), prepared.leaves, upstream)

    for name, run in (("forward", forward), ("forward + backward", step)):
        timing = time_on(device, run)
        work = work_of(op, shape, dtype, gradient=run is step)
        floors = work.floors_ms(rates)
        largest = max(floors, key=floors.__getitem__)
        yield {
            "group": f"{op} {name} {shape} {dtype}",
            "median_ms": timing.median_ms,
            "rounds": ROUNDS,
            "shape": dict(zip("BLD", shape, strict=True)),
            "dtype": dtype,
            "bytes": work.bytes,
            "gigabytes_per_second": round(work.bytes / timing.median_ms / 1e6, 1),
            "floor": largest,
            "floor_ms": round(floors[largest], 5),
            "floor_share": round(floors[largest] / timing.median_ms, 3),
            "peak_megabytes": round(timing.peak_bytes / 2**20, 1),
        }


def run_all(
    run: Run, rates: Rates, budget_seconds: float, clock: Callable[[], float] = time.monotonic
) -> tuple[list, list]:
    """Rows, and what was not run with the reason."""
    rows, not_run, checked, refused = [], [], set(), set()
    end = clock() + budget_seconds
    for op, name, provider, shape, dtype in run.cases():
        what = {"group": f"{op} {shape} {dtype}", "provider": name}
        if (op, name, dtype) in refused:
            continue
        if clock() > end:
            not_run.append(what | {"reason": f"the run's {budget_seconds:.0f} seconds were over"})
            continue
        try:
            if (op, name, dtype) not in checked:
                check_against_reference(op, provider, dtype, run.device)
                checked.add((op, name, dtype))
            rows += [row | {"provider": name} for row in time_case(op, provider, shape, dtype, rates, run.device)]
        except torch.cuda.OutOfMemoryError:
            not_run.append(what | {"reason": "out of memory"})
        except (NotInstalled, AssertionError, RuntimeError) as error:
            refused.add((op, name, dtype))
            not_run.append({"group": f"{op} {dtype}", "provider": name, "reason": str(error).splitlines()[0]})
        if run.device == "cuda":
            torch.cuda.empty_cache()
    return rows, not_run


def versions() -> dict[str, str]:
    from importlib import metadata

    found = {"python": platform.python_version(), "torch": torch.__version__, "cuda": str(torch.version.cuda)}
    for package in ("mamba-ssm", "causal-conv1d"):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=DEFAULT_OUTPUT, help="where the JSON goes")
    parser.add_argument("--seconds", type=float, default=BUDGET_SECONDS, help="after which no case is begun")
    parser.add_argument("--ops", default=",".join(PROVIDERS), help="only these, such as bi_scan")
    parser.add_argument("--rehearse", action="store_true", help="on the CPU, with small sizes")
    arguments = parser.parse_args(argv)
    if unknown := set(arguments.ops.split(",")) - set(PROVIDERS):
        parser.error(f"--ops: there is no {', '.join(sorted(unknown))}; choose from {', '.join(PROVIDERS)}")
    run = dataclasses.replace(REHEARSAL if arguments.rehearse else Run(), ops=arguments.ops.split(","))
    if arguments.rehearse:
        return measure(run, REHEARSED_RATES, {"gpu": "rehearsal", "multiprocessors": 0}, arguments)
    if not torch.cuda.is_available():
        print(f"gpu: torch {torch.__version__} finds no GPU; run this where torch.cuda.is_available()", file=sys.stderr)
        return 2
    nvcc = shutil.which("nvcc")
    if nvcc is None:
        print("gpu: nvcc is not on PATH; the card's rates are measured by a program compiled with it", file=sys.stderr)
        return 2
    card = torch.cuda.get_device_properties()
    machine = {"gpu": card.name, "multiprocessors": card.multi_processor_count}
    return measure(run, gpu_floor.measure_rates(nvcc), machine, arguments)


def measure(run: Run, rates: Rates, machine: dict, arguments: argparse.Namespace) -> int:
    rows, not_run = run_all(run, rates, arguments.seconds)
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, cwd=Path(__file__).parent)
    result = {
        "machine": {
            **machine,
            "copy_gigabytes_per_second": rates.bytes,
            "exponentials_per_ns": rates.exponentials,
            "fmas_per_ns": rates.fmas,
        },
        "versions": versions(),
        "commit": commit.stdout.strip(),
        "rows": rows,
        "not_run": not_run,
    }
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(result, indent=1) + "\n")
    print(f"gpu: {len(rows)} rows in {arguments.output}, {len(not_run)} cases not run")
    return 0


if __name__ == "__main__":
    sys.exit(main())
