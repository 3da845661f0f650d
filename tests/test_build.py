"""What was built, how it loads, and what is said when it does not."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import ssamba_ops
from ssamba_ops import _C, _library

PACKAGE = Path(ssamba_ops.__file__).parent
LIBRARY = PACKAGE / _C.cpu_library


def test_build_report():
    assert _C.cpu_isa_levels[0] == "baseline"
    assert set(_C.cpu_isa_levels) <= {"baseline", "avx2", "avx512"}
    assert _C.torch_target == "2.11"
    assert _C.compiler.split()[0] in ("gcc", "clang")
    assert LIBRARY.is_file()


def test_library_is_tied_to_no_torch_version():
    """The published audit finds nothing but the stable ABI, of torch 2.11 at most."""
    audit = subprocess.run(
        [Path(sys.executable).with_name("torch-abi-audit"), "--check", "torch", LIBRARY], capture_output=True, text=True
    )
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


@pytest.mark.parametrize("broken", ["missing module", "missing library", "damaged library"])
def test_a_broken_installation_says_what_to_do(tmp_path, broken):
    copy = tmp_path / "ssamba_ops"
    copy.mkdir()
    for source in (*PACKAGE.glob("*.py"), *PACKAGE.glob("*.so")):
        (copy / source.name).write_bytes(source.read_bytes())
    library = copy / _C.cpu_library
    if broken == "missing module":
        next(copy.glob("_C*.so")).unlink()
    elif broken == "missing library":
        library.unlink()
    else:
        library.write_bytes(b"not a library")
    # An editable installation would find the missing module elsewhere.
    code = "import sys; sys.meta_path = [f for f in sys.meta_path if 'editable' not in repr(f)]; import ssamba_ops"
    run = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    last = run.stderr.strip().splitlines()[-1]
    assert run.returncode == 1
    assert last.startswith("ImportError: ssamba_ops: "), run.stderr
    assert "pip install ." in last
