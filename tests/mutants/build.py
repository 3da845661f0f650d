"""Builds from sources with faults, in build/mutants."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from mutants.plant import ROOT, Fault, plant, replace

BUILD = ROOT / "build" / "mutants"
TREE = BUILD / "tree"
EMULATOR = TREE / "tests" / "simt"
COPIED = ("csrc", "tests/simt", "CMakeLists.txt")
NOT_READ = {"simt": ("csrc/cpu/",), "cpu": ("csrc/cuda/", "tests/simt/")}  # of these, by a library


def sources() -> Iterator[Path]:
    """What a build reads, from the root."""
    for name in COPIED:
        path = ROOT / name
        files = [path] if path.is_file() else path.rglob("*")
        yield from (f.relative_to(ROOT) for f in files if f.is_file() and f.suffix not in (".py", ".pyc"))


def write_tree(faults: Iterable[Fault], own: Fault | None = None) -> None:
    """Writes the sources with the faults that are chosen when running, and with `own` for good. Files that would stay
    the same are left alone."""
    faults = [f for f in faults if not f.own]
    for name in sources():
        text = (ROOT / name).read_text(encoding="utf-8")
        here = [f for f in faults if f.file == name.as_posix()]
        if own and own.file == name.as_posix():
            text, here = replace(text, own), []
        text = plant(text, here)
        to = TREE / name
        if not to.is_file() or to.read_text(encoding="utf-8") != text:
            to.parent.mkdir(parents=True, exist_ok=True)
            to.write_text(text, encoding="utf-8")


def _run(command: list[object], log: Path) -> None:
    with log.open("a", encoding="utf-8") as out:
        done = subprocess.run([str(part) for part in command], stdout=out, stderr=subprocess.STDOUT, check=False)
    if done.returncode:
        raise SystemExit(f"a build with faults failed: see {log}\n" + log.read_text(encoding="utf-8")[-4000:])


def _compile(name: str, source: Path, targets: list[str], jobs: int, arguments: Iterable[str] = ()) -> Path:
    """Configures and builds; returns the folder, named so in build/mutants."""
    import torch

    folder, log = BUILD / name, BUILD / f"{name}.log"
    log.unlink(missing_ok=True)
    given = [f"-DSSAMBA_TORCH_DIR={Path(torch.__file__).parent}", *arguments]
    _run(["cmake", "-S", source, "-B", folder, "-G", "Ninja", *given], log)
    _run(["cmake", "--build", folder, "-j", jobs, "--target", *targets], log)
    return folder


def compile_library(library: str, jobs: int) -> Path:
    """Builds "simt" or "cpu" from the tree and returns the library."""
    arguments = [f"-DCMAKE_CXX_FLAGS=-include {Path(__file__).parent / 'fault.h'} -w"]
    if library == "cpu":
        import pybind11

        # Not the undefined-behaviour sanitizer as well: it triples the time to compile.
        sanitizer = "-fsanitize=address"
        arguments += [
            "-DCMAKE_BUILD_TYPE=Debug",
            f"-DCMAKE_CXX_FLAGS_DEBUG=-O1 -g1 -fno-omit-frame-pointer {sanitizer}",
            f"-DCMAKE_SHARED_LINKER_FLAGS={sanitizer}",
            f"-DPython_EXECUTABLE={sys.executable}",
            f"-Dpybind11_DIR={pybind11.get_cmake_dir()}",
        ]
    source = TREE if library == "cpu" else EMULATOR
    return _compile(library, source, [f"ssamba_{library}"], jobs, arguments) / f"libssamba_{library}.so"


def compile_launch(fault: Fault | None) -> Path:
    """Builds the program that watches launches, with a fault for good, and returns its folder."""
    write_tree([], fault)
    return _compile("launch", EMULATOR, ["launch_check", "torch_cuda"], jobs=2)


def package(library: Path) -> Path:
    """A copy of ssamba_ops with the given build of the CPU's kernels; returns the folder that holds it."""
    folder = library.parent / f"{library.stem}.package"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(ROOT / "ssamba_ops", folder / "ssamba_ops", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(library, folder / "ssamba_ops" / "libssamba_cpu.so")
    return folder


def own_build(fault: Fault, faults: Iterable[Fault], jobs: int) -> Path:
    """The library with a fault that cannot be chosen when running; kept for as long as its source stays the same."""
    kept = BUILD / "own" / f"{fault.number}.so"
    write_tree(faults, fault)
    changed = TREE / fault.file
    text = kept.with_suffix(".source")
    if not kept.is_file() or not text.is_file() or text.read_bytes() != changed.read_bytes():
        kept.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(compile_library(fault.library, jobs), kept)
        shutil.copy(changed, text)
    return kept


def environment(library: str, built: Path) -> dict[str, str]:
    """In which pytest runs on a build: the sanitizer must be in the process before Python."""
    compiler = os.environ.get("CXX", "c++")
    runtimes = "libasan.so", "libstdc++.so"
    preload = [subprocess.check_output([compiler, f"-print-file-name={r}"], text=True).strip() for r in runtimes]
    own = {
        "LD_PRELOAD": " ".join(preload),
        "ASAN_OPTIONS": "detect_leaks=0"
        + (":halt_on_error=0:suppress_equal_pcs=0:max_malloc_fill_size=0" if library == "simt" else ""),
        "OMP_NUM_THREADS": "1",  # threads that exist before a fork are lost in the child
        "PYTHONWARNINGS": "ignore",
        "SSAMBA_MUTANTS_LIBRARY": str(built),
    }
    if library == "simt":
        own["SSAMBA_SIMT"] = str(built)
    return {**os.environ, **own}
