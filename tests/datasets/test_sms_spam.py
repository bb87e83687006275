"""SMS spam, and the made-up sentences that stand in for it."""

import os
from pathlib import Path

import numpy as np
import pytest

from hpsearch.datasets import load_data
from hpsearch.datasets.phrases import load as load_phrases
from hpsearch.datasets.sms_spam import load
from hpsearch.datasets.text import vocabulary_of
from hpsearch.errors import DataError
from hpsearch.experiment import DataSection

LINES = [f"{label}\tmessage number {number} of {label}" for number in range(20) for label in ("ham", "spam")]


def written(folder, content):
    file = folder / "SMSSpamCollection"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return file


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("last", ["", 'ham\tgood-bye "quoted'])
def test_the_file_is_read_to_its_end(tmp_path, ending, last):
    lines = [*LINES, *([last] if last else [])]
    file = written(tmp_path, ending.join(lines) + ("" if last else ending))
    loaded = load(str(file))
    assert loaded["x"] == [line.partition("\t")[2] for line in lines]
    assert loaded["y"].tolist()[:4] == [0, 1, 0, 1]
    assert loaded == load(str(tmp_path)) | {"y": loaded["y"], "preprocess": loaded["preprocess"]}


def test_repeated_messages_are_left_out_unless_asked_for(tmp_path):
    file = str(written(tmp_path, "\n".join([*LINES, LINES[0], LINES[3]])))
    assert len(load(file)["x"]) == 40
    assert len(load(file, repeated=True)["x"]) == len(load(file, repeated=True)["y"]) == 42


def test_it_becomes_token_ids(tmp_path, monkeypatch):
    (tmp_path / "sms_spam").mkdir()
    written(tmp_path / "sms_spam", "\n".join(LINES))
    monkeypatch.setenv("HPSEARCH_DATA_DIR", str(tmp_path))
    data = load_data(DataSection(name="sms_spam", options={"max_tokens": 20, "length": 6}))
    assert data.input_shape == (6,)
    assert data.train.x.dtype == np.int32
    assert data.class_names == ("ham", "spam")
    assert len(vocabulary_of(data.preprocessing)) == 20


@pytest.mark.parametrize(
    ("content", "line", "problem"),
    [
        (
            "ham\tone\nspam two\n",
            2,
            "there is no tab; expected a label, a tab and a message; received spam two",
        ),
        ("ham\tone\n\nspam\ttwo\n", 2, "there is no tab"),
        ("ham\tone\nHam\ttwo\n", 2, "unknown label; expected ham or spam; received Ham"),
        ("ham\tone\nspam\ttwo\n\tthree\n", 3, "unknown label; expected ham or spam; received nothing"),
        ("ham\t \n", 1, "there is no message after the label"),
        (b"ham\tone\nspam\tcost \xa3 1\n", 2, "not UTF-8; received byte 0xa3 at position 11 of the line"),
    ],
)
def test_a_broken_line_is_named(tmp_path, content, line, problem):
    file = written(tmp_path, content)
    with pytest.raises(DataError) as caught:
        load(str(file))
    assert str(caught.value).startswith(f"{file}:{line}: {problem}")


def test_a_missing_file_is_said(tmp_path, monkeypatch):
    monkeypatch.delenv("HPSEARCH_DATA_DIR", raising=False)
    with pytest.raises(
        DataError, match=r"expected `data.options.path`, or HPSEARCH_DATA_DIR.*archive.ics.uci.edu"
    ):
        load()
    with pytest.raises(DataError, match=f"data.options.path: the file does not exist.*{tmp_path}/no"):
        load(str(tmp_path / "no"))
    monkeypatch.setenv("HPSEARCH_DATA_DIR", str(tmp_path))
    with pytest.raises(DataError, match=f"HPSEARCH_DATA_DIR: the file does not exist.*{tmp_path}/sms_spam"):
        load()
    with pytest.raises(DataError, match="SMSSpamCollection: is empty"):
        load(str(written(tmp_path, "")))


@pytest.mark.skipif(
    not Path(os.environ.get("HPSEARCH_DATA_DIR", "/no/where"), "sms_spam").exists(),
    reason="the messages are not in $HPSEARCH_DATA_DIR/sms_spam",
)
def test_the_real_messages():
    assert np.bincount(load(repeated=True)["y"]).tolist() == [4827, 747]
    assert len(load()["x"]) == 5574 - 403


def test_phrases_are_told_apart_by_the_order_of_their_words_only():
    loaded = load_phrases(rows=600)
    texts, y = np.array(loaded["x"]), loaded["y"]
    assert np.bincount(y).tolist() == [300, 300]
    denied = np.array([" not " in text for text in texts])
    assert 0.4 < denied.mean() < 0.6
    judged = {"dull", "boring", "awful", "weak", "sad", "great", "lovely", "funny", "clever", "bright"}
    pairs = {label: set() for label in (0, 1)}
    for text, label in zip(texts[denied], y[denied], strict=True):
        pairs[label].add(frozenset(judged & set(text.replace(",", "").rstrip(".!").split())))
    assert {len(pair) for pair in pairs[0] | pairs[1]} == {2}
    assert len(pairs[0] & pairs[1]) > 20
    assert loaded["x"] == load_phrases(rows=600)["x"] != load_phrases(rows=600, seed=1)["x"]
