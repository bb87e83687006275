"""The recurrent network that reads images row by row."""

import keras
import numpy as np
import pytest

from hpsearch.models.rnn import RNN
from hpsearch.testing.models import ModelContract
from hpsearch.training.hyperparameters import TrialHyperParameters

SMALL = {"units_1": {"high": 32}, "units_2": [16]}


class TestForClasses(ModelContract):
    model = "rnn"
    dataset = {"name": "digits", "options": {"flat": False}, "validation": 0.05, "test": 0.9}
    space = SMALL


def running_means():
    """Sequences of 5 steps, and their mean."""
    x = np.random.default_rng(0).normal(size=(96, 5, 2)).astype(np.float32)
    return x, x.mean(axis=(1, 2))


class TestForNumbersUnrolled(ModelContract):
    model = {"name": "rnn", "options": {"unroll": True}}
    dataset = staticmethod(running_means)
    space = SMALL


def at(**values):
    return TrialHyperParameters(lambda parameter: values.get(parameter.name, parameter.default))


def test_the_guides_network_is_a_point_of_its_space():
    hp = at(cell="lstm", layers=1, units_1=64, batch_norm=True, optimizer="sgd")
    model = RNN((28, 28), 10).build(hp)
    kinds = [type(layer).__name__ for layer in model.layers]
    assert kinds == ["InputLayer", "LSTM", "BatchNormalization", "Dense"]
    assert model.count_params() == 24_714


def test_an_image_is_read_from_the_top_row_down():
    model = RNN((3, 2, 2), 2).build(at())
    image = np.arange(12, dtype=np.float32).reshape(1, 3, 2, 2)
    rows = keras.Model(model.input, model.get_layer("rows").output)(image)
    np.testing.assert_array_equal(rows[0], [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]])


def test_every_hyperparameter_reaches_the_model():
    hp = at(cell="gru", layers=2, units_1=16, units_2=32, dropout=0.3, learning_rate=2e-3)
    model = RNN((5, 2), unroll=True).build(hp)
    kinds = [type(layer).__name__ for layer in model.layers]
    assert kinds == ["InputLayer", "GRU", "Dropout", "GRU", "Dropout", "Dense"]
    one, two = model.get_layer("gru_1"), model.get_layer("gru_2")
    assert (one.units, two.units, one.unroll, two.unroll) == (16, 32, True, True)
    assert (one.return_sequences, two.return_sequences) == (True, False)
    assert model.get_layer("dropout_1").rate == pytest.approx(0.3)
    assert float(model.optimizer.learning_rate) == pytest.approx(2e-3)
    assert set(hp.values) == {parameter.name for parameter in hp.declared}


def test_unrolled_and_looped_say_the_same():
    x = np.random.default_rng(0).normal(size=(4, 5, 2)).astype(np.float32)
    for cell in ("simple_rnn", "lstm", "gru"):
        looped, unrolled = (RNN((5, 2), 3, unroll=unroll).build(at(cell=cell)) for unroll in (False, True))
        unrolled.set_weights(looped.get_weights())
        np.testing.assert_allclose(looped(x), unrolled(x), atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"input_shape": {"a": (8, 8), "b": (2,)}}, "the RNN has one input; received a, b"),
        ({"input_shape": (784,)}, r"the RNN reads \(steps, features\) .* received the shape \(784,\)"),
        ({"input_shape": (8, 8), "max_layers": 0}, "`max_layers` must be at least 1; received 0"),
    ],
)
def test_what_is_wrong_is_said(arguments, message):
    with pytest.raises(ValueError, match=message):
        RNN(**arguments)
