"""How to use the champion, as the page says it."""

import json

import pytest

from hpsearch.analysis import usage
from hpsearch.analysis.report import _coded
from hpsearch.analysis.shown_champion import alike
from hpsearch.study_folder import StudyFolder


class Found:
    name = "housing"
    champion = None

    def __init__(self, folder):
        self.files = StudyFolder(folder)


@pytest.fixture
def study(tmp_path):
    study = Found(tmp_path)
    study.champion = {
        "trial": 3,
        "files": ["end_to_end.keras"],
        "exports": [{"path": "champion/housing.tflite"}],
    }
    study.files.champion.mkdir()
    record = {
        "inputs": [{"name": "features", "shape": [None, 15], "dtype": "float32"}],
        "outputs": [{"name": "price", "shape": [1, 1], "dtype": "float32"}],
        "preprocessing": {},
    }
    (study.files.champion / "housing.tflite.json").write_text(json.dumps(record))
    return study


def test_it_can_be_run_as_it_stands(study):
    compile(usage.code(study), "page", "exec")
    assert 'hpsearch.open_study("housing").load_model()  # of trial 3' in usage.code(study)
    assert "end_to_end.keras" in usage.code(study)
    assert "hpsearch package housing" in usage.code(study)


def test_what_it_takes(study):
    takes = "Takes `features` (batch, 15) of float32; returns `price` (batch, 1) of float32."
    assert usage.takes(study) == takes
    study.champion["exports"] = []
    assert usage.takes(study) == ""
    assert "package" not in usage.code(study)


def test_without_a_champion_there_is_nothing_to_say(tmp_path):
    assert (usage.code(Found(tmp_path)), usage.takes(Found(tmp_path))) == ("", "")


def test_half_of_the_mistakes_with_one_truth_are_told():
    truths = [{"truth": each} for each in ("5.0", "5.0", "1.0", "2.0")]
    assert alike(truths) == "Of these 4, 2 have the truth 5.0."
    assert alike(truths[1:]) == ""
    assert alike([]) == ""


def test_code_in_a_sentence_is_set_as_code_and_nothing_else_is():
    assert _coded("`a` < <b>") == "<code>a</code> &lt; &lt;b&gt;"
