"""The multi-layer perceptron."""

import keras
import keras_tuner
import numpy as np
import pytest

from hpsearch.models.mlp import MLP
from hpsearch.testing.data import tiny_classification
from hpsearch.testing.models import ModelContract
from hpsearch.training.hyperparameters import TrialHyperParameters


class TestForClasses(ModelContract):
    model = "mlp"
    dataset = {"name": "blobs", "options": {"rows": 96}}


class TestForNumbers(ModelContract):
    model = {"name": "mlp", "options": {"normalize": True, "max_layers": 2}}
    dataset = {"name": "plane", "options": {"rows": 96}}


def at(**values):
    return TrialHyperParameters(lambda parameter: values.get(parameter.name, parameter.default))


def kinds(model):
    return [type(layer).__name__ for layer in model.layers]


def test_784_32_10_by_rmsprop_is_a_point_of_its_space():
    model = MLP((784,), 10).build(at(layers=1, units_1=32, optimizer="rmsprop"))
    assert kinds(model) == ["InputLayer", "Dense", "Activation", "Dense"]
    assert model.count_params() == 784 * 32 + 32 + 32 * 10 + 10
    assert isinstance(model.optimizer, keras.optimizers.RMSprop)
    assert model.loss == "sparse_categorical_crossentropy"


def test_784_128_dropout_10_is_a_point_of_its_space():
    model = MLP((28, 28, 1), 10).build(at(layers=1, units_1=128, dropout=0.2))
    assert kinds(model) == ["InputLayer", "Flatten", "Dense", "Activation", "Dropout", "Dense"]
    assert model.count_params() == 784 * 128 + 128 + 128 * 10 + 10
    assert model.get_layer("dropout_1").rate == 0.2


def test_every_hyperparameter_reaches_the_model():
    hp = at(
        layers=2,
        units_1=128,
        units_2=16,
        activation="tanh",
        initializer="he_normal",
        batch_norm=True,
        dropout=0.5,
        l2=1e-3,
        optimizer="sgd",
        learning_rate=2e-3,
    )
    model = MLP((4,), 3).build(hp)
    one, two = model.get_layer("dense_1"), model.get_layer("dense_2")
    assert (one.units, two.units) == (128, 16)
    assert model.get_layer("activation_2").activation is keras.activations.tanh
    assert isinstance(one.kernel_initializer, keras.initializers.HeNormal)
    assert float(one.kernel_regularizer.l2) == pytest.approx(1e-3)
    assert kinds(model).count("BatchNormalization") == kinds(model).count("Dropout") == 2
    assert isinstance(model.optimizer, keras.optimizers.SGD)
    assert float(model.optimizer.learning_rate) == pytest.approx(2e-3)
    assert set(hp.values) == {parameter.name for parameter in hp.declared} - {"units_3"}


def test_units_of_missing_layers_are_not_asked_for():
    asked = []

    def choose(parameter):
        asked.append(parameter.name)
        return parameter.default

    MLP((4,), 3, max_layers=4).build(TrialHyperParameters(choose))
    assert [name for name in asked if name.startswith("units")] == ["units_1"]


def test_normalize_standardises_each_feature():
    model = MLP((3,), normalize=True).build(at())
    x = np.random.default_rng(0).normal([100, -5, 0], [10, 1, 0.1], size=(512, 3)).astype(np.float32)
    seen = keras.Model(model.inputs, model.get_layer("normalize").output)(x, training=True)
    np.testing.assert_allclose(np.mean(seen, axis=0), 0, atol=1e-2)
    np.testing.assert_allclose(np.std(seen, axis=0), 1, atol=0.06)


def test_one_hot_targets_and_several_numbers():
    one_hot = MLP((4,), 3, one_hot=True).build(at())
    assert np.isfinite(one_hot.train_on_batch(np.zeros((3, 4)), np.eye(3))[0])
    two = MLP((4,), outputs=2).build(at())
    assert two.output_shape == (None, 2)


def test_a_keras_tuner_search_runs_on_it(tmp_path):
    data = tiny_classification()
    tuner = keras_tuner.RandomSearch(
        MLP(data.input_shape, data.classes), "val_accuracy", max_trials=1, directory=tmp_path, seed=1
    )
    tuner.search(data.train.x, data.train.y, validation_data=(data.test.x, data.test.y), epochs=1, verbose=0)
    assert tuner.get_best_hyperparameters()[0].get("layers") in (1, 2, 3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"input_shape": {"a": (1,), "b": (2,)}}, "one input; received a, b"),
        ({"input_shape": (4,), "max_layers": 0}, "at least 1; received 0"),
    ],
)
def test_what_is_wrong_is_said(arguments, message):
    with pytest.raises(ValueError, match=message):
        MLP(**arguments)
