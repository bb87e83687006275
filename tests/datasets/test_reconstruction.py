"""Inputs as targets."""

import h5py
import numpy as np
import pytest

from hpsearch.datasets import load_data
from hpsearch.errors import DataError
from hpsearch.experiment import DataSection


def test_inputs_become_targets_and_labels_stay():
    plain = load_data(DataSection(name="blobs", options={"rows": 60}))
    data = load_data(DataSection(name="blobs", options={"rows": 60, "reconstruct": True}))
    assert (data.task, data.classes, data.digest == plain.digest) == ("regression", None, False)
    for part in ("train", "validation", "test"):
        split, before = getattr(data, part), getattr(plain, part)
        assert np.shares_memory(split.y, split.x)
        np.testing.assert_array_equal(split.y, split.x)
        np.testing.assert_array_equal(split.x, before.x)
        np.testing.assert_array_equal(getattr(data.labelled, part).y, before.y)
    assert data.labelled.class_names == plain.class_names


def test_weights_stay_and_whole_numbers_become_floats():
    x = np.arange(40, dtype=np.uint8).reshape(20, 2)
    given = {"x": x, "y": np.arange(20) % 2, "sample_weight": np.arange(1.0, 21.0)}
    data = load_data(DataSection(name="given", target=given, options={}))
    assert data.labelled is None
    data = load_data(DataSection(name="made", target=lambda: given, options={"reconstruct": True}))
    assert data.train.y.dtype == np.float32
    np.testing.assert_array_equal(data.train.y, data.train.x)
    np.testing.assert_array_equal(data.train.sample_weight, data.train.x[:, 0] / 2 + 1)


@pytest.mark.parametrize(
    ("x", "reconstruct", "message"),
    [
        ({"a": np.ones((20, 1)), "b": np.ones((20, 1))}, True, "received a, b"),
        (np.array(["text"] * 20), True, "received type <U4"),
        (np.ones((20, 1)), "inputs", "expected true or false"),
    ],
)
def test_what_is_wrong_is_said(x, reconstruct, message):
    section = DataSection(
        name="mine", target=lambda: (x, np.arange(20) % 2), options={"reconstruct": reconstruct}
    )
    with pytest.raises(DataError, match=f"data.options.reconstruct.*{message}"):
        load_data(section)


def test_inputs_on_disk_are_no_targets(tmp_path):
    with h5py.File(tmp_path / "rows.h5", "w") as file:
        file["x"], file["y"] = np.ones((20, 3), np.float32), np.arange(20) % 2
    section = DataSection(name="hdf5", options={"path": str(tmp_path / "rows.h5"), "reconstruct": True})
    with pytest.raises(DataError, match=r"the inputs of hdf5 stay on disk"):
        load_data(section)
