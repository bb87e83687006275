"""The worst mistakes, as people can look at them."""

import json

import numpy as np
import pytest
from PIL import Image

from hpsearch.datasets.data import Split
from hpsearch.training.mistakes import FILE, PICTURE, write_mistakes
from hpsearch.training.outputs import Judged, Target


def _judged(truth, predicted, confidence):
    target = Target("", "classification", ("cat", "dog"))
    return Judged(target, np.array(truth), np.array(predicted), np.array(confidence))


def _read(folder):
    return json.loads((folder / FILE).read_text())


def _split(x):
    return Split(x, np.zeros(len(x)))


JUDGED = _judged([0, 1, 0, 1], [1, 1, 1, 0], [0.6, 0.99, 0.9, 0.7])


def test_wrong_rows_come_with_the_surest_first(tmp_path):
    x = np.random.default_rng(0).random((4, 9, 12, 3))
    assert write_mistakes(tmp_path, JUDGED, _split(x), np.array([10, 11, 12, 13])) == (FILE, PICTURE)
    entries = _read(tmp_path)
    assert [entry["row"] for entry in entries] == [12, 10 + 3, 10]
    assert entries[0] == {"row": 12, "truth": "cat", "prediction": "dog", "confidence": 0.9}
    with Image.open(tmp_path / PICTURE) as picture:
        assert picture.size == (375, 155)  # three in a line


@pytest.mark.parametrize(
    ("shape", "is_picture"),
    [
        ((28, 28), True),
        ((28, 28, 1), True),
        ((64,), True),
        ((63,), False),
        ((28, 28, 2), False),
        ((3, 30), False),
    ],
)
def test_what_is_a_picture(tmp_path, shape, is_picture):
    x = np.random.default_rng(0).random((4, *shape)).astype(np.float32)
    assert (PICTURE in write_mistakes(tmp_path, JUDGED, _split(x), np.arange(4))) == is_picture


def test_rows_of_large_numbers_are_no_pictures(tmp_path):
    x = np.random.default_rng(0).normal(size=(4, 64)) * 10
    assert write_mistakes(tmp_path, JUDGED, _split(x), np.arange(4)) == (FILE,)


def test_token_ids_are_words_again(tmp_path):
    x = np.array([[2, 3, 0], [1, 1, 1], [3, 2, 1], [2, 0, 0]])
    write_mistakes(tmp_path, JUDGED, _split(x), np.arange(4), ("", "[UNK]", "free", "prize"))
    assert [entry["text"] for entry in _read(tmp_path)] == ["prize free [UNK]", "free", "free prize"]


def test_text_is_itself(tmp_path):
    x = np.array(["one", "two", "three", "four"])
    write_mistakes(tmp_path, JUDGED, _split(x), np.arange(4))
    assert [entry["text"] for entry in _read(tmp_path)] == ["three", "four", "one"]


def test_of_amounts_the_largest_errors(tmp_path):
    judged = Judged(Target("", "regression"), np.array([1.0, 2.0, 3.0]), np.array([1.5, 2.0, 9.0]))
    write_mistakes(tmp_path, judged, _split(np.ones((3, 2))), np.arange(3))
    assert _read(tmp_path)[0] == {"row": 2, "truth": "3", "prediction": "9"}


def test_nothing_wrong_nothing_written(tmp_path):
    judged = _judged([0, 1], [0, 1], [0.9, 0.9])
    assert write_mistakes(tmp_path, judged, _split(np.ones((2, 8, 8))), np.arange(2)) == ()
    assert list(tmp_path.iterdir()) == []
