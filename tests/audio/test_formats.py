"""docs/formats.md names what is there: every container and coding, by the names of the decoders."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import soundfile

from foreign_sound import FORMATS, av

PAGE = (Path(__file__).parents[2] / "docs" / "formats.md").read_text(encoding="utf-8")
NATIVE, FOREIGN = PAGE.split("## FFmpeg, through PyAV")


def rows(text: str) -> list[list[set[str]]]:
    """The names in back quotes of each column of each row."""
    lines = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("| `")]
    return [[set(re.findall(r"`(\w+)`", column)) for column in line] for line in lines]


def canonical(coding: str) -> str:
    return av.codec.Codec(coding, "r").canonical_name


def test_native_containers_and_codings():
    documented: dict[str, set[str]] = {}
    for containers, _, codings in rows(NATIVE):
        documented.update(dict.fromkeys(containers, codings))
    assert set(documented) == set(soundfile.available_formats()) - {"RAW"}
    for container, codings in documented.items():
        assert set(soundfile.available_subtypes(container)) <= codings, container
    assert set().union(*documented.values()) <= set(soundfile.available_subtypes())


@pytest.mark.parametrize("row", rows(FOREIGN), ids=lambda row: "-".join(sorted(row[0])))
def test_foreign_containers_and_codings_exist(row):
    containers, _, codings, _ = row
    known = {name for names in av.formats_available for name in names.split(",")}
    assert containers <= known
    for coding in codings:
        assert av.codec.Codec(coding, "r").type == "audio"


def test_what_the_tests_read_is_documented():
    pairs = {(container, canonical(coding)) for containers, _, codings, _ in rows(FOREIGN)
             for container in containers for coding in codings}  # fmt: skip
    suffixes = {kind.suffix for kind in FORMATS}
    demuxers = {"ipod": "mov", "mp4": "mov", "3gp": "mov", "adts": "aac", "webm": "matroska"}
    for kind in FORMATS:
        coding = av.codec.Codec(kind.coding, "w").canonical_name
        assert (demuxers.get(kind.container, kind.container), coding) in pairs, str(kind)
    listed = {
        word
        for line in FOREIGN.splitlines()
        if line.startswith("| `")
        for word in re.findall(r"\w+", line.split("|")[2])
    }
    assert suffixes <= listed
