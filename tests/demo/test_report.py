"""The report: one file that asks for nothing else, and shows every number it was given."""

import re

import numpy as np
import pytest

from ssamba.demo.charts import Series
from ssamba.demo.report import Accuracy, Chart, Example, Report, duration, page, percent, write_report


def report(**changes) -> Report:
    random = np.random.default_rng(0)
    hidden = np.zeros((20, 16), bool)
    hidden[4:8] = True
    example = Example(
        "“one”, voice m1", np.zeros(1600), 16000, random.random((20, 16)), hidden, random.random((20, 16))
    )
    content = {
        "summary": "It learnt & heard.",
        "accuracies": [
            Accuracy("pretrained", "with listening", [0.8125, 0.9], "a"),
            Accuracy("scratch", "without", [0.5, 0.4], "b"),
        ],
        "chance": 0.05,
        "examples": [example],
        "charts": [Chart("Loss", [Series("training", [0, 10], [2.0, 1.0])], "step", "loss")],
        "confusion": np.array([[31, 4], [0, 17]]),
        "classes": ["on", "off"],
        "timings": {"pretraining": 125.0, "testing": 2.34},
        "facts": {"Model": {"width": 96}, "Versions": {"torch": "2.13.0"}},
    }
    return Report(**{**content, **changes})


def test_the_page_is_self_contained():
    text = page(report())
    assert not re.search(r"https?:|//|<script|<link|@import|url\(", re.sub(r"base64,[A-Za-z0-9+/=]+", "", text))
    sources = re.findall(r'\bsrc="([^"]*)"', text)
    assert len(sources) == 4
    assert all(source.startswith(("data:image/png;base64,", "data:audio/wav;base64,")) for source in sources)
    assert "href" not in text


def test_every_number_and_name_is_on_the_page():
    text = page(report())
    expected = ["85.6 %", "± 6.2", "81.2 %, 90.0 %", "45.0 %", "50.0 %, 40.0 %", "guessing: 5.0 %"]
    expected += ["2 min 05 s", "2.3 s", "2 min 07 s", "96", "2.13.0", ">31<", ">4<", ">17<"]
    expected += ["“on” heard as “off” 4 times", "It learnt &amp; heard.", "“one”, voice m1", "with listening"]
    assert [one for one in expected if one not in text] == []


def test_one_seed_has_no_deviation():
    single = Accuracy("pretrained", "", [0.8], "a")
    assert single.deviation is None
    text = page(report(accuracies=[single]))
    assert "±" not in text
    assert "each seed" not in text


def test_deviation_is_that_of_a_sample():
    assert Accuracy("a", "", [0.1, 0.2, 0.3], "a").deviation == pytest.approx(0.1)


def test_markup_in_names_is_shown_and_not_obeyed():
    text = page(report(facts={"<i>": {"<script>": "<img src=x>"}}, summary="<b>"))
    assert "<script>" not in text
    assert "<img src=x>" not in text


def test_a_perfect_model_is_said_to_be_one():
    assert "No test clip was heard wrong." in page(report(confusion=np.diag([3, 3])))


def test_the_page_is_written_whole(tmp_path):
    path = write_report(report(), tmp_path / "deep" / "report.html")
    assert path.read_text(encoding="utf-8") == page(report())
    assert [one.name for one in path.parent.iterdir()] == ["report.html"]


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.04, "0.0 s"), (59.4, "59.4 s"), (60, "1 min 00 s"), (119.7, "2 min 00 s")]
)
def test_durations_read_well(seconds, text):
    assert duration(seconds) == text


def test_percent_has_one_decimal():
    assert percent(2 / 3) == "66.7 %"
