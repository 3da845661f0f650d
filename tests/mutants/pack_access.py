"""Where a scan decides whether its packs are whole: by columns, any of which a fault may forget."""

from __future__ import annotations


def _access(columns: tuple[str, ...]) -> str:
    return f"pack_access<kPack>(me.channels - me.pack(), {', '.join(columns)})"


def without(columns: tuple[str, ...], left_out: str) -> str:
    """The site of a fault that leaves out one of the columns."""
    return "{{" + f"{_access(columns)} => {_access(tuple(c for c in columns if c != left_out))}" + "}};"
