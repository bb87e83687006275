"""What compiled epochs leave behind."""

import gc
import weakref

import keras
import numpy as np
import pytest

from hpsearch.datasets.data import Split
from hpsearch.training.measure import measure
from hpsearch.training.whole_epoch import whole_epoch

SPLIT = Split(np.random.default_rng(0).normal(size=(64, 6)).astype(np.float32), np.arange(64) % 3)


def _handles():
    """Counts the variables that TensorFlow holds."""
    gc.collect()
    return sum(
        type(each).__name__ == "EagerTensor" and each.dtype.name == "resource" for each in gc.get_objects()
    )


def _train(cell=None):
    keras.utils.clear_session()
    layers = [keras.layers.Reshape((3, 2)), cell(4)] if cell else []
    model = keras.Sequential([keras.Input((6,)), *layers, keras.layers.Dense(3, "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    train_epoch, measured = whole_epoch(model, SPLIT, 16), measure(model, SPLIT, 16)
    train_epoch(np.arange(64))
    measured()
    return weakref.ref(model)


@pytest.mark.parametrize("cell", [None, keras.layers.LSTM], ids=["dense", "lstm"])
def test_variables_go_with_their_model(cell):
    _train(cell)
    before = _handles()
    gone = [_train(cell) for _ in range(3)]
    assert _handles() <= before
    assert [each() for each in gone[:-1]] == [None, None]
