"""What a library was built from: setup.py writes it into `ssamba_ops._C`, and a clone compares its own."""

from __future__ import annotations

import hashlib
from pathlib import Path


def sources(root: Path) -> str:
    """A digest of the C++ and CUDA sources under `root`, a clone or an sdist; empty where there are none."""
    files = sorted(
        path for path in (root / "csrc").rglob("*") if path.suffix in (".h", ".cpp", ".cu", ".cuh", ".cmake")
    )
    if not files:
        return ""
    digest = hashlib.sha256()
    for path in (root / "CMakeLists.txt", *files):
        digest.update(f"{path.relative_to(root).as_posix()}\n".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()
