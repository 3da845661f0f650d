"""The demo's report: one HTML page that needs nothing outside itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np

from ssamba.checkpoints.folder import save_atomically

from .charts import Series, confusion_chart, line_chart, spectrogram_png, wav_uri
from .report_style import STYLE


@dataclass(frozen=True)
class Accuracy:
    """Test accuracy (0 to 1) of one way to learn the words, once per seed. colour: class "a" to "d" of the page."""

    name: str
    explanation: str
    per_seed: Sequence[float]
    colour: str

    @property
    def mean(self) -> float:
        return float(np.mean(self.per_seed))

    @property
    def deviation(self) -> float | None:
        """Sample standard deviation over seeds; None for one seed."""
        return float(np.std(self.per_seed, ddof=1)) if len(self.per_seed) > 1 else None


@dataclass(frozen=True)
class Chart:
    """A line chart with its heading."""

    title: str
    series: Sequence[Series]
    x_label: str
    y_label: str
    y_range: tuple[float, float] | None = None


@dataclass(frozen=True)
class Example:
    """One clip: what was said, its wave (samples,), log-mel (frames, mel), hidden cells bool (frames, mel), and the
    log-mel with the hidden cells filled in by the model (frames, mel)."""

    title: str
    wave: np.ndarray
    sample_rate: int
    log_mel: np.ndarray
    hidden: np.ndarray
    filled_in: np.ndarray


@dataclass(frozen=True)
class Report:
    """Everything the page shows. facts: headed groups of name and value; timings: stage and seconds."""

    summary: str
    accuracies: Sequence[Accuracy]
    chance: float
    examples: Sequence[Example]
    charts: Sequence[Chart]
    confusion: np.ndarray
    classes: Sequence[str]
    timings: Mapping[str, float]
    facts: Mapping[str, Mapping[str, object]]


def percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{seconds:.1f} s"


def write_report(report: Report, path: Path) -> Path:
    """Writes the page to `path` (aside, then renamed) and returns the path."""
    text = page(report)
    save_atomically(path, lambda aside: aside.write_text(text, encoding="utf-8"))
    return Path(path)


def page(report: Report) -> str:
    """The whole page as text."""
    sections = [
        _accuracy_table(report),
        _examples(report.examples),
        _charts(report.charts),
        _confusion(report),
        _facts(report),
    ]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><title>SSAMBA demo report</title>'
        f"<style>{STYLE}</style></head><body><main><header><h1>SSAMBA demo</h1>"
        f'<p class="lead">{escape(report.summary)}</p></header>{"".join(sections)}</main></body></html>\n'
    )


def _accuracy_table(report: Report) -> str:
    seeds = max(len(one.per_seed) for one in report.accuracies)
    rows = []
    for one in report.accuracies:
        value = percent(one.mean) + (
            f" <small>± {100 * one.deviation:.1f}</small>" if one.deviation is not None else ""
        )
        each = ""
        if seeds > 1:
            each = f'<div class="each">each seed: {", ".join(percent(share) for share in one.per_seed)}</div>'
        rows.append(
            f'<tr><th scope="row">{escape(one.name)}<div class="each">{escape(one.explanation)}</div>{each}</th>'
            f'<td class="bar"><div class="track"><i class="{one.colour}" style="width:{100 * one.mean:.2f}%"></i>'
            f'<b style="left:{100 * report.chance:.2f}%"></b></div></td><td class="value">{value}</td></tr>'
        )
    over = f"Mean and deviation over {seeds} seeds. " if seeds > 1 else ""
    return (
        "<section><h2>Words recognised, voices never heard before</h2>"
        f'<table class="accuracy"><tbody>{"".join(rows)}</tbody></table>'
        f'<p class="note">{over}The thin mark is guessing: {percent(report.chance)}.</p></section>'
    )


def _examples(examples: Sequence[Example]) -> str:
    if not examples:
        return ""
    rows = []
    for one in examples:
        low, high = np.percentile(one.log_mel, [3, 99.7])
        pictures = (
            ("The sound", spectrogram_png(one.log_mel, low, high)),
            ("What the model was shown", spectrogram_png(one.log_mel, low, high, one.hidden)),
            ("What it filled in", spectrogram_png(one.filled_in, low, high)),
        )
        figures = "".join(
            f'<figure><img src="{uri}" alt="{escape(caption)}, {escape(one.title)}"><figcaption>{caption}</figcaption>'
            "</figure>"
            for caption, uri in pictures
        )
        sound = f'<audio controls preload="none" src="{wav_uri(one.wave, one.sample_rate)}"></audio>'
        rows.append(f'<div class="example"><div class="said"><h3>{escape(one.title)}</h3>{sound}</div>{figures}</div>')
    return (
        "<section><h2>What pretraining teaches</h2><p>Grey parts of the spectrogram are hidden; the model fills them "
        "in from what is left, without any label. Time runs to the right over one second, frequency upwards to 8 kHz. "
        f"These are test voices.</p>{''.join(rows)}</section>"
    )


def _charts(charts: Sequence[Chart]) -> str:
    figures = "".join(
        f"<figure><h3>{escape(one.title)}</h3>{line_chart(one.series, one.x_label, one.y_label, one.y_range)}</figure>"
        for one in charts
    )
    return f'<section><h2>How training went</h2><div class="charts">{figures}</div></section>'


def _confusion(report: Report) -> str:
    wrong = [
        (int(report.confusion[row, column]), said, heard)
        for row, said in enumerate(report.classes)
        for column, heard in enumerate(report.classes)
        if row != column and report.confusion[row, column] > 0
    ]
    worst = sorted(wrong, reverse=True)[:3]
    named = "; ".join(f"“{said}” heard as “{heard}” {count} times" for count, said, heard in worst)
    text = f"Most often wrong: {named}." if worst else "No test clip was heard wrong."
    return (
        f"<section><h2>What it mixes up</h2><p>The pretrained model on the test set: rows were said, columns heard. "
        f'{escape(text)}</p><div class="scroll">{confusion_chart(report.confusion, report.classes)}</div></section>'
    )


def _facts(report: Report) -> str:
    groups = {
        "Time": {
            **{stage: duration(seconds) for stage, seconds in report.timings.items()},
            "in all": duration(sum(report.timings.values())),
        },
        **report.facts,
    }
    blocks = []
    for heading, facts in groups.items():
        rows = "".join(
            f'<tr><th scope="row">{escape(str(name))}</th><td>{escape(str(value))}</td></tr>'
            for name, value in facts.items()
        )
        blocks.append(f"<div><h3>{escape(heading)}</h3><table><tbody>{rows}</tbody></table></div>")
    return f'<section><h2>How to get the same</h2><div class="facts">{"".join(blocks)}</div></section>'
