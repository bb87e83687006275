"""Two inputs, joined by each of Keras's merging layers."""

import keras
import numpy as np
import pytest

from hpsearch.models.merge import MERGES, Merge
from hpsearch.testing.models import ModelContract
from hpsearch.training.hyperparameters import TrialHyperParameters


class TestForClasses(ModelContract):
    model = "merge"
    dataset = {"name": "digit_pairs", "options": {"pairs": 200}}
    space = {"units": [16, 32]}


def at(**values):
    return TrialHyperParameters(lambda parameter: values.get(parameter.name, parameter.default))


JOINED = {
    "concatenate": lambda a, b: np.concatenate([a, b], axis=1),
    "add": lambda a, b: a + b,
    "subtract": lambda a, b: a - b,
    "multiply": lambda a, b: a * b,
    "average": lambda a, b: (a + b) / 2,
    "maximum": np.maximum,
    "dot": lambda a, b: (a * b).sum(axis=1, keepdims=True),
}


@pytest.mark.parametrize("merge", MERGES)
def test_branches_are_joined(merge):
    model = Merge({"left": (3,), "right": (2, 2)}, outputs=2).build(at(merge=merge, units=16))
    x = {"left": np.ones((4, 3), np.float32), "right": np.ones((4, 2, 2), np.float32)}
    inner = [model.get_layer(name).output for name in ("branch_left", "branch_right", "merge")]
    left, right, joint = map(np.asarray, keras.Model(model.inputs, inner)(list(x.values())))
    np.testing.assert_allclose(joint, JOINED[merge](left, right), atol=1e-6)
    assert model(x).shape == (4, 2)


def test_one_branch_serves_both_inputs():
    model = Merge({"left": (3,), "right": (3,)}).build(at(shared=True, units=16))
    assert len(model.get_layer("branch")._inbound_nodes) == 2
    hp = at()
    Merge({"left": (3,), "right": (2,)}).build(hp)
    assert "shared" not in hp.values


def test_every_hyperparameter_reaches_the_model():
    hp = at(units=32, hidden=16, activation="tanh", dropout=0.5, optimizer="sgd", learning_rate=2e-3)
    model = Merge({"left": (3,), "right": (2,)}, 3).build(hp)
    assert model.get_layer("branch_left").units == model.get_layer("branch_right").units == 32
    assert model.get_layer("hidden").units == 16
    assert model.get_layer("hidden").activation is keras.activations.tanh
    assert model.get_layer("dropout").rate == 0.5
    assert isinstance(model.optimizer, keras.optimizers.SGD)
    assert model.output_shape == (None, 3)


@pytest.mark.parametrize("shape", [(4,), {"a": (4,)}, {"a": (4,), "b": (4,), "c": (4,)}])
def test_two_inputs_are_needed(shape):
    with pytest.raises(ValueError, match="two inputs, by name; received"):
        Merge(shape)
