"""Time and memory of the encoders against tokens, both axes logarithmic, with the floor."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .case import PROVIDERS

Row = dict[str, Any]
MARKERS = "osp*D^vPX"


def write_charts(results: dict[str, Any], folder: Path) -> list[Path]:
    """One picture for each size, batch and dtype that has at least two lengths; returns the files."""
    rows = [row for row in results["rows"] if row["part"] == "encoder"]
    kinds = sorted({(row["size"], row["batch"], row["dtype"]) for row in rows})
    written = []
    for size, batch, dtype in kinds:
        chosen = [row for row in rows if (row["size"], row["batch"], row["dtype"]) == (size, batch, dtype)]
        if len({row["tokens"] for row in chosen if row["status"] == "ok"}) > 1:
            path = folder / f"encoder-{size}-{batch}-{dtype}.png"
            _draw(chosen, f"{size}, {batch} clip{'s' if batch > 1 else ''}, {dtype}", results["machine"], path)
            written.append(path)
    return written


def _draw(rows: list[Row], title: str, machine: dict[str, Any], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot
    from matplotlib.ticker import FuncFormatter

    figure, (time, memory) = pyplot.subplots(1, 2, figsize=(11, 4.6), layout="constrained")
    lengths = sorted({row["tokens"] for row in rows if row["status"] == "ok"})
    for number, provider in enumerate(PROVIDERS["encoder"]):
        done = sorted((row for row in rows if row["provider"] == provider and row["status"] == "ok"), key=_tokens)
        if done:
            style = {"marker": MARKERS[number], "color": f"C{number}", "label": provider}
            style |= {"linewidth": 2.2 if number == 0 else 1.2, "markersize": 5, "zorder": 3 if number == 0 else 2}
            tokens = [row["tokens"] for row in done]
            time.plot(tokens, [row["seconds"] for row in done], **style)
            memory.plot(tokens, [row["peak_bytes"] / 2**20 for row in done], **style)
    floors = sorted((row for row in rows if "floor" in row), key=_tokens)
    if floors:
        seconds = [sum(row["floor"].values()) for row in floors]
        time.plot([row["tokens"] for row in floors], seconds, "k--", linewidth=1, label="floor of ssamba")
    for axes, label in ((time, "seconds"), (memory, "peak memory, MiB")):
        axes.set(xscale="log", yscale="log", xlabel="tokens", ylabel=label)
        axes.set_xticks(lengths, [f"{n:,}" for n in lengths], rotation=30)
        axes.minorticks_off()
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.grid(alpha=0.3)
    time.legend(fontsize=8)
    figure.suptitle(f"Encoder forward: {title}; {machine['threads']} threads of {machine['cpu']}", fontsize=10)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def _tokens(row: Row) -> int:
    return row["tokens"]
