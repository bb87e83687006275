"""Sequence-to-sequence LSTMs, with and without state that is carried over."""

import keras
import numpy as np
import pytest

from hpsearch.models.lstm_sequence import LSTMSequence
from hpsearch.models.stateful import reset_states
from hpsearch.testing.models import ModelContract
from hpsearch.training.hyperparameters import TrialHyperParameters

SMALL = {"units_1": [8, 16], "units_2": [8]}


class TestPlain(ModelContract):
    model = "lstm_sequence"
    dataset = {"name": "sine", "options": {"length": 600, "steps": 5}}
    space = SMALL


class TestStateful(ModelContract):
    model = {"name": "lstm_sequence", "options": {"stateful": True, "max_layers": 1}}
    dataset = {"name": "sine", "options": {"length": 600, "steps": 5}}
    space = {"units_1": [8, 16], "batch_size": [4, 8]}

    def outputs(self, model, data):
        reset_states(model)  # the contract compares models at rest
        return super().outputs(model, data)

    def step(self, model, data):
        reset_states(model)
        return super().step(model, data)


def at(**values):
    return TrialHyperParameters(lambda parameter: values.get(parameter.name, parameter.default))


def test_every_hyperparameter_reaches_the_model():
    hp = at(layers=2, units_1=16, units_2=8, dropout=0.5, optimizer="rmsprop", learning_rate=2e-3)
    model = LSTMSequence((25, 3), outputs=2).build(hp)
    assert [layer.name for layer in model.layers] == [
        "series", "lstm_1", "dropout_1", "lstm_2", "dropout_2", "predictions"
    ]  # fmt: skip
    assert (model.get_layer("lstm_1").units, model.get_layer("lstm_2").units) == (16, 8)
    assert model.get_layer("dropout_2").rate == 0.5
    assert isinstance(model.get_layer("predictions"), keras.layers.TimeDistributed)
    assert model.output_shape == (None, 25, 2)
    assert isinstance(model.optimizer, keras.optimizers.RMSprop)
    assert float(model.optimizer.learning_rate) == pytest.approx(2e-3)


def test_the_length_of_a_series_may_be_free():
    model = LSTMSequence((None, 1)).build(at(units_1=8))
    assert model(np.zeros((2, 7, 1), np.float32)).shape == (2, 7, 1)


def test_stateful_fixes_the_batch_and_remembers():
    hp = at(units_1=8, batch_size=4)
    model = LSTMSequence((5, 1), stateful=True).build(hp)
    assert model.input_shape == (4, 5, 1)
    assert "batch_size" not in {p.name for p in _declared(LSTMSequence((5, 1)))}
    x = np.ones((4, 5, 1), np.float32)
    first, second = np.asarray(model(x)), np.asarray(model(x))
    assert not np.allclose(first, second)
    reset_states(model)
    np.testing.assert_array_equal(model(x), first)


def _declared(hypermodel):
    hp = at()
    hypermodel.build(hp)
    return hp.declared


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"input_shape": (4,)}, r"`\(steps, features\)`; received \(4,\)"),
        ({"input_shape": {"a": (1, 2), "b": (2, 2)}}, r"`\(steps, features\)`"),
        ({"input_shape": (4, 1), "max_layers": 0}, "at least 1; received 0"),
    ],
)
def test_what_is_wrong_is_said(arguments, message):
    with pytest.raises(ValueError, match=message):
        LSTMSequence(**arguments)
