"""From a list of faults to sources that contain them all, each chosen by its number when running."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MARK = re.compile(r"\{\{(?P<original>.*?) => (?P<replacement>.*?)\}\}(?!\})", re.DOTALL)


@dataclass(frozen=True)
class Fault:
    """One change of one place.

    `site` is source text that occurs once in the file, with the place marked: `i {{< => <=}} count` is not allowed, as
    an operator alone has no value, `{{i < count => i <= count}}` is. What ends with a semicolon is taken as
    statements, anything else as an expression. Where lines are broken does not matter.
    """

    kind: str
    site: str
    means: str
    own: bool = False  # cannot be chosen when running: a type, a size. Gets a build of its own
    equivalent: str = ""  # why no input can tell it from the original
    survives: str = ""  # why no test notices, though one could
    file: str = ""
    number: int = 0
    library: str = ""

    @property
    def original(self) -> str:
        return self._mark["original"]

    @property
    def replacement(self) -> str:
        return self._mark["replacement"]

    @property
    def is_statement(self) -> bool:
        return self.original.endswith(";")

    @property
    def _mark(self) -> re.Match[str]:
        marks = list(MARK.finditer(self.site))
        if len(marks) != 1:
            raise ValueError(f"{self.name}: {len(marks)} marked places in {self.site!r}; expected one, {{{{a => b}}}}")
        return marks[0]

    @property
    def name(self) -> str:
        return f"fault {self.number} in {self.file}"

    def span(self, source: str) -> tuple[int, int]:
        """Where the original is."""
        mark = self._mark
        around = self.site[: mark.start()], mark["original"], self.site[mark.end() :]
        before, original, after = (r"\s+".join(map(re.escape, re.split(r"\s+", text))) for text in around)
        found = list(re.finditer(f"{before}({original}){after}", source))
        if len(found) != 1:
            raise ValueError(
                f"{self.name}: its text is there {len(found)} times, expected once. The source has changed: renew the "
                f"entry, or drop it if there is no such place any more. {self.site!r}"
            )
        return found[0].span(1)


@dataclass
class Place:
    """Text between two faults' edges, and the faults that lie within."""

    begin: int
    end: int
    fault: Fault | None = None
    inside: list[Place] = field(default_factory=list)

    def text(self, source: str) -> str:
        parts, at = [], self.begin
        for place in self.inside:
            parts += source[at : place.begin], place.text(source)
            at = place.end
        whole = "".join(parts) + source[at : self.end]
        if self.fault is None:
            return whole
        condition, other = f"fault_is({self.fault.number})", self.fault.replacement
        if self.fault.is_statement:
            return f"{{ if ({condition}) {{ {other} }} else {{ {whole} }} }}"
        return f"({condition} ? ({other}) : ({whole}))"

    def add(self, place: Place) -> None:
        last = self.inside[-1] if self.inside else None
        if last and place.begin < last.end:
            if place.end > last.end:
                raise ValueError(f"{place.fault.name} and {last.fault.name} overlap; expected one inside the other")
            last.add(place)
        else:
            self.inside.append(place)


def plant(source: str, faults: Iterable[Fault]) -> str:
    """The source with all the faults, each behind its number. One may lie inside another, or at the same place."""
    places = [Place(*fault.span(source), fault) for fault in faults]
    whole = Place(0, len(source))
    for place in sorted(places, key=lambda place: (place.begin, -place.end)):
        whole.add(place)
    return whole.text(source)


def replace(source: str, fault: Fault) -> str:
    """The source with the fault in it for good."""
    begin, end = fault.span(source)
    return source[:begin] + fault.replacement + source[end:]


def in_file(file: str, first: int, *faults: Fault, library: str = "") -> list[Fault]:
    """The faults of one file, numbered from `first`. Headers that devices share are judged on the emulated GPU."""
    from dataclasses import replace as copy

    library = library or ("cpu" if file.startswith("csrc/cpu/") else "simt")
    return [copy(f, file=file, number=first + i, library=library) for i, f in enumerate(faults)]
