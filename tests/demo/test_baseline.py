"""Reading the baseline features and what the regression makes of them."""

import numpy as np
import soundfile

from ssamba.demo.baseline import logistic_regression_accuracy, mean_log_mel


def test_mean_log_mel_tells_a_low_tone_from_a_high_one(tmp_path):
    paths = []
    for hertz in (300, 3000):
        path = tmp_path / f"{hertz}.wav"
        soundfile.write(path, 0.1 * np.sin(2 * np.pi * hertz * np.arange(8000) / 16000), 16000)
        paths.append(str(path))
    low, high = mean_log_mel(paths)
    mel = 1127 * np.log(1 + np.array([300, 3000, 20, 8000]) / 700)
    expected = (mel[:2] - mel[2]) / (mel[3] - mel[2]) * 129 - 1  # filter whose middle is the tone
    assert np.abs(np.array([low.argmax(), high.argmax()]) - expected).max() < 2


def test_the_regression_learns_what_is_linear_and_nothing_else():
    random = np.random.default_rng(0)
    labels = np.repeat(["no", "yes"], 40)
    points = random.standard_normal((80, 4)) + np.where(labels == "yes", 3.0, -3.0)[:, None]
    assert logistic_regression_accuracy(points[::2], labels[::2], points[1::2], labels[1::2]) == 1.0
    guessed = logistic_regression_accuracy(
        random.standard_normal((80, 4)), labels, random.standard_normal((400, 4)), np.tile(["no", "yes"], 200)
    )
    assert 0.4 < guessed < 0.6
