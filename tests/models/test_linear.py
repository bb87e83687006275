"""The linear model."""

import keras
import numpy as np
import pytest

from hpsearch.models.linear import Linear
from hpsearch.testing.models import LearningContract, ModelContract
from hpsearch.training.hyperparameters import TrialHyperParameters


class TestForNumbers(ModelContract):
    model = "linear"
    dataset = {"name": "plane", "options": {"rows": 96}}


class TestForClasses(LearningContract):
    model = "linear"
    dataset = {"name": "digits", "options": {"flat": False}, "validation": 0.05, "test": 0.9}


def at(**values):
    return TrialHyperParameters(lambda parameter: values.get(parameter.name, parameter.default))


def least_squares(x, y, penalty=0.0):
    """Returns the kernel and the bias that minimise the mean squared error plus a penalty on the kernel."""
    mean = x.mean(axis=0)
    centred = x - mean
    gram = centred.T @ centred / len(x) + penalty * np.eye(x.shape[1])
    kernel = np.linalg.solve(gram, centred.T @ (y - y.mean()) / len(x))
    return kernel, y.mean() - mean @ kernel


@pytest.mark.parametrize("l2", [0.0, 1e-2])
def test_it_finds_least_squares_and_ridge_regression(l2):
    generator = np.random.default_rng(0)
    x = generator.normal(size=(64, 2)).astype(np.float32)
    y = x @ [2.0, -1.0] + 0.5 + 0.1 * generator.normal(size=64)
    model = Linear((2,)).build(at(l2=l2, optimizer="sgd", learning_rate=0.3))
    for _ in range(40):
        model.train_on_batch(x, y)
    kernel, bias = least_squares(x, y, l2)
    found, offset = model.get_weights()
    np.testing.assert_allclose(found[:, 0], kernel, atol=1e-4)
    np.testing.assert_allclose(offset[0], bias, atol=1e-4)
    assert (
        abs(least_squares(x, y, 1e-2)[0] - least_squares(x, y)[0]).max() > 1e-2
    )  # the two can be told apart


@pytest.mark.parametrize(("shape", "weights"), [((), 2), ((1,), 2), ((9,), 10), ((3, 2), 7)])
def test_one_or_many_features(shape, weights):
    model = Linear(shape).build(at())
    assert model.count_params() == weights
    assert model(np.zeros((4, *shape), np.float32)).shape == (4, 1)


def test_every_hyperparameter_reaches_the_model():
    hp = at(l2=1e-3, optimizer="rmsprop", learning_rate=0.02)
    model = Linear((4,), 3, one_hot=True).build(hp)
    assert [type(layer).__name__ for layer in model.layers] == ["InputLayer", "Dense"]
    assert float(model.get_layer("predictions").kernel_regularizer.l2) == pytest.approx(1e-3)
    assert isinstance(model.optimizer, keras.optimizers.RMSprop)
    assert float(model.optimizer.learning_rate) == pytest.approx(0.02)
    assert model.loss == "categorical_crossentropy"
    assert set(hp.values) == {parameter.name for parameter in hp.declared}


def test_several_inputs_are_refused():
    with pytest.raises(ValueError, match="the linear model has one input; received a, b"):
        Linear({"a": (1,), "b": (2,)})
