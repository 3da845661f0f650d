"""Charts as inline SVG and pictures as embedded PNG, coloured by the page's own style so that dark mode works."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from matplotlib import colormaps, image

WIDTH, HEIGHT = 440, 270
LEFT, RIGHT, TOP, BOTTOM = 46, 14, 12, 40


@dataclass(frozen=True)
class Series:
    """One line of a chart: name, points x and y of equal length, and a colour class of the page ("a" to "d")."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    colour: str = "a"


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round numbers (1, 2 or 5 times a power of ten apart) from `low` to `high`, about `about` of them."""
    if not (math.isfinite(low) and math.isfinite(high)) or high <= low:
        return [low]
    raw = (high - low) / about
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(index * step, 10) for index in range(first, last + 1)]


def _number(value: float) -> str:
    if value and abs(value) >= 1000 and value % 100 == 0:
        return f"{value / 1000:g}k"
    return f"{value:g}"


def line_chart(series: Sequence[Series], x_label: str, y_label: str, y_range: tuple[float, float] | None = None) -> str:
    """An SVG of lines over a shared x axis with a legend below; points that are not finite are left out."""
    lines = []
    for one in series:
        points = [(x, y) for x, y in zip(one.x, one.y, strict=True) if math.isfinite(x) and math.isfinite(y)]
        if points:
            lines.append((one, points))
    if not lines:
        return '<p class="empty">No points were recorded.</p>'
    xs = [x for _, points in lines for x, _ in points]
    ys = [y for _, points in lines for _, y in points]
    x_low, x_high = min(xs), max(max(xs), min(xs) + 1e-9)
    y_low, y_high = y_range or (min(ys), max(ys))
    if y_range is None:
        room = 0.06 * (y_high - y_low) or 0.5
        y_low, y_high = y_low - room, y_high + room

    def across(x: float) -> float:
        return LEFT + (x - x_low) / (x_high - x_low) * (WIDTH - LEFT - RIGHT)

    def down(y: float) -> float:
        return HEIGHT - BOTTOM - (min(max(y, y_low), y_high) - y_low) / (y_high - y_low) * (HEIGHT - TOP - BOTTOM)

    parts = [f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(y_label)}">']
    for tick in ticks(y_low, y_high):
        y = down(tick)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{LEFT - 7}" y="{y + 4:.1f}" text-anchor="end">{_number(tick)}</text>')
    for tick in ticks(x_low, x_high, 6):
        parts.append(
            f'<text x="{across(tick):.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{_number(tick)}</text>'
        )
    base = HEIGHT - BOTTOM
    parts.append(f'<line class="axis" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{base}" y2="{base}"/>')
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(f'<text class="label" x="{middle}" y="{HEIGHT - 6}" text-anchor="middle">{escape(x_label)}</text>')
    for one, points in lines:
        path = " ".join(f"{across(x):.1f},{down(y):.1f}" for x, y in points)
        parts.append(f'<polyline class="line {one.colour}" points="{path}"/>')
        x, y = points[-1]
        parts.append(
            f'<circle class="dot {one.colour}" cx="{across(x):.1f}" cy="{down(y):.1f}" r="3.5">'
            f"<title>{escape(one.name)}: {y:.4g} at {_number(x)}</title></circle>"
        )
    legend = "".join(f'<span><i class="{one.colour}"></i>{escape(one.name)}</span>' for one, _ in lines)
    return "".join(parts) + f'</svg><div class="legend">{legend}</div>'


def confusion_chart(confusion: np.ndarray, classes: Sequence[str]) -> str:
    """An SVG of the confusion matrix (C, C), rows are what was said, columns what was heard; counts are printed."""
    cell, left, top = 24, 58, 58
    count = len(classes)
    wide, high = left + cell * count + 4, top + cell * count + 4
    share = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    parts = [f'<svg class="confusion" viewBox="0 0 {wide} {high}" role="img" aria-label="Confusion matrix">']
    for index, name in enumerate(classes):
        middle = top + cell * index + cell / 2 + 4
        parts.append(f'<text x="{left - 8}" y="{middle}" text-anchor="end">{escape(name)}</text>')
        x = left + cell * index + cell / 2 + 4
        parts.append(f'<text transform="translate({x} {top - 8}) rotate(-90)">{escape(name)}</text>')
    for row, said in enumerate(classes):
        for column, heard in enumerate(classes):
            x, y, number = left + cell * column, top + cell * row, int(confusion[row, column])
            kind = "right" if row == column else "wrong"
            strength = 0.0 if number == 0 else 0.12 + 0.88 * share[row, column]
            parts.append(f'<rect class="cell" x="{x}" y="{y}" width="{cell - 2}" height="{cell - 2}" rx="3"/>')
            if number:
                parts.append(
                    f'<rect class="{kind}" fill-opacity="{strength:.3f}" x="{x}" y="{y}" '
                    f'width="{cell - 2}" height="{cell - 2}" rx="3"><title>“{escape(said)}” heard as '
                    f"“{escape(heard)}”: {number}</title></rect>"
                )
                bold = " strong" if strength > 0.55 else ""
                parts.append(
                    f'<text class="count{bold}" x="{x + cell / 2 - 1}" y="{y + cell / 2 + 3}" '
                    f'text-anchor="middle">{number}</text>'
                )
    return "".join(parts) + "</svg>"


def spectrogram_png(
    log_mel: np.ndarray, low: float, high: float, hidden: np.ndarray | None = None, scale: int = 3
) -> str:
    """A data URI of a PNG of one log-mel (frames, mel), low frequencies at the bottom.

    low, high: values drawn darkest and brightest. hidden: bool (frames, mel), cells painted grey instead. scale: pixels
    per cell.
    """
    shade = np.clip((np.asarray(log_mel, np.float64) - low) / max(high - low, 1e-9), 0.0, 1.0)
    pixels = colormaps["magma"](shade)[..., :3]  # (frames, mel, 3)
    if hidden is not None:
        pixels[hidden] = (0.56, 0.57, 0.60)
    pixels = np.flip(pixels.transpose(1, 0, 2), axis=0)  # (mel, frames, 3), high frequencies on top
    pixels = np.repeat(np.repeat(pixels, scale, axis=0), scale, axis=1)
    file = io.BytesIO()
    image.imsave(file, np.ascontiguousarray(pixels), format="png")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode("ascii")


def wav_uri(wave: np.ndarray, sample_rate: int) -> str:
    """A data URI of a 16-bit wav file of one mono wave (samples,) in [-1, 1]."""
    import soundfile

    file = io.BytesIO()
    soundfile.write(file, np.asarray(wave, np.float32), sample_rate, format="WAV", subtype="PCM_16")
    return "data:audio/wav;base64," + base64.b64encode(file.getvalue()).decode("ascii")
