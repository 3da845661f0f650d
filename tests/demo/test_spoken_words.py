"""The data set of spoken words: complete or absent, repeatable, no test voice heard before."""

import csv
import re

import numpy as np
import pytest
import soundfile

from ssamba.demo.recipe import recipe
from ssamba.demo.spoken_words import (
    MARKER,
    VOICES,
    WORDS,
    SpokenWordsSettings,
    choose_labelled,
    make_spoken_words,
    plan,
)

SMALL = SpokenWordsSettings(variants=(1, 1, 1))


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.wav")}


def family(voice: str) -> str:
    return re.sub(r"\d+$", "", voice.lower())


@pytest.mark.parametrize("quick", [False, True])
def test_the_demo_has_twenty_words_and_sixty_variants_and_unheard_test_voices(quick):
    planned = plan(recipe(quick, seed=0).sounds)
    assert len(set(WORDS)) == 20
    variants = {(one.voice, one.accent, one.pitch, one.rate) for part in planned.values() for one in part}
    assert len(variants) >= 60
    heard = {split: {one.voice for one in part} for split, part in planned.items()}
    assert not heard["test"] & (heard["train"] | heard["valid"])
    assert not heard["train"] & heard["valid"]
    for part in planned.values():
        counts = {word: sum(one.text == word for one in part) for word in WORDS}
        assert len(set(counts.values())) == 1


def test_numbered_versions_of_one_voice_are_in_one_split():
    # f1…f5 and m1…m8 are different people; elsewhere a number marks a version of the same voice.
    families = [{family(v) for v in voices if not re.fullmatch(r"[fm]\d", v)} for voices in VOICES.values()]
    assert sum(map(len, families)) == len(set.union(*families))


def test_the_data_set_is_what_it_says(tmp_path, few_voices):
    words = make_spoken_words(tmp_path / "words", SMALL)
    assert not words.reused
    assert words.clips == {"train": 12, "valid": 4, "test": 4}
    assert words.variants == 5
    for split, voices in few_voices.items():
        assert sorted(path.name for path in words.split(split).iterdir()) == ["left", "seven", "stop", "zero"]
        assert {path.name.rsplit("-", 1)[0] for path in words.split(split).rglob("*.wav")} == set(voices)
    for path in words.folder.rglob("*.wav"):
        info = soundfile.info(str(path))
        assert (info.samplerate, info.channels, info.frames, info.subtype) == (16000, 1, 16000, "PCM_16")
        wave, _ = soundfile.read(str(path))
        assert 0.02 < np.sqrt(np.mean(wave**2)) < 0.2  # -34 to -14 dB


def test_the_same_seed_gives_the_same_bytes_and_another_seed_other_sounds(tmp_path, few_voices):
    first = contents(make_spoken_words(tmp_path / "a", SMALL).folder)
    again = contents(make_spoken_words(tmp_path / "b", SMALL).folder)
    other = contents(make_spoken_words(tmp_path / "c", SpokenWordsSettings(variants=(1, 1, 1), seed=1)).folder)
    assert first == again
    assert first.keys() == other.keys()
    assert all(first[name] != other[name] for name in first)
    assert len(set(first.values())) == len(first)


def test_a_complete_data_set_is_used_again_and_a_damaged_or_different_one_made_anew(tmp_path, few_voices):
    folder = tmp_path / "words"
    before = contents(make_spoken_words(folder, SMALL).folder)
    assert make_spoken_words(folder, SMALL).reused

    (folder / "test" / "seven" / "f2-000.wav").unlink()
    assert not make_spoken_words(folder, SMALL).reused
    assert contents(folder) == before

    (folder / MARKER).write_text("{")
    assert not make_spoken_words(folder, SMALL).reused

    assert not make_spoken_words(folder, SpokenWordsSettings(variants=(1, 1, 1), seed=1)).reused
    assert contents(folder) != before


def test_an_interruption_leaves_nothing_half_written(tmp_path, few_voices):
    def interrupt(done, total):
        assert total == 20
        if done == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_spoken_words(tmp_path / "words", SMALL, interrupt)
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_run_left_is_cleared_away(tmp_path, few_voices):
    left = tmp_path / "words.partial" / "train"
    left.mkdir(parents=True)
    make_spoken_words(tmp_path / "words", SMALL)
    assert [path.name for path in tmp_path.iterdir()] == ["words"]


def test_somebody_elses_folder_is_left_alone(tmp_path, few_voices):
    mine = tmp_path / "words" / "thesis.txt"
    mine.parent.mkdir()
    mine.write_text("dear reader")
    with pytest.raises(FileExistsError, match="is not a spoken-word data set"):
        make_spoken_words(mine.parent, SMALL)
    assert mine.read_text() == "dear reader"


def test_labelled_clips_are_a_few_of_each_word_from_training(tmp_path, few_voices):
    words = make_spoken_words(tmp_path / "words", SMALL)
    table = tmp_path / "seed" / "labelled.csv"
    chosen = choose_labelled(words, 2, seed=0, path=table)
    rows = list(csv.DictReader(table.open()))
    assert [(table.parent / row["path"]).resolve() for row in rows] == [path.resolve() for path in chosen]
    assert len(set(chosen)) == 8
    for path, row in zip(chosen, rows, strict=True):
        assert path.parent.name == row["label"]
        assert path.parent.parent == words.split("train")
    assert choose_labelled(words, 2, seed=0, path=table) == chosen
    assert choose_labelled(words, 2, seed=1, path=table) != chosen
