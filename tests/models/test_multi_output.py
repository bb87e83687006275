"""A trunk with several heads."""

import keras
import numpy as np
import pytest

from hpsearch.models.multi_output import MultiOutput
from hpsearch.testing.models import ModelContract
from hpsearch.training.hyperparameters import TrialHyperParameters

HEADS = {"kind": {"classes": 3}, "odd": {"classes": 2}, "amount": {"outputs": 2}}


def three_targets():
    """Classes, a decision and two amounts of the same rows."""
    generator = np.random.default_rng(0)
    x = generator.normal(size=(120, 4)).astype(np.float32)
    kind = x[:, :3].argmax(axis=1).astype(np.int32)
    return x, {"kind": kind, "odd": kind % 2, "amount": x[:, :2] * 2.5}


class TestMultiOutput(ModelContract):
    model = {"name": "multi_output", "options": {"max_layers": 2}}
    dataset = {
        "name": "tests/models/test_multi_output.py:three_targets",
        "options": {"task": "classification"},
    }
    space = {"units_1": [16, 32], "units_2": [16]}
    objective = "val_kind_f1_macro"


def at(**values):
    return TrialHyperParameters(lambda parameter: values.get(parameter.name, parameter.default))


def test_each_head_has_its_own_loss_weight_and_metrics():
    hp = at(loss_weight_kind=3.0, loss_weight_odd=0.5)
    model = MultiOutput((4,), HEADS, losses={"amount": "huber"}).build(hp)
    assert model.loss == {
        "kind": "sparse_categorical_crossentropy",
        "odd": "binary_crossentropy",
        "amount": "huber",
    }
    x, y = three_targets()
    values = model.test_on_batch(x, y, return_dict=True)
    weighted = 3.0 * values["kind_loss"] + 0.5 * values["odd_loss"] + values["amount_loss"]
    assert values["loss"] == pytest.approx(weighted, rel=1e-4)
    assert set(values) >= {"kind_accuracy", "odd_accuracy", "amount_mean_absolute_error"}


def test_outputs_are_named_by_their_heads():
    outputs = MultiOutput((2, 2), HEADS).build(at())(np.zeros((5, 2, 2), np.float32))
    assert {name: value.shape for name, value in outputs.items()} == {
        "kind": (5, 3),
        "odd": (5, 1),
        "amount": (5, 2),
    }


def test_every_hyperparameter_reaches_the_model():
    hp = at(layers=2, units_1=32, units_2=16, activation="tanh", dropout=0.5, optimizer="sgd")
    model = MultiOutput((4,), HEADS).build(hp)
    assert (model.get_layer("dense_1").units, model.get_layer("dense_2").units) == (32, 16)
    assert model.get_layer("dense_2").activation is keras.activations.tanh
    assert model.get_layer("dropout_2").rate == 0.5
    assert isinstance(model.optimizer, keras.optimizers.SGD)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"input_shape": {"a": (4,), "b": (4,)}}, "the trunk has one input; received a, b"),
        ({"heads": {"a": {"units": 3}}}, "head `a` must have `classes` or `outputs`; received {'units': 3}"),
        ({"losses": {"other": "huber"}}, "`losses` names no head: other; there are kind, odd, amount"),
        ({"max_layers": 0}, "at least 1; received 0"),
    ],
)
def test_what_is_wrong_is_said(changes, message):
    with pytest.raises(ValueError, match=message):
        MultiOutput(**{"input_shape": (4,), "heads": HEADS} | changes)
