"""Series in windows: cut in time, never reaching from one split into another, scaled by the training part."""

import os
from pathlib import Path

import numpy as np
import pytest

from hpsearch.datasets import load_data
from hpsearch.datasets.etth1 import COLUMNS, PARTS
from hpsearch.datasets.windows import windows
from hpsearch.errors import DataError
from hpsearch.experiment import DataSection

HOURS = PARTS["test"][1]


def load(name, **options):
    return load_data(DataSection(name=name, options=options))


@pytest.fixture(scope="module")
def transformer(tmp_path_factory):
    """Columns that rise by one an hour, each from a start of its own; as long as the real file."""
    folder = tmp_path_factory.mktemp("etth1")
    hours = np.arange(HOURS)[:, np.newaxis] + 1000 * np.arange(len(COLUMNS))
    rows = [f"2016-07-01,{','.join(map(str, row))}" for row in hours.tolist()]
    (folder / "ETTh1.csv").write_text("\n".join([",".join(("date", *COLUMNS)), *rows]))
    return folder


def test_windows_are_cut_in_order():
    series = np.arange(7)[:, np.newaxis] * [1, 10]
    assert windows(series, 3).tolist() == [
        [[0, 0], [1, 10], [2, 20]],
        [[3, 30], [4, 40], [5, 50]],
    ]
    assert windows(series, 3, stride=2)[:, 0, 0].tolist() == [0, 2, 4]


def test_sine_and_cosine_belong_together():
    data = load("sine")
    assert data.task == "regression"
    assert data.input_shape == (25, 1)
    assert [len(split) for split in (data.train, data.validation, data.test)] == [144, 48, 48]
    for split in (data.train, data.validation, data.test):
        np.testing.assert_allclose(split.x**2 + split.y**2, 1, atol=1e-5)
    series = data.train.x.ravel()
    np.testing.assert_allclose(series, np.sin(2 * np.pi * np.arange(3600) / 31.4), atol=1e-5)
    np.testing.assert_allclose(data.validation.x[0, 0], np.sin(2 * np.pi * 3600 / 31.4), atol=1e-5)


def test_noise_is_on_the_input_alone_and_seeded():
    one, same, other = (
        load("sine", noise=0.1),
        load("sine", noise=0.1, period=31.4),
        load("sine", noise=0.1, seed=1),
    )
    plain = load("sine")
    assert one.digest == same.digest != other.digest
    assert 0.05 < np.std(one.train.x - plain.train.x) < 0.15
    np.testing.assert_array_equal(one.train.y, plain.train.y)


def test_etth1_is_split_in_time_and_scaled_by_its_training_months(transformer):
    data = load("etth1", path=str(transformer), steps=10, horizon=3)
    assert data.input_shape == (10, 7)
    train_hours, validation_hours = PARTS["train"][1], PARTS["validation"][1] - PARTS["train"][1]
    assert len(data.train) == (train_hours - 3) // 10
    assert len(data.validation) == len(data.test) == (validation_hours - 3) // 10
    mean, deviation = (train_hours - 1) / 2, np.arange(train_hours).std()
    first = {"train": 0, "validation": train_hours, "test": PARTS["test"][0]}
    for name, start in first.items():
        split = getattr(data, name)
        np.testing.assert_allclose(split.x[0, :, 0] * deviation + mean, start + np.arange(10), atol=0.02)
        np.testing.assert_allclose(split.y[0, :, 0] * deviation + mean, start + 3 + np.arange(10), atol=0.02)
        last = split.y[-1, -1, 0] * deviation + mean
        assert last < PARTS[name][1]


def test_etth1_is_found_by_the_environment(transformer, monkeypatch):
    monkeypatch.setenv("HPSEARCH_DATA_DIR", str(transformer.parent))
    (transformer.parent / "etth1").symlink_to(transformer)
    assert len(load("etth1", steps=100).train) == 86


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("sine", {"steps": 0}, "steps: out of range; expected at least 1; received 0"),
        ("sine", {"stride": 0}, "stride: out of range"),
        ("sine", {"length": 100, "steps": 25}, "no window fits into the validation part.* received 20 time"),
        ("sine", {"validation": 0.5, "test": 0.5}, "shares above 0, together below 1; received 0.5"),
        ("etth1", {"path": "/nowhere"}, "data.options.path: `/nowhere/ETTh1.csv` does not exist"),
    ],
)
def test_options_out_of_range_are_refused(name, options, message):
    with pytest.raises(DataError, match=message):
        load(name, **options)


def test_etth1_says_where_it_looks(monkeypatch):
    monkeypatch.delenv("HPSEARCH_DATA_DIR", raising=False)
    with pytest.raises(DataError, match=r"HPSEARCH_DATA_DIR .* ETT-small/ETTh1.csv"):
        load("etth1")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda lines: lines[:100], "is too short; expected at least 14400 rows.*received 99 rows"),
        (lambda lines: ["a,b", "1,2"], "has no column `HUFL`; expected HUFL, HULL"),
        (
            lambda lines: [*lines[:7], lines[7].rpartition(",")[0] + ",n/a?", *lines[8:]],
            "row 8, column OT: not a",
        ),
        (
            lambda lines: [*lines[:7], lines[7].rpartition(",")[0] + ",", *lines[8:]],
            "row 8, column OT: not a",
        ),
        (lambda lines: [], "cannot be read as a table"),
    ],
)
def test_a_malformed_file_is_named(transformer, tmp_path, change, message):
    lines = (transformer / "ETTh1.csv").read_text().splitlines()
    (tmp_path / "ETTh1.csv").write_text("\n".join(change(lines)))
    with pytest.raises(DataError, match=message):
        load("etth1", path=str(tmp_path))


@pytest.mark.skipif(
    not Path(os.environ.get("HPSEARCH_DATA_DIR", ""), "etth1", "ETTh1.csv").is_file(),
    reason="ETTh1 is not here",
)
def test_the_real_etth1_is_read():
    data = load("etth1")
    assert [len(split) for split in (data.train, data.validation, data.test)] == [179, 59, 59]
    np.testing.assert_allclose(data.train.x.mean(axis=(0, 1)), 0, atol=0.02)
    np.testing.assert_allclose(data.train.x.std(axis=(0, 1)), 1, atol=0.02)
    np.testing.assert_array_equal(data.train.y[0, :-1, 0], data.train.x[0, 1:, -1])
