"""Text to token ids: the vocabulary is that of the training rows."""

from functools import partial

import keras
import numpy as np
import pytest

from hpsearch.datasets import load_data
from hpsearch.datasets.text import fit, vocabulary_of, write_vocabulary
from hpsearch.errors import DataError
from hpsearch.experiment import DataSection


def ids(reader, *texts):
    return np.asarray(reader(np.array(texts, dtype=object))).tolist()


@pytest.fixture(scope="module")
def reader():
    texts = np.array(["Free prize, free entry!", "free to talk?", "Talk to me"])
    return fit(texts, max_tokens=6, length=4)


def test_frequent_words_get_the_first_ids(reader):
    assert vocabulary_of(reader) == ("", "[UNK]", "free", "to", "talk", "prize")
    assert ids(reader, "FREE, free: talk!", "prize me", "") == [[2, 2, 4, 0], [5, 1, 0, 0], [0, 0, 0, 0]]
    assert np.asarray(reader(np.array(["free"], dtype=object))).dtype == np.int32


def test_long_texts_lose_their_end(reader):
    assert ids(reader, "free to talk prize free free") == [[2, 3, 4, 5]]


def test_a_saved_reader_reads_the_same(reader, tmp_path):
    reader.save(tmp_path / "reader.keras")
    loaded = keras.models.load_model(tmp_path / "reader.keras")
    assert vocabulary_of(loaded) == vocabulary_of(reader)
    assert ids(loaded, "free zebra talk") == ids(reader, "free zebra talk") == [[2, 1, 4, 0]]


def test_every_token_is_one_line_of_the_file(tmp_path):
    texts = np.array(["good\x85bad fine", "left\u2028right café £5 na\u00efve"])
    tokens = vocabulary_of(fit(texts, max_tokens=50, length=4))
    assert write_vocabulary(tmp_path / "vocabulary.txt", tokens) == "vocabulary.txt"
    lines = (tmp_path / "vocabulary.txt").read_text(encoding="utf-8").splitlines()
    assert tuple(lines) == tokens
    assert set(tokens[2:]) == {"fine", "café", "£5", "naïve"}


def test_words_of_other_rows_are_unknown():
    texts = np.array([f"word{number} common" for number in range(40)])
    target = {"x": texts, "y": np.arange(40) % 2, "preprocess": partial(fit, max_tokens=99, length=2)}
    data = load_data(DataSection(name="given", target=target))
    assert len(vocabulary_of(data.preprocessing)) == 3 + len(data.train)
    assert data.train.x.min() == 2
    for split in (data.validation, data.test):
        assert split.x[:, 0].tolist() == [1] * len(split)
        assert split.x[:, 1].tolist() == [2] * len(split)


def test_other_preprocessing_has_no_vocabulary():
    assert vocabulary_of(None) == ()
    assert vocabulary_of(np.log) == ()
    assert vocabulary_of(keras.Sequential([keras.Input((2,)), keras.layers.Rescaling(2.0)])) == ()


@pytest.mark.parametrize(
    ("texts", "options", "message"),
    [
        (["a", "b"], {"max_tokens": 2}, "data.options.max_tokens: out of range; expected an integer from 3"),
        (
            ["a", "b"],
            {"length": 0},
            "data.options.length: out of range; expected an integer from 1; received 0",
        ),
        (["a", "b"], {"length": "9"}, "received '?9"),
        ([[1, 2], [3, 4]], {}, r"only text is tokenized; expected strings .*received shape \(2, 2\)"),
        (["!!!", " "], {}, "the training rows hold no word; received '!!!'"),
    ],
)
def test_what_is_wrong_is_said(texts, options, message):
    with pytest.raises(DataError, match=message):
        fit(np.array(texts), **{"max_tokens": 9, "length": 3, **options})
