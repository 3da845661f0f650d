"""What was found in a data set, in one line, so that a person sees at once whether it is what they meant."""

from __future__ import annotations

from collections import Counter

from ..data.dataset import AudioDataset
from .devices import is_main_process
from .progress import say

_NAMED = 8  # classes


def say_found(doing: str, dataset: AudioDataset, held_out: AudioDataset | None = None, *, quiet: bool) -> None:
    """Say on stderr, once among several processes, how many clips, how long, and of which classes."""
    if not quiet and is_main_process():
        beside = f"; validating on {_clips(held_out)}" if held_out else ""
        say(f"{doing} {describe_data(dataset)}{beside}")


def describe_data(dataset: AudioDataset) -> str:
    """ "240 clips (3.6 min) of 3 classes: high 80, low 80, mid 80"; of many classes the rarest and the commonest."""
    if not dataset.classes:
        return _clips(dataset)
    found = Counter(label for clip in dataset.clips for label in clip.labels)
    counts = {name: found[name] for name in dataset.classes}
    text = f"{_clips(dataset)} of {len(counts)} class{'es' * (len(counts) != 1)}"
    if len(counts) <= _NAMED:
        return f"{text}: {', '.join(f'{name} {number}' for name, number in counts.items())}"
    rarest, commonest = min(counts, key=counts.get), max(counts, key=counts.get)
    return f"{text}, from {counts[rarest]} of {rarest} to {counts[commonest]} of {commonest}"


def _clips(dataset: AudioDataset) -> str:
    count = len(dataset.clips)
    return f"{count} clip{'s' * (count != 1)} ({in_time(float(dataset.durations.sum()))})"


def in_time(seconds: float) -> str:
    """A length of time in the unit that suits it: "24 s", "3.6 min", "12.5 h"."""
    for unit, length in (("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.3g} s"
