"""The scans as a table: a line for each scan, two columns for each length, by threads."""

from __future__ import annotations

from typing import Any

from ..case import SIZES
from .registry import COMPUTED, PEERS

Row = dict[str, Any]


def peers_table(rows: list[Row]) -> str:
    """Milliseconds and multiples of our time; below, why a scan was not measured."""
    columns = sorted({(row["tokens"], row["threads"]) for row in rows})
    heads = [f"{tokens:,} tokens, {threads} thread{'s' * (threads > 1)}" for tokens, threads in columns]
    lines = [f"| channels | computed | by | {' | '.join(heads)} |", f"|--:|---|---|{'--:|' * len(heads)}"]
    found = {(row["size"], row["detail"], row["provider"], row["tokens"], row["threads"]): row for row in rows}
    for size, detail, provider in dict.fromkeys(key[:3] for key in found):
        cells = [_cell(found, size, detail, provider, *column) for column in columns]
        lines.append(f"| {2 * SIZES[size]} | {COMPUTED[detail]} | {_name(rows, provider)} | {' | '.join(cells)} |")
    return "\n".join([*lines, *_reasons(rows)])


def _cell(found: dict[tuple, Row], size: str, detail: str, provider: str, tokens: int, threads: int) -> str:
    row = found.get((size, detail, provider, tokens, threads))
    if row is None or row["status"] != "ok":
        return "" if row is None else row["status"]
    ours = found.get((size, detail, next(iter(PEERS)), tokens, threads))
    compared = ours is not None and ours is not row and ours["status"] == "ok"
    ms = 1e3 * row["seconds"]
    time = f"{ms:.0f} ms" if ms >= 100 else f"{ms:.3g} ms"
    return f"{time}, {row['seconds'] / ours['seconds']:.1f} ×" if compared else time


def _name(rows: list[Row], provider: str) -> str:
    """The provider with its version and the vectors that it uses, as a row tells them."""
    told = next((row for row in rows if row["provider"] == provider and row["status"] == "ok"), {})
    name = f"{provider} {told.get('version', '')}".strip()
    return ", ".join(filter(None, (name, told.get("instructions", "").upper())))


def _reasons(rows: list[Row]) -> list[str]:
    """A sentence for each scan and status, the first that was given: later ones point back to it."""
    reasons: dict[tuple[str, str], str] = {}
    for row in rows:
        if row["status"] != "ok":
            reasons.setdefault((row["provider"], row["status"]), f"* {row['provider']}: {row['status']}: {row['why']}")
    return ["", *reasons.values()] if reasons else []
