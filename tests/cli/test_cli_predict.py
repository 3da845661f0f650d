"""predict writes rows as they are known, keeps them when it is stopped, and goes on from there."""

from __future__ import annotations

import csv
import json
import os
import signal
from pathlib import Path

import numpy as np
import pytest
import soundfile

from ssamba.cli import predictor
from ssamba.cli.predictor import Predictor
from ssamba.cli.results.resuming import append
from ssamba.cli.results.row_file import RowFile
from ssamba.cli.results.row_printers import Table
from ssamba.training.progress import SoundProgress


@pytest.fixture
def files(clips) -> list[Path]:
    return sorted((clips / "low").iterdir())


@pytest.fixture
def signal_at(monkeypatch):
    """signal_at(number, n): the process gets the signal when it opens its n-th file."""
    original = predictor.AudioFile

    def arrange(number: int, file: int) -> None:
        opened = []

        def opening(path):
            opened.append(path)
            if len(opened) == file:
                os.kill(os.getpid(), number)
            return original(path)

        monkeypatch.setattr(predictor, "AudioFile", opening)

    yield arrange
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_keeps_the_rows_that_are_known(ssamba, finetuned, files, signal_at, number):
    _, whole, _ = ssamba("predict", "--checkpoint", finetuned, *files)
    signal_at(number, 4)
    code, out, err = ssamba("predict", "--checkpoint", finetuned, "--batch-size", "1", *files)
    assert code == 128 + number
    assert out.splitlines() == whole.splitlines()[:3]
    assert err == f"ssamba: {number.name}: stopped after 3 of 8 files\n"


def test_a_json_list_is_whole_also_after_a_signal(ssamba, finetuned, files, signal_at):
    _, whole, _ = ssamba("predict", "--checkpoint", finetuned, "--json", *files)
    assert [row["file"] for row in json.loads(whole)] == list(map(str, files))
    signal_at(signal.SIGTERM, 4)
    code, out, _ = ssamba("predict", "--checkpoint", finetuned, "--json", "--batch-size", "1", *files)
    assert code == 143
    assert json.loads(out) == json.loads(whole)[:3]


def test_windows_of_many_files_together_give_what_one_gives(finetuned, tmp_path):
    random = np.random.default_rng(0)
    lengths = [16000, 16000, 5000, 41000, 3000, 16000]
    paths = [str(tmp_path / f"{i}.wav") for i in range(len(lengths))]
    for path, length in zip(paths, lengths, strict=True):
        soundfile.write(path, 0.1 * random.standard_normal(length), 16000)
    with open(paths[3], "r+b") as file:  # cut: some of its windows are scored before that is met
        file.truncate(44 + 2 * 20000)
    scorer = Predictor(str(finetuned), "cpu", "float32")
    results = []
    for batch_size in (1, 4, 100):
        reader = scorer.reader(False, SoundProgress(len(paths), "", quiet=True))
        results.append(list(scorer.rows(paths, reader, batch_size)))
        assert [path for path, _ in reader.skipped] in ([], [paths[3]])
    names = [[row["file"] for row in rows] for rows in results]
    assert names[0] == names[1] == names[2]
    for rows in results[1:]:
        for row, alone in zip(rows, results[0], strict=True):
            assert {item["label"]: item["score"] for item in row["labels"]} == pytest.approx(
                {item["label"]: item["score"] for item in alone["labels"]}, abs=1e-6
            )


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl"])
def test_out_is_resumed_where_it_was_stopped(ssamba, finetuned, files, signal_at, tmp_path, suffix):
    options = ["--checkpoint", finetuned, "--batch-size", "1", "--top", "2", *files]
    assert ssamba("predict", *options, "--out", tmp_path / f"whole{suffix}")[:2] == (
        0,
        f"{tmp_path / f'whole{suffix}'}: 8 of 8 files\n",
    )
    out = tmp_path / f"scores{suffix}"
    signal_at(signal.SIGINT, 6)
    code, _, err = ssamba("predict", *options, "--out", out)
    assert (code, err) == (
        130,
        "ssamba: SIGINT: stopped after 5 of 8 files; the same command with --resume goes on\n",
    )
    with out.open("r+b") as file:  # as a power cut leaves it
        file.truncate(out.stat().st_size - 3)
    code, _, err = ssamba("predict", *options, "--out", out)
    assert code == 2
    assert "holds rows already; go on with --resume, or choose another --out" in err
    assert ssamba("predict", *options, "--out", out, "--resume")[:2] == (0, f"{out}: 8 of 8 files\n")
    assert out.read_bytes() == (tmp_path / f"whole{suffix}").read_bytes()
    assert ssamba("predict", *options, "--out", out, "--resume")[0] == 0
    assert out.read_bytes() == (tmp_path / f"whole{suffix}").read_bytes()


def test_columns_of_a_table(ssamba, finetuned, files, tmp_path):
    ssamba("predict", "--checkpoint", finetuned, "--out", tmp_path / "a.csv", files[0])
    ssamba("predict", "--checkpoint", finetuned, "--out", tmp_path / "a.jsonl", files[0])
    (row,) = csv.DictReader((tmp_path / "a.csv").open())
    expected = json.loads((tmp_path / "a.jsonl").read_text())
    assert row["file"] == expected["file"] == str(files[0])
    for number, item in enumerate(expected["labels"], 1):
        assert (row[f"label_{number}"], float(row[f"score_{number}"])) == (item["label"], item["score"])


def test_other_settings_are_refused(ssamba, finetuned, files, tmp_path):
    out = tmp_path / "scores.csv"
    ssamba("predict", "--checkpoint", finetuned, "--out", out, *files[:2])
    before = out.read_bytes()
    for options, message in [
        (["--checkpoint", finetuned, "--top", "1"], "top was 3, now 1"),
        (["--checkpoint", finetuned, "--dtype", "bfloat16"], "dtype was 'float32', now 'bfloat16'"),
        (["--checkpoint", finetuned / "checkpoints" / "last", "--top", "1"], "top was 3"),
    ]:
        code, _, err = ssamba("predict", *options, "--out", out, "--resume", *files)
        assert code == 2
        assert message in err
    (finetuned / "checkpoints" / "best" / "readout.json").touch()  # the same weights, whenever they were written
    assert ssamba("predict", "--checkpoint", finetuned, "--out", out, "--resume", *files[:2])[0] == 0
    assert out.read_bytes() == before
    (tmp_path / "scores.csv.settings.json").unlink()
    code, _, err = ssamba("predict", "--checkpoint", finetuned, "--out", out, "--resume", *files)
    assert code == 2
    assert "cannot be resumed: what it was begun with is not there (scores.csv.settings.json)" in err


def row(name: str) -> dict:
    return {"file": name, "labels": [{"label": "a", "score": 0.5}]}


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl"])
def test_odd_names_come_back(tmp_path, suffix):
    names = [os.fsdecode(b"caf\xe9.wav"), "a\nb.wav", 'quo"te,\t.wav', "ü.wav"]
    with RowFile(tmp_path / f"f{suffix}", {}, 1, resume=False) as file:
        for name in names:
            file.add(row(name))
    content = (tmp_path / f"f{suffix}").read_bytes()
    for cut in range(1, len(content), 3):
        (tmp_path / f"f{suffix}").write_bytes(content[:cut])
        with RowFile(tmp_path / f"f{suffix}", {}, 1, resume=True) as file:
            assert file.files == names[: len(file.files)]
            for name in names[len(file.files) :]:
                file.add(row(name))
        assert (tmp_path / f"f{suffix}").read_bytes() == content


def test_row_files_of_others(tmp_path):
    (tmp_path / "f.csv").write_text("file,label_1,score_1\nx\na.wav,a,0.5\n")
    (tmp_path / "f.csv.settings.json").write_text("{}")
    with pytest.raises(ValueError, match=r"row 2 of .*f\.csv is not one of ssamba predict"):
        RowFile(tmp_path / "f.csv", {}, 1, resume=True)
    with (
        RowFile(tmp_path / "g.csv", {}, 1, resume=False),
        pytest.raises(ValueError, match=r"g\.csv is being written by another process"),
    ):
        RowFile(tmp_path / "g.csv", {}, 1, resume=True)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_named(tmp_path):
    with (
        open("/dev/full", "ab", buffering=0) as full,
        pytest.raises(OSError, match=r"No space left on device \(more is needed than the .* free\): .*scores\.csv"),
    ):
        append(full, b"a row", tmp_path / "scores.csv")


def test_names_in_the_table(capsys):
    table = Table(["a.wav", "n" * 80])
    for name in ("a.wav", "n" * 80, "b\tc\n.wav"):
        table.add(row(name))
    assert capsys.readouterr().out.splitlines() == [
        "a.wav" + " " * 55 + "  a 0.500",
        "n" * 80 + "  a 0.500",
        r"b\tc\n.wav" + " " * 50 + "  a 0.500",
    ]
