"""Predictions on standard output, a row for each audio file, as soon as it is known."""

from __future__ import annotations

import json

from ...audio.names import printable
from ..predictor import Row

_WIDEST_NAME = 60  # columns; the labels of longer names begin further to the right


class Table:
    """A line for each file: name, then label and score of the best."""

    files = ()  # nothing was printed before

    def __init__(self, files: list[str]):
        self._width = min(_WIDEST_NAME, max(map(len, files), default=0))

    def __enter__(self) -> Table:
        return self

    def __exit__(self, *exception: object) -> None:
        pass

    def add(self, row: Row) -> None:
        name = printable(row["file"])
        labels = "  ".join(f"{item['label']} {item['score']:.3f}" for item in row["labels"])
        print(f"{name:{self._width}}  {labels}", flush=True)


class JsonList:
    """A JSON list, a line for each file, which is brought to its end also where the command is stopped."""

    files = ()

    def __enter__(self) -> JsonList:
        self._before = "["
        return self

    def __exit__(self, *exception: object) -> None:
        print("[]" if self._before == "[" else "\n]", flush=True)

    def add(self, row: Row) -> None:
        print(f"{self._before}\n{json.dumps(row)}", end="", flush=True)
        self._before = ","
