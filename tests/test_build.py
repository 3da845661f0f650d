"""What was built, how it loads, and what is said when it does not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

import ssamba_ops
from ssamba_ops import _C

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
