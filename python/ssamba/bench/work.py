"""What a case comes to: something to call again and again."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Work:
    """`run` is timed; `floor` holds the seconds that it must take, by what takes them; `notes` go into the results.

    `memory` says whether the process's peak is that of `run`: not where more was needed to check it.
    """

    run: Callable[[], Any]
    floor: dict[str, float] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)
    resources: ExitStack = field(default_factory=ExitStack)  # closed when the case is done
    memory: bool = True
