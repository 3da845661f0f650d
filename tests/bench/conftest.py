from __future__ import annotations

import pytest
import torch

from ssamba.bench.case import Case
from ssamba.bench.peers.comparison import peer_work


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


@pytest.fixture
def run_peer():
    """run_peer(name, computed) -> y (1, 13, 384) of a peer, which is the same again; raises what its row would say."""

    def run(name, computed):
        work = peer_work(Case("peers", name, tokens=13, detail=computed))
        with work.resources:
            first = work.run().clone()
            torch.testing.assert_close(work.run(), first, rtol=0, atol=0)
            return first

    return run
