"""The published folder layouts of data sets, with a few short tones in them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import soundfile

EMOTIONS = ("ang", "hap", "neu", "sad")


def write_tone(path: Path, pitch: float, seconds: float = 0.4, rate: int = 16000) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    time = np.arange(round(seconds * rate)) / rate
    random = np.random.default_rng(len(path.name) + int(pitch))
    soundfile.write(path, 0.3 * np.sin(2 * np.pi * pitch * time) + 0.01 * random.standard_normal(len(time)), rate)


def write_lines(path: Path, *lines: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines))


def write_esc50(root: Path) -> dict[str, Any]:
    """Two classes, five folds of 8 clips; each recording gives two clips of a fold."""
    rows = ["filename,fold,target,category,esc10,src_file,take"]
    for fold in range(1, 6):
        for target, category in enumerate(("dog", "rain")):
            for number in range(4):
                source = 1000 * fold + 100 * target + number // 2
                name = f"{fold}-{source}-{'AB'[number % 2]}-{target}.wav"
                write_tone(root / "audio" / name, 400 + 800 * target, rate=44100)
                rows.append(f"{name},{fold},{target},{category},True,{source},{'AB'[number % 2]}")
    write_lines(root / "meta" / "esc50.csv", *rows)
    return {"clips": 40, "classes": 2, "folds": (8,) * 5}


def write_iemocap(root: Path) -> dict[str, Any]:
    """Five sessions of two dialogues, each with an utterance of each emotion and two of others."""
    for session in range(1, 6):
        for dialogue in ("F_impro01", "M_script01_1"):
            name = f"Ses0{session}{dialogue}"
            happy = "exc" if session == 2 else "hap"
            lines = ["% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]", ""]
            for number, emotion in enumerate(("ang", happy, "neu", "sad", "fru", "xxx")):
                utterance = f"{name}_F{number:03}"
                lines.append(f"[{number}.2901 - {number}.9300]\t{utterance}\t{emotion}\t[2.5000, 2.5000, 2.5000]")
                lines += ["C-E2:\tNeutral;\t()", "A-E3:\tval 3; act 2; dom  2;\t()", ""]
                wav = root / f"Session{session}" / "sentences" / "wav" / name / f"{utterance}.wav"
                write_tone(wav, 300 + 300 * number)
            write_lines(root / f"Session{session}" / "dialog" / "EmoEvaluation" / f"{name}.txt", *lines)
    return {"sessions": (8,) * 5, **dict.fromkeys(EMOTIONS, 10)}


def write_voxceleb1(root: Path) -> dict[str, Any]:
    """Three speakers with two videos of two utterances; the last speaker lies in the test part."""
    lines = []
    for speaker, part in (("id10001", "dev"), ("id10002", "dev"), ("id10270", "test")):
        for number in range(4):
            name = f"{speaker}/video{number // 2}/{number:05}.wav"
            write_tone(root / part / "wav" / name, 300 * int(speaker[-2:]) % 2000 + 200)
            lines.append(f"{(1, 1, 2, 3)[number]} {name}")
    write_lines(root / "iden_split.txt", *lines)
    return {"train": 6, "validation": 3, "test": 3, "speakers": 3}


def write_speech_commands(root: Path) -> dict[str, Any]:
    """Three words said by six people, and background noise."""
    validation, testing = [], []
    for index, word in enumerate(("bed", "happy", "zero")):
        for number in range(6):
            name = f"{word}/{number:08x}_nohash_0.wav"
            write_tone(root / name, 300 + 700 * index)
            (validation if number == 4 else testing if number == 5 else []).append(name)
    write_tone(root / "_background_noise_" / "white_noise.wav", 50, seconds=2)
    write_lines(root / "validation_list.txt", *validation)
    write_lines(root / "testing_list.txt", *testing)
    return {"words": 3, "train": 12, "validation": 3, "test": 3}


def write_audioset(root: Path) -> dict[str, Any]:
    """Three classes, six balanced, four evaluation and five unbalanced clips, of which one each is not there."""
    classes = [("/m/09x0r", "Speech"), ("/m/068hy", "Domestic animals, pets"), ("/m/0jbk", "Animal")]
    write_lines(
        root / "class_labels_indices.csv",
        "index,mid,display_name",
        *(f'{index},{mid},"{name}"' for index, (mid, name) in enumerate(classes)),
    )
    names = {"balanced_train": "{}_30000_40000.flac", "eval": "Y{}.wav", "unbalanced_train": "{}_30.000.wav"}
    for (table, pattern), clips in zip(names.items(), (6, 4, 5), strict=True):
        rows = ["# Segments csv created Sun Mar  5 10:54:31 2017", "# num_ytids=6", "# YTID, start_seconds, ..."]
        for number in range(clips):
            video = f"-{table[:4]}_{number}Y-_x"[:11].ljust(11, "y")
            labels = ",".join(mid for mid, _ in classes[number % 2 : number % 2 + 1 + number % 3])
            rows.append(f'{video}, 30.000, 40.000, "{labels}"')
            if number:
                write_tone(root / table / pattern.format(video), 300 + 500 * number)
        write_lines(root / f"{table}_segments.csv", *rows)
    return {"balanced": 6, "evaluation": 4, "unbalanced": 5, "classes": 3}


def write_pretraining(root: Path) -> dict[str, Any]:
    """AudioSet and LibriSpeech side by side."""
    expected = write_audioset(root / "AudioSet")
    for part, speaker in (("train-clean-100", 103), ("train-clean-360", 100), ("train-other-500", 20)):
        for number in range(2):
            path = root / "LibriSpeech" / part / str(speaker) / "1240" / f"{speaker}-1240-{number:04}.flac"
            write_tone(path, 200 + 100 * number)
        expected[part] = 2
    return expected


def write_urban8k(root: Path) -> dict[str, Any]:
    """Ten folds of three clips of 1.2 s, of three classes."""
    rows = ["slice_file_name,fsID,start,end,salience,fold,classID,class"]
    for fold in range(1, 11):
        for index, name in enumerate(("car_horn", "dog_bark", "siren")):
            file = f"{100 * fold + index}-{index}-0-0.wav"
            write_tone(root / "audio" / f"fold{fold}" / file, 300 + 900 * index, seconds=1.2, rate=22050)
            rows.append(f"{file},{100 * fold + index},0.0,1.2,1,{fold},{index},{name}")
    write_lines(root / "metadata" / "UrbanSound8K.csv", *rows)
    return {"folds": (3,) * 10, "classes": 3}


WRITERS = {
    "audioset20k": write_audioset,
    "esc50": write_esc50,
    "iemocap": write_iemocap,
    "pretraining": write_pretraining,
    "speech_commands_v1": write_speech_commands,
    "speech_commands_v2": write_speech_commands,
    "urban8k": write_urban8k,
    "voxceleb1": write_voxceleb1,
}
