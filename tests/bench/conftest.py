from __future__ import annotations

import pytest


@pytest.fixture
def row():
    """row(provider, seconds, **fields) -> a row as a run leaves it."""

    def make(provider, seconds=None, **fields):
        base = {"part": "encoder", "size": "tiny", "tokens": 513, "batch": 1, "dtype": "float32", "detail": ""}
        base |= {"provider": provider, "threads": 2, **fields}
        base["group"] = f"{base['part']} tiny {base['batch']} x {base['tokens']} float32"
        if seconds is not None:
            base |= {"status": "ok", "seconds": seconds, "slowest": seconds, "rounds": 3}
            base.setdefault("peak_bytes", 2**20)
        return base

    return make
