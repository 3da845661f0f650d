"""A run that was killed or interrupted and resumed reaches bitwise the weights of one that was not."""

from __future__ import annotations

import errno
import json
import math
import os
import signal
import threading
import time
from contextlib import ExitStack

import pytest
import torch
from safetensors.torch import load_file
from torch.utils.data import get_worker_info

from full_disk import files_up_to
from ssamba.data.dataset import AudioDataset
from ssamba.data.workers import WorkerError
from ssamba.training import FinetuneSettings, Interrupted, PretrainSettings, finetune, pretrain
from ssamba.training.checkpoints import load_training_state
from ssamba.training.loop import TrainingLoop
from ssamba.training.metrics_log import MetricsLog
from tone_clips import TINY


class Killed(BaseException):
    """Stands for a kill: nothing in the loop may catch it."""


def at_step(monkeypatch, step, action):
    """Run `action` once, before optimiser step `step` is taken."""
    original = TrainingLoop._step

    def patched(loop, batches):
        if loop.position.step == step:
            monkeypatch.setattr(TrainingLoop, "_step", original)
            action()
        return original(loop, batches)

    monkeypatch.setattr(TrainingLoop, "_step", patched)


def kill():
    raise Killed


def settings_of(kind, data, out, **more):
    common = {
        **TINY,
        "data": str(data),
        "out": str(out),
        "epochs": 2,
        "save_every": 2,
        "log_every": 3,
        "seed": 7,
        **more,
    }
    if kind == "pretrain":
        return PretrainSettings(**common)
    return FinetuneSettings(
        **common,
        validation_share=0.25,
        mixup=0.5,
        noise=True,
        freq_mask=8,
        time_mask=8,
        head_lr_multiplier=3,
        balance=True,
    )


@pytest.fixture(scope="module")
def whole(tones, tmp_path_factory):
    """whole(kind, **settings): directory of a run that nothing disturbed, made once."""
    made = {}

    def make(kind, **more):
        key = (kind, *more.items())
        if key not in made:
            made[key] = tmp_path_factory.mktemp("whole") / "run"
            assert RUN[kind](settings_of(kind, tones, made[key], **more)).status == "finished"
        return made[key]

    return make


RUN = {"pretrain": pretrain, "finetune": finetune}
TIMES = ("clips_per_second", "data_wait")


def records(out):
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name not in TIMES} for line in lines]


def assert_same_run(a, b):
    for name in ("last", "best"):
        one, two = (load_file(out / "checkpoints" / name / "model.safetensors") for out in (a, b))
        assert one.keys() == two.keys()
        assert all(torch.equal(one[key], two[key]) for key in one)
    states = [load_training_state(out / "checkpoints" / "last") for out in (a, b)]
    assert states[0]["position"] == states[1]["position"]
    for index, moments in states[0]["optimizer"]["state"].items():
        assert all(torch.equal(moments[key], states[1]["optimizer"]["state"][index][key]) for key in moments)
    assert records(a) == records(b)


@pytest.mark.parametrize(
    ("kind", "more", "steps", "saved"),
    [("pretrain", {"accumulate": 2}, 3, 2), ("finetune", {}, 6, 6), ("finetune", {}, 4, 4)],
)
def test_killed_in_the_middle_or_at_the_end_of_an_epoch(kind, more, steps, saved, tones, whole, tmp_path, monkeypatch):
    broken = tmp_path / "broken"
    at_step(monkeypatch, steps, kill)
    with pytest.raises(Killed):
        RUN[kind](settings_of(kind, tones, broken, **more))
    position = load_training_state(broken / "checkpoints" / "last")["position"]
    assert position["step"] == saved
    assert position["batch"] == (0 if saved == 4 else 4 if more else 2)
    RUN[kind](settings_of(kind, tones, broken, resume=True, workers=1, gradient_checkpointing=True, **more))
    assert_same_run(whole(kind, **more), broken)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signal_finishes_the_step_and_saves(number, tones, whole, tmp_path, monkeypatch):
    broken = tmp_path / "broken"
    before = signal.getsignal(number)
    at_step(monkeypatch, 2, lambda: os.kill(os.getpid(), number))
    with pytest.raises(Interrupted, match=r"stopped after step 3 of 8.*--resume") as caught:
        finetune(settings_of("finetune", tones, broken))
    assert caught.value.exit_code == 128 + number
    assert signal.getsignal(number) is before
    assert load_training_state(broken / "checkpoints" / "last")["position"]["step"] == 3
    finetune(settings_of("finetune", tones, broken, resume=True))
    assert_same_run(whole("finetune"), broken)


def test_signal_on_the_last_step_before_validation(tones, whole, tmp_path, monkeypatch):
    broken = tmp_path / "broken"
    at_step(monkeypatch, 7, lambda: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(Interrupted, match="after step 8 of 8"):
        finetune(settings_of("finetune", tones, broken))
    assert records(broken)[-1]["split"] == "train"
    assert finetune(settings_of("finetune", tones, broken, resume=True)).status == "finished"
    assert_same_run(whole("finetune"), broken)


def at_clip(monkeypatch, count, action):
    """Run `action` in the process that reads, once, when the `count`-th clip is about to be read."""
    original, seen = AudioDataset._item_if_readable, []

    def patched(dataset, index):
        seen.append(index)
        if len(seen) == count:
            action()
        return original(dataset, index)

    monkeypatch.setattr(AudioDataset, "_item_if_readable", patched)


def signalled_while_stuck():
    """A signal comes while the next clip does not."""
    threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT)).start()
    time.sleep(60)


@pytest.mark.parametrize(
    ("clip", "step"),
    [(1, 0), (4 * 2, 0), (4 * 3 + 2, 2), (4 * 4 + 4, 4)],
    ids=["before the first step", "in the first batch", "in a batch", "in validation"],
)
def test_one_signal_ends_a_wait_for_clips(clip, step, tones, whole, tmp_path, monkeypatch):
    broken = tmp_path / "broken"
    settings = {"mean": -5.0, "std": 4.0}  # or clips are read to measure them
    with monkeypatch.context() as patch:
        at_clip(patch, clip, signalled_while_stuck)
        started = time.monotonic()
        with pytest.raises(Interrupted, match=rf"SIGINT: stopped after step {step} of 8, all of it saved"):
            finetune(settings_of("finetune", tones, broken, **settings))
        assert time.monotonic() - started < 30
    finetune(settings_of("finetune", tones, broken, resume=True, **settings))
    assert_same_run(whole("finetune", **settings), broken)


def test_a_full_disk_says_what_is_saved(tones, whole, tmp_path, monkeypatch):
    broken = tmp_path / "broken"
    with ExitStack() as stack:
        at_step(monkeypatch, 5, lambda: stack.enter_context(files_up_to(20_000)))
        with pytest.raises(OSError, match="File too large") as caught:
            finetune(settings_of("finetune", tones, broken))
    assert caught.value.filename == str(broken / "checkpoints" / "last" / "model.safetensors")
    assert caught.value.strerror.endswith(
        f"; the last good checkpoint is of step 4; when that is mended, continue with --out {broken} --resume"
    )
    assert sorted(path.name for path in (broken / "checkpoints").iterdir()) == ["best", "last"]
    finetune(settings_of("finetune", tones, broken, resume=True))
    assert_same_run(whole("finetune"), broken)


def test_a_disk_that_is_full_from_the_start(tones, tmp_path):
    broken = tmp_path / "broken"
    with pytest.raises(OSError, match=r"File too large.*; nothing of the run is saved yet"), files_up_to(20_000):
        finetune(settings_of("finetune", tones, broken))
    with pytest.raises(OSError, match="File too large") as caught, files_up_to(100):
        finetune(settings_of("finetune", tones, tmp_path / "other"))
    assert caught.value.filename == str(tmp_path / "other" / "config.json")
    assert not (tmp_path / "other").exists()
    assert finetune(settings_of("finetune", tones, broken)).status == "finished"


def test_the_log_on_a_full_disk(tmp_path):
    file = tmp_path / "metrics.jsonl"
    log = MetricsLog(file, tmp_path / "tensorboard", 0)
    log.write(1, "train", {"loss": 1.0})
    with pytest.raises(OSError, match="File too large") as caught, files_up_to(file.stat().st_size + 10):
        log.write(2, "train", {"loss": 2.0})
    log.close()
    assert caught.value.filename == str(file)
    log = MetricsLog(file, tmp_path / "tensorboard", 2)
    log.write(2, "train", {"loss": 3.0})
    log._writer.flush = lambda: (_ for _ in ()).throw(OSError(errno.ENOSPC, "No space left on device"))
    with pytest.raises(OSError, match="No space left") as caught:
        log.write(3, "train", {"loss": 4.0})
    assert caught.value.filename == str(tmp_path / "tensorboard")
    log.close()
    assert [line["loss"] for line in map(json.loads, file.read_text().splitlines())] == [1.0, 3.0, 4.0]


def test_a_worker_that_is_killed_ends_the_run_with_all_of_it_saved(tones, whole, tmp_path, monkeypatch):
    broken = tmp_path / "broken"
    settings = {"mean": -5.0, "std": 4.0}
    with monkeypatch.context() as patch:
        at_clip(patch, 4 * 3 + 1, kill_if_worker)
        with pytest.raises(WorkerError, match=r"a worker process was killed, most likely because memory ran out") as e:
            finetune(settings_of("finetune", tones, broken, workers=1, **settings))
    saved = load_training_state(broken / "checkpoints" / "last")["position"]["step"]
    assert f"; the last good checkpoint is of step {saved}; when that is mended, continue with" in str(e.value)
    finetune(settings_of("finetune", tones, broken, resume=True, **settings))
    assert_same_run(whole("finetune", **settings), broken)


def kill_if_worker():
    if get_worker_info() is not None:
        os.kill(os.getpid(), signal.SIGKILL)


def test_finished_run_says_so(tones, tmp_path):
    settings = settings_of("pretrain", tones, tmp_path / "run", max_steps=2, epochs=1)
    first = pretrain(settings)
    again = pretrain(settings_of("pretrain", tones, tmp_path / "run", max_steps=2, epochs=1, resume=True))
    assert (first.status, again.status) == ("finished", "already finished")
    assert (again.step, again.best) == (2, first.best)


def test_resume_with_nothing_there_starts(tones, tmp_path):
    result = pretrain(settings_of("pretrain", tones, tmp_path / "new", max_steps=1, epochs=1, resume=True))
    assert (result.status, result.step) == ("finished", 1)


def test_refusals(tones, tmp_path):
    run = tmp_path / "run"
    few = {"max_steps": 1, "epochs": 1}
    pretrain(settings_of("pretrain", tones, run, **few))
    with pytest.raises(ValueError, match=r"already holds a run; continue it with --resume or choose another --out"):
        pretrain(settings_of("pretrain", tones, run, **few))
    with pytest.raises(ValueError, match=r"learning_rate was 0.001, now 0.5; seed was 7, now 8"):
        pretrain(settings_of("pretrain", tones, run, resume=True, **{**few, "learning_rate": 0.5, "seed": 8}))
    with pytest.raises(ValueError, match=r"holds a pretrain run, not a finetune run"):
        finetune(settings_of("finetune", tones, run, resume=True, **few))
    other = tmp_path / "other"
    other.mkdir()
    (other / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match=r"not empty and holds no run"):
        pretrain(settings_of("pretrain", tones, other, resume=True, **few))


def test_changed_data_is_noticed(tones, tmp_path):
    import shutil

    data = tmp_path / "data"
    shutil.copytree(tones, data)
    pretrain(settings_of("pretrain", data, tmp_path / "run", max_steps=1, epochs=1))
    (data / "low" / "0.wav").unlink()
    with pytest.raises(ValueError, match=r"cannot be resumed: (training|validation)_clips was \d+ clips"):
        pretrain(settings_of("pretrain", data, tmp_path / "run", max_steps=1, epochs=1, resume=True))


def test_learning_rate_follows_the_schedule(whole):
    rates = {line["step"]: line["learning_rate"] for line in records(whole("finetune")) if line["split"] == "train"}
    # 8 steps, no warm-up; the log holds means over steps 1-3, 4-6, 7-8
    scale = [0.01 + 0.99 * (1 + math.cos(math.pi * step / 7)) / 2 for step in range(8)]
    expected = {3: sum(scale[:3]) / 3, 6: sum(scale[3:6]) / 3, 8: sum(scale[6:]) / 2}
    assert rates == pytest.approx({step: 1e-3 * value for step, value in expected.items()})
