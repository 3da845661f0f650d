"""Several processes that go on, or fail, together."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from ssamba.training import agreement
from ssamba.training.agreement import agreed


def processes(monkeypatch, count, main):
    """One of `count` processes, and what the main one tells the others."""
    told: list = []

    def broadcast(outcome):
        if main:
            told[:] = outcome
        else:
            outcome[:] = told

    monkeypatch.setattr(agreement, "broadcast_object_list", broadcast)
    return SimpleNamespace(num_processes=count, is_main_process=main), told


def test_one_process_needs_nobody(monkeypatch):
    alone, told = processes(monkeypatch, 1, True)
    assert agreed(alone, lambda: 3) == 3
    with pytest.raises(ZeroDivisionError):
        agreed(alone, lambda: 1 / 0)
    assert told == []


def test_the_others_get_what_the_main_one_found(monkeypatch):
    main, told = processes(monkeypatch, 2, True)
    assert agreed(main, lambda: 3) == 3
    assert told == [3, None]
    with pytest.raises(ZeroDivisionError):
        agreed(main, lambda: 1 / 0)
    assert isinstance(told[1], ZeroDivisionError)
    other, heard = processes(monkeypatch, 2, False)
    heard[:] = [3, None]
    assert agreed(other, lambda: pytest.fail("the main process alone does it")) == 3
    heard[:] = [None, OSError("full")]
    with pytest.raises(OSError, match="full"):
        agreed(other, lambda: pytest.fail("the main process alone does it"))
