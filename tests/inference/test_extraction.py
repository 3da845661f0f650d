"""Features of audio: levels, layers, time grid, long audio, and the state that it leaves behind."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from queue import Queue
from threading import Event

import numpy as np
import pytest
import torch

from ssamba.audio.log_mel import log_mel


@pytest.fixture
def audio(noise):
    return 0.1 * noise(2, 16400)  # 101 frames: 6 columns and 5 frames over


def test_levels_are_means_of_the_encoder_tokens(make_model, audio):
    model = make_model(num_classes=None)
    x, frames = model.features(audio)
    assert frames is None
    torch.testing.assert_close(x, (log_mel(audio, 16000) + 4.2677393) / (2 * 4.5689974))
    with torch.no_grad():
        patches = model.encode(x)[:, 1:].unflatten(1, (8, 6))  # (B, f, t, D)
    tolerance = {"rtol": 0, "atol": 1e-6}
    torch.testing.assert_close(model.extract(audio, 16000, "patch"), patches, **tolerance)
    torch.testing.assert_close(model.extract(audio, 16000, "frame"), patches.mean(1), **tolerance)
    torch.testing.assert_close(model.extract(audio, 16000, "clip"), patches.mean((1, 2)), **tolerance)


def test_features_of_padded_audio(make_model, audio):
    model = make_model(num_classes=None)
    x, frames = model.features(audio, torch.tensor([16400, 8000]))
    alone, _ = model.features(audio[1:, :8000])
    assert frames.tolist() == [101, 48]
    torch.testing.assert_close(x[1, :48], alone[0], rtol=0, atol=1e-6)
    assert not x[1, 48:].any()


@pytest.mark.parametrize("layout", ["sequential", "paired"])
def test_layers(make_model, audio, layout):
    model = make_model(layout=layout, depth=4)
    every = model.extract(audio, 16000, "frame", layers="all")
    assert every.shape == (2, 4, 6, 32)
    torch.testing.assert_close(every[:, 3], model.extract(audio, 16000, "frame"), rtol=0, atol=0)
    assert torch.equal(model.extract(audio, 16000, "frame", layers=[2, -4]), every[:, [2, 0]])
    assert torch.equal(every[:, 0], every[:, 1]) == (layout == "paired")
    assert not torch.equal(every[:, 1], every[:, 2])
    shorter = make_model(layout=layout, depth=2)
    shorter.load_state_dict({k: v for k, v in model.state_dict().items() if not k.startswith(("layers.2", "layers.3"))})
    torch.testing.assert_close(every[:, 1], shorter.extract(audio, 16000, "frame"), rtol=0, atol=1e-6)


def test_arrays_single_clips_and_other_rates(make_model, audio):
    model = make_model()
    batch = model.extract(audio, 16000, "frame")
    single = model.extract(audio[0].numpy().astype(np.float64)[::1], 16000, "frame")
    torch.testing.assert_close(single, batch[0], rtol=0, atol=1e-5)
    seconds = np.arange(48000) / 16000
    tone = np.sin(2 * np.pi * 440 * seconds)
    faster = np.sin(2 * np.pi * 440 * np.arange(132300) / 44100)
    a, b = model.extract(tone, 16000), model.extract(faster, 44100)
    assert a.shape == b.shape == (32,)
    assert torch.cosine_similarity(a, b, dim=0) > 0.99
    assert torch.cosine_similarity(a, model.extract(faster, 16000), dim=0) < torch.cosine_similarity(a, b, dim=0)


def test_time_grid(make_model):
    """The middle of column c, between the first sample of its first frame and the last of its last."""
    times = make_model(tstride=10).column_times(3)
    wanted = [(160 * 10 * c + (160 * 15 + 400) / 2) / 16000 for c in range(3)]
    torch.testing.assert_close(times, torch.tensor(wanted))


@pytest.mark.parametrize("tstride", [16, 10])
def test_long_audio_is_read_in_windows_on_one_time_grid(make_model, noise, tstride):
    model = make_model(tstride=tstride)
    width = model.config.grid[1]
    audio = 0.1 * noise(1, 57000)
    x, _ = model.features(audio)
    total = model.config.columns(x.shape[1])
    assert total % width  # the last window is not full
    found = model.extract(audio, 16000, "patch")
    assert found.shape == (1, 8, total, 32)
    with torch.no_grad():
        for first in (0, width, total - width):
            window = model.encode(x[:, tstride * first : tstride * (first + width - 1) + 16])
            wanted = window[:, 1:].unflatten(1, (8, width))
            keep = slice(total % width * -1, None) if first == total - width else slice(None)
            torch.testing.assert_close(
                found[:, :, first : first + width][:, :, keep], wanted[:, :, keep], rtol=0, atol=1e-6
            )


@pytest.mark.parametrize("size", [57000, 30000, 4801])
@pytest.mark.parametrize("samples", [57000, 2800, 16400])  # the last window is drawn back; less than a window; one more
def test_blocks_give_what_the_whole_gives(make_model, noise, samples, size):
    model = make_model(tstride=10)
    audio = 0.1 * noise(samples)
    for level, options in (("frame", {}), ("patch", {"layers": [0, 1]}), ("clip", {"layers": "all"}), ("clip", {})):
        expected = model.extract(audio, 16000, level, **options)
        parts = list(model.extract_blocks(audio.split(size), 16000, level, **options))
        found = parts[0] if level == "clip" else torch.cat(parts, dim=-2)
        assert len(parts) == 1 if level == "clip" else len(parts) == -(-expected.shape[-2] // model.config.grid[1])
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_blocks_at_another_rate(make_model, noise):
    model, audio = make_model(), 0.1 * noise(100_000).numpy()
    blocks = [audio[first : first + 30_000] for first in range(0, len(audio), 30_000)]
    found = torch.cat(list(model.extract_blocks(blocks, 44100)), dim=-2)
    torch.testing.assert_close(found, model.extract(audio, 44100, "frame"), rtol=0, atol=1e-5)


def test_blocks_are_read_as_windows_are_wanted(make_model, noise):
    """So memory does not grow with the length: of an endless recording the first windows come."""
    model, read = make_model(drop_path=0.9, depth=4).train(), []

    def endless():
        while True:
            read.append(1)
            yield 0.1 * noise(8000)

    windows = model.extract_blocks(endless(), 16000)
    for expected in (2, 4, 6):  # a window lasts 0.975 s and is followed by the next after 0.96 s
        features = next(windows)
        assert features.shape == (6, 32)
        assert len(read) == expected
        assert not features.is_inference()
        assert torch.is_grad_enabled()
        assert not torch.is_inference_mode_enabled()
    assert not model.training
    windows.close()
    assert model.training


@pytest.mark.parametrize(
    ("blocks", "options", "message"),
    [
        ([np.zeros(1600)], {}, "x has 8 frames, less than one patch of 16 frames"),
        ([np.zeros(100)], {}, "wav has 100 samples; one frame"),
        ([], {}, "wav has 0 samples; one frame"),
        ([np.zeros(16000), np.full(10, np.inf)], {}, "NaN or infinite"),
        ([np.zeros(16000, np.int16)], {}, "wav is torch.int16"),
        ([np.zeros(16000)], {"level": "token"}, "level is 'token'"),
        ([np.zeros(16000)], {"layers": [2]}, "layers is"),
    ],
)
def test_bad_blocks(make_model, blocks, options, message):
    with pytest.raises((ValueError, TypeError), match=message):
        list(make_model().extract_blocks(blocks, 16000, **options))


def test_training_state_is_left_alone(make_model, audio):
    model = make_model(drop_path=0.9, depth=4).train()
    model.layers[0].eval()
    before = {name: module.training for name, module in model.named_modules()}
    first, second = model.extract(audio, 16000), model.extract(audio, 16000)
    assert torch.equal(first, second)
    assert before == {name: module.training for name, module in model.named_modules()}
    with pytest.raises(ValueError, match=r"at least 0\.175 s"):
        model.extract(audio[:, :2000], 16000)
    assert before == {name: module.training for name, module in model.named_modules()}


def test_threads_that_share_a_model_in_training_mode(make_model, audio):
    """The end of the first brings no stochastic depth into what the second has begun."""
    model = make_model(drop_path=0.9, depth=4).train()
    expected = model.extract(audio, 16000)
    gates, waiting, begun = [Event(), Event()], Queue(), Queue()

    def wait(*_):
        gate = waiting.get(timeout=60)
        begun.put(gate)
        assert gate.wait(60)

    hook = model.patch_embed.register_forward_hook(wait)
    with ThreadPoolExecutor(2) as threads:
        found = []
        for gate in gates:
            waiting.put(gate)
            found.append(threads.submit(model.extract, audio, 16000))
            begun.get(timeout=60)
        for gate, features in zip(gates, found, strict=True):
            gate.set()
            assert torch.equal(features.result(60), expected)
    hook.remove()
    assert all(module.training for module in model.modules())


def test_features_can_feed_a_trained_probe(make_model, audio):
    features = make_model().extract(audio, 16000)
    probe = torch.nn.Linear(32, 2)
    probe(features).sum().backward()
    torch.testing.assert_close(probe.weight.grad[0], features.sum(0))


@pytest.mark.parametrize(
    ("wav", "options", "message"),
    [
        (np.zeros(16000, np.int16), {}, "wav is torch.int16; give a tensor or array of floating point samples"),
        ([0.0] * 16000, {}, "wav is list"),
        (np.full(16000, np.nan), {}, "NaN or infinite"),
        (np.zeros(16000), {"level": "token"}, "level is 'token'; choose one of 'clip', 'frame', 'patch'"),
        (np.zeros(16000), {"layers": [2]}, "layers is \\[2\\]; give at least one index, from 0 to 1 or -2 to -1"),
        (np.zeros(16000), {"layers": []}, "at least one index"),
        (np.zeros(16000), {"layers": "last"}, "layers is 'last'"),
        (np.zeros(16000), {"layers": 1}, "layers is 1; give a list"),
        (np.zeros((1, 1, 16000)), {}, "wav must have shape"),
        (np.zeros(1600), {}, "x has 8 frames, less than one patch of 16 frames; give at least 0.175 s"),
    ],
)
def test_bad_input(make_model, wav, options, message):
    with pytest.raises((ValueError, TypeError), match=message):
        make_model().extract(wav, 16000, **options)
