"""What was built, how it loads, and what is said when it does not."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import ssamba_ops
from ssamba_ops import _C, _library

PACKAGE = Path(ssamba_ops.__file__).parent
ROOT = Path(__file__).parents[1]
COMPILED = Path(_C.__file__).parent  # elsewhere in a clone from which the package was installed
LIBRARY = COMPILED / _C.cpu_library


def test_build_report():
    assert _C.cpu_isa_levels[0] == "baseline"
    assert set(_C.cpu_isa_levels) <= {"baseline", "avx2", "avx512"}
    assert _C.torch_target == "2.11"
    assert _C.compiler.split()[0] in ("gcc", "clang")
    assert LIBRARY.is_file()


def test_library_is_tied_to_no_torch_version():
    """The published audit finds nothing but the stable ABI, of torch 2.11 at most."""
    command = Path(sys.executable).with_name("torch-abi-audit")
    if not command.exists():
        pytest.skip("needs torch-abi-audit: pip install '.[dev]'")
    audit = subprocess.run([command, "--check", "torch", LIBRARY], capture_output=True, text=True)
    assert audit.returncode == 0, audit.stdout + audit.stderr
    assert "STABLE" in audit.stdout
    assert "unstable=0" in audit.stdout
    assert "min-torch=2.11" in audit.stdout


def test_libraries_name_no_folder_of_the_machine_that_built_them():
    """Messages of torch quote the files in which a kernel is registered or a call fails."""
    for path in (LIBRARY, Path(_C.__file__)):
        found = re.findall(rb"/[\w./-]+/(?:csrc|torch)/[\w./-]+\.(?:h|cpp)", path.read_bytes())
        assert not found, found


@pytest.mark.parametrize(
    ("capability", "archs", "supported"),
    [
        ((9, 0), ["80", "90"], True),
        ((8, 9), ["80", "90"], True),  # runs what was built for 8.0
        ((8, 0), ["86", "90"], False),
        ((7, 5), ["80", "90"], False),
        ((12, 0), ["80", "90"], True),  # compiles the PTX of the last
        ((10, 3), ["80", "100", "120"], True),
        ((11, 0), ["80", "100", "120"], False),
    ],
)
def test_which_gpus_a_build_serves(capability, archs, supported):
    advice = _library.unsupported(capability, archs)
    if supported:
        assert advice is None
    else:
        major, minor = capability
        assert f"has compute capability {major}.{minor}, and the kernels were built for {', '.join(archs)}" in advice
        assert f"SSAMBA_CUDA_ARCHS={major}{minor} pip install" in advice


def test_a_damaged_library_of_cuda_kernels_leaves_the_cpu(tmp_path, monkeypatch):
    (tmp_path / "libssamba_cuda.so").write_bytes(b"not a library")
    monkeypatch.setattr(_library, "HERE", tmp_path)
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(_C, "cuda_library", "libssamba_cuda.so")
    with pytest.warns(UserWarning, match=r"runs on the CPU only: the library of CUDA kernels .* does not load .*nvcc"):
        why = _library._load_cuda()
    monkeypatch.setattr(_library, "why_no_cuda", why)
    assert "does not load" in _library.cuda_problem()


def test_a_build_without_cuda_kernels_says_how_to_get_them(monkeypatch):
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(_C, "cuda_library", "")
    assert "built without CUDA kernels. Reinstall with `SSAMBA_CUDA=1 pip install .`" in _library._load_cuda()


def test_every_op_is_registered():
    names = ("bi_scan", "selective_scan", "causal_conv1d", "bi_conv1d", "patch_mask", "sample_patch_mask")
    for name in names:
        assert hasattr(torch.ops.ssamba, name), name
        assert callable(getattr(ssamba_ops, name)), name


def test_import_needs_no_torchaudio():
    code = "import sys, ssamba, ssamba_ops; sys.exit('torchaudio' in sys.modules)"
    path = [str(PACKAGE.parent), str(PACKAGE.parent / "python")]
    subprocess.run([sys.executable, "-c", f"import sys; sys.path[:0] = {path}; {code}"], check=True)


def copied(folder: Path, compiled: bool = True) -> Path:
    """The package in another folder."""
    copy = folder / "ssamba_ops"
    copy.mkdir(parents=True)
    for source in (*PACKAGE.glob("*.py"), *(COMPILED.glob("*.so") if compiled else ())):
        shutil.copy(source, copy)
    return copy


def run_without_this_installation(code: str, folder: Path, *path: Path) -> subprocess.CompletedProcess:
    """Runs code in a folder; an editable installation would find the missing module elsewhere."""
    hidden = "import sys; sys.meta_path = [f for f in sys.meta_path if 'editable' not in repr(f)]; "
    return subprocess.run(
        [sys.executable, "-c", hidden + code],
        cwd=folder,
        env={"PYTHONPATH": os.pathsep.join(map(str, path))},
        capture_output=True,
        text=True,
    )


@pytest.fixture
def clone(tmp_path):
    """A clone beside a folder of installed packages. Its package has no kernels of its own."""
    root = copied(tmp_path / "clone", compiled=False).parent
    shutil.copytree(ROOT / "csrc", root / "csrc")
    shutil.copy(ROOT / "CMakeLists.txt", root)
    return root


WHERE = "import ssamba_ops; from ssamba_ops import _C; print(ssamba_ops.__file__, _C.__file__); ssamba_ops.cpu_isa"


def test_a_clone_uses_the_kernels_installed_from_it(tmp_path, clone):
    installed = copied(tmp_path / "packages")
    run = run_without_this_installation(WHERE, clone, installed.parent)
    assert run.returncode == 0, run.stderr
    package, module = map(Path, run.stdout.split())
    assert (package.parent, module.parent) == (clone / "ssamba_ops", installed)


@pytest.mark.parametrize("changed", ["csrc/ops.cpp", "csrc/cpu/simd.h", "CMakeLists.txt"])
def test_a_clone_refuses_kernels_of_other_sources(tmp_path, clone, changed):
    installed = copied(tmp_path / "packages")
    with open(clone / changed, "a") as file:
        file.write("\n")
    run = run_without_this_installation(WHERE, clone, installed.parent)
    last = run.stderr.strip().splitlines()[-1]
    assert f"the kernels in {installed} were built from other sources. Run `pip install .` in the clone again" in last


def test_a_clone_from_which_nothing_was_installed_says_what_to_do(tmp_path, clone):
    without_kernels = copied(tmp_path / "packages", compiled=False)  # before what is installed here
    run = run_without_this_installation(WHERE, clone, without_kernels.parent)
    last = run.stderr.strip().splitlines()[-1]
    assert last.startswith("ImportError: ssamba_ops: the compiled module"), run.stderr
    assert "Install it with `pip install .` in a clone" in last


@pytest.mark.parametrize("broken", ["missing module", "missing library", "damaged library"])
def test_a_broken_installation_says_what_to_do(tmp_path, broken):
    copy = copied(tmp_path)
    library = copy / _C.cpu_library
    if broken == "missing module":
        next(copy.glob("_C*.so")).unlink()
    elif broken == "missing library":
        library.unlink()
    else:
        library.write_bytes(b"not a library")
    run = run_without_this_installation("import ssamba_ops", tmp_path, tmp_path)
    last = run.stderr.strip().splitlines()[-1]
    assert run.returncode == 1
    assert last.startswith("ImportError: ssamba_ops: "), run.stderr
    assert "pip install ." in last
