"""`keras.utils.PyDataset` and `tf.data` become arrays, so that every trial has the same split and order."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from hpsearch.datasets import load_data
from hpsearch.errors import DataError
from hpsearch.experiment import DataSection, Experiment

X = np.arange(50, dtype=np.float32)[:, None]
Y = X[:, 0] * 0.5


class Batches(keras.utils.PyDataset):
    def __init__(self, *arrays, size=8):
        super().__init__()
        self.arrays, self.size = arrays, size

    def __len__(self):
        return -(-len(self.arrays[-1]) // self.size)

    def __getitem__(self, index):
        rows = slice(index * self.size, (index + 1) * self.size)
        return tuple(
            {name: each[rows] for name, each in array.items()} if isinstance(array, dict) else array[rows]
            for array in self.arrays
        )


def load(target):
    return load_data(DataSection(name="given", target=target))


IN_MEMORY = load((X, Y)).digest


@pytest.mark.parametrize(
    "target",
    [
        Batches(X, Y),
        tf.data.Dataset.from_tensor_slices((X, Y)).batch(7),
        lambda: tf.data.Dataset.from_tensor_slices((X, Y)).batch(7),
    ],
    ids=["PyDataset", "tf.data", "a function that returns tf.data"],
)
def test_batches_become_the_rows_they_hold(target):
    assert load(target).digest == IN_MEMORY


def test_splits_of_ones_own_weights_and_several_inputs():
    data = load((Batches({"a": X, "b": -X}, Y, Y + 1), Batches({"a": X[:9], "b": -X[:9]}, Y[:9], Y[:9] + 1)))
    assert len(data.test) == 9
    assert data.input_shape == {"a": (1,), "b": (1,)}
    np.testing.assert_array_equal(data.train.x["a"], -data.train.x["b"])
    np.testing.assert_array_equal(data.train.sample_weight, data.train.y + 1)


def test_an_experiment_takes_them():
    experiment = Experiment(name="t", model="mlp", data=Batches(X, Y), objective="val_r2")
    assert load_data(experiment.data).digest == IN_MEMORY


@pytest.mark.parametrize(
    ("target", "problem"),
    [
        (tf.data.Dataset.from_tensor_slices((X, Y)), r"batch 0 is not one; .*Is `.batch\(...\)` missing"),
        (tf.data.Dataset.from_tensor_slices((X, Y)).batch(7).repeat(), "has no end"),
        (tf.data.Dataset.from_tensor_slices(X).batch(7), "batch 0 is not one; .*received ndarray"),
        (Batches(X[:0], Y[:0]), "there are no batches"),
        (Batches(X), "batch 0 is not one"),
    ],
)
def test_what_is_wrong_is_said(target, problem):
    with pytest.raises(DataError, match=problem):
        load(target)
