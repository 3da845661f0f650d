"""Charts: round ticks, points where they belong, nothing invented for values that are not finite."""

import base64
import io
import math
import re

import numpy as np
import pytest
import soundfile
from matplotlib import image

from ssamba.demo.charts import Series, confusion_chart, line_chart, spectrogram_png, ticks, wav_uri


@pytest.mark.parametrize(
    ("low", "high", "about", "expected"),
    [
        (0.0, 1.0, 5, [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (0.0, 3000.0, 6, [0, 500, 1000, 1500, 2000, 2500, 3000]),
        (1.9, 8.4, 5, [2, 4, 6, 8]),
        (-0.03, 0.04, 5, [-0.02, 0.0, 0.02, 0.04]),
        (2.0, 2.0, 5, [2.0]),
        (math.nan, 1.0, 5, [math.nan]),
    ],
)
def test_ticks_are_round_numbers_within_the_range(low, high, about, expected):
    assert ticks(low, high, about) == pytest.approx(expected, nan_ok=True)


def points(svg: str) -> list[tuple[float, float]]:
    (path,) = re.findall(r'<polyline[^>]* points="([^"]*)"', svg)
    return [tuple(map(float, point.split(","))) for point in path.split()]


def test_a_line_goes_through_its_points():
    drawn = points(line_chart([Series("s", [0, 5, 10], [0.0, 0.75, 1.0])], "step", "share", (0.0, 1.0)))
    (x0, y0), (x1, y1), (x2, y2) = drawn
    assert (x1 - x0) / (x2 - x0) == pytest.approx(0.5, abs=0.01)
    assert (y0 - y1) / (y0 - y2) == pytest.approx(0.75, abs=0.01)


def test_values_that_are_not_finite_are_left_out_and_no_points_are_said_to_be_none():
    svg = line_chart([Series("s", [0, 1, 2, 3], [1.0, math.nan, math.inf, 2.0])], "step", "loss")
    assert len(points(svg)) == 2
    assert "No points" in line_chart([Series("s", [0], [math.nan])], "step", "loss")


def test_names_are_escaped():
    svg = line_chart([Series("<b>&", [0, 1], [0, 1])], "x", "y")
    assert "<b>" not in svg
    assert "&lt;b&gt;&amp;" in svg


def test_the_confusion_matrix_prints_every_count_in_its_row_and_column():
    svg = confusion_chart(np.array([[7, 0], [2, 3]]), ["no", "yes"])
    assert re.findall(r'class="count[^>]*>(\d+)<', svg) == ["7", "2", "3"]
    assert "“yes” heard as “no”: 2" in svg
    assert svg.count('class="right"') == 2
    assert svg.count('class="wrong"') == 1


def decode(uri: str) -> np.ndarray:
    assert uri.startswith("data:image/png;base64,")
    return image.imread(io.BytesIO(base64.b64decode(uri.partition(",")[2])))


def test_a_spectrogram_has_low_frequencies_at_the_bottom_and_hidden_cells_grey():
    log_mel = np.zeros((3, 2))
    log_mel[0, 0] = 1.0  # first frame, lowest bin
    hidden = np.zeros((3, 2), bool)
    hidden[2, 1] = True  # last frame, highest bin
    pixels = decode(spectrogram_png(log_mel, 0.0, 1.0, hidden, scale=1))[..., :3]
    assert pixels.shape == (2, 3, 3)
    brightness = pixels.sum(axis=2)
    assert np.unravel_index(brightness.argmax(), brightness.shape) == (1, 0)
    np.testing.assert_allclose(pixels[0, 2], (0.56, 0.57, 0.60), atol=0.005)
    assert decode(spectrogram_png(log_mel, 0.0, 1.0, scale=4)).shape[:2] == (8, 12)


def test_a_sound_survives_embedding():
    wave = np.sin(np.arange(800) / 5).astype(np.float32) / 2
    uri = wav_uri(wave, 16000)
    heard, rate = soundfile.read(io.BytesIO(base64.b64decode(uri.partition(",")[2])))
    assert rate == 16000
    np.testing.assert_allclose(heard, wave, atol=1 / 32768)
