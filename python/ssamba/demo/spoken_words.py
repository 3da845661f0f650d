"""A data set of spoken words, made on the spot: 20 words, many voices, noisy rooms, no voice in two splits."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr

from .room import place_in_room
from .speech_engine import Utterance, engine_version, speak

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
COMMANDS = ("yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go")
WORDS = DIGITS + COMMANDS
ACCENTS = ("en-us", "en", "en-gb-scotland", "en-gb-x-rp", "en-gb-x-gbclan", "en-gb-x-gbcwmd", "en-029", "en-us-nyc")

# Voices of one family (klatt and klatt4, edward and edward2, …) are not in two splits: a test voice is a new one.
VOICES = {
    split: tuple(names.split())
    for split, names in {
        "train": "Alex Alicia Andrea Andy Annie Denis Diogo Gene Henrique Hugo Jacky Lee Michael Mike Nguyen adam "
        "anika aunty benjamin boris caleb david edward f1 f3 f5 grandma gustave ian iven john klatt4 linda m1 m3 m5 m7 "
        "marcelo max miguel norbert robosoft",
        "valid": "antonio f4 m6 pedro robert sandro shelby victor",
        "test": "Reed belinda ed f2 m2 m4 m8 michel pablo paul quincy steph travis zac",
    }.items()
}
SPLITS = tuple(VOICES)

SAMPLE_RATE = 16000
MARKER = "spoken-words.json"
FORMAT = 1  # raise it when the same settings would give other sounds


@dataclass(frozen=True)
class SpokenWordsSettings:
    """What the data set depends on.

    variants: (train, valid, test) number of pitch × speed × accent variants of every voice; each variant says every
    word. seconds: length of a clip. snr_db: lowest and highest voice-to-noise ratio in dB.
    """

    variants: tuple[int, int, int] = (4, 2, 3)
    seconds: float = 1.0
    snr_db: tuple[float, float] = (5.0, 25.0)
    seed: int = 0

    def fingerprint(self) -> str:
        """Hash of the settings, the words, the voices and the engine: equal fingerprints mean equal sounds."""
        parts = [FORMAT, asdict(self), WORDS, ACCENTS, VOICES, SAMPLE_RATE, engine_version()]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class SpokenWords:
    """A finished data set: `folder`/train, valid and test hold a folder per word.

    clips: number of clips of each split; variants: number of different voice × accent × pitch × speed settings.
    """

    folder: Path
    clips: dict[str, int]
    variants: int
    reused: bool

    def split(self, name: str) -> Path:
        """Folder of class folders of one split: "train", "valid" or "test"."""
        return self.folder / name


def plan(settings: SpokenWordsSettings) -> dict[str, list[Utterance]]:
    """Every utterance of each split, in a fixed order."""
    rng = np.random.default_rng([settings.seed, 1])
    utterances: dict[str, list[Utterance]] = {}
    for split, count in zip(SPLITS, settings.variants, strict=True):
        utterances[split] = []
        for voice in VOICES[split]:
            for _ in range(count):
                accent = str(rng.choice(ACCENTS))
                pitch, pitch_range, rate = (int(rng.integers(*ends)) for ends in ((15, 86), (25, 76), (130, 231)))
                utterances[split] += [Utterance(word, accent, voice, pitch, pitch_range, rate) for word in WORDS]
    return utterances


def make_spoken_words(
    folder: Path, settings: SpokenWordsSettings, progress: Callable[[int, int], None] | None = None
) -> SpokenWords:
    """Writes the data set to `folder` as 16 kHz wav files, or reuses what is there if it is complete and the same.

    The set is built aside in `folder`.partial and renamed when complete: an interruption leaves nothing half written.
    progress: called with (clips done, clips in all). Raises SpeechEngineError if the engine fails, and FileExistsError
    if `folder` holds something that is not such a data set.
    """
    folder = Path(folder)
    found = _finished(folder, settings)
    if found is not None:
        return found
    _remove_old(folder)
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        _write(partial, settings, progress)
        os.replace(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    done = _finished(folder, settings)
    assert done is not None
    return SpokenWords(done.folder, done.clips, done.variants, reused=False)


def _finished(folder: Path, settings: SpokenWordsSettings) -> SpokenWords | None:
    try:
        marker = json.loads((folder / MARKER).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, json.JSONDecodeError):
        return None
    if marker.get("fingerprint") != settings.fingerprint():
        return None
    counted = {split: sum(1 for _ in (folder / split).glob("*/*.wav")) for split in SPLITS}
    if counted != marker["clips"]:
        return None
    return SpokenWords(folder, counted, marker["variants"], reused=True)


def _remove_old(folder: Path) -> None:
    if not folder.exists():
        return
    if folder.is_dir() and ((folder / MARKER).is_file() or not any(folder.iterdir())):
        shutil.rmtree(folder)
        return
    raise FileExistsError(
        f"{folder} exists and is not a spoken-word data set (it has no {MARKER}); remove it or choose another --out"
    )


def _write(folder: Path, settings: SpokenWordsSettings, progress: Callable[[int, int], None] | None) -> None:
    utterances = plan(settings)
    total = sum(len(of_split) for of_split in utterances.values())
    spoken, rate = speak([utterance for of_split in utterances.values() for utterance in of_split])
    samples = round(settings.seconds * SAMPLE_RATE)
    done = 0
    for split, of_split in utterances.items():
        for word in WORDS:
            (folder / split / word).mkdir(parents=True)
        for number, utterance in enumerate(of_split):
            rng = np.random.default_rng([settings.seed, 2, done])
            voice = soxr.resample(spoken[done].astype(np.float64) / 32768.0, rate, SAMPLE_RATE)
            clip = place_in_room(voice, samples, SAMPLE_RATE, rng, settings.snr_db)
            path = folder / split / utterance.text / f"{utterance.voice}-{number // len(WORDS):03d}.wav"
            soundfile.write(path, clip, SAMPLE_RATE, subtype="PCM_16")
            done += 1
            if progress is not None:
                progress(done, total)
    marker = {
        "fingerprint": settings.fingerprint(),
        "settings": asdict(settings),
        "clips": {split: len(of_split) for split, of_split in utterances.items()},
        "variants": total // len(WORDS),
        "voices": VOICES,
        "words": WORDS,
    }
    (folder / MARKER).write_text(json.dumps(marker, indent=1) + "\n", encoding="utf-8")


def choose_labelled(words: SpokenWords, per_word: int, seed: int, path: Path) -> list[Path]:
    """Draws `per_word` training clips of each word, lists them in the CSV `path` (path, label), returns them."""
    rng = np.random.default_rng([seed, 3])
    path.parent.mkdir(parents=True, exist_ok=True)
    chosen = []
    with open(path, "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(("path", "label"))
        for word in WORDS:
            clips = sorted((words.split("train") / word).glob("*.wav"))
            some = [clips[index] for index in sorted(rng.permutation(len(clips))[:per_word])]
            table.writerows((os.path.relpath(clip, path.parent), word) for clip in some)
            chosen += some
    return chosen
