"""One LSTM for two sequences."""

import keras
import numpy as np
import pytest

from hpsearch.models.siamese import OnDevices, Siamese
from hpsearch.testing.models import ModelContract
from hpsearch.training.hyperparameters import TrialHyperParameters

PAIR = {"a": (3, 2), "b": (3, 2)}


class TestSiamese(ModelContract):
    model = "siamese"
    dataset = {"name": "digit_pairs", "options": {"pairs": 200}}
    space = {"units": [16, 32]}


def at(**values):
    return TrialHyperParameters(lambda parameter: values.get(parameter.name, parameter.default))


def rows():
    generator = np.random.default_rng(0)
    return {name: generator.normal(size=(4, 3, 2)).astype(np.float32) for name in PAIR}


def test_both_sequences_are_read_by_the_same_layer():
    model = Siamese(PAIR).build(at(units=16, hidden=0))
    assert model.count_params() == 4 * (2 * 16 + 16 * 16 + 16) + 2 * 16 + 1
    assert len(model.get_layer("lstm")._inbound_nodes) == 2


def test_every_hyperparameter_reaches_the_model():
    hp = at(units=16, hidden=64, dropout=0.5, optimizer="rmsprop", learning_rate=2e-3)
    model = Siamese(PAIR).build(hp)
    assert (model.get_layer("lstm").units, model.get_layer("hidden").units) == (16, 64)
    assert model.get_layer("dropout").rate == 0.5
    assert isinstance(model.optimizer, keras.optimizers.RMSprop)


def test_branches_may_have_devices_of_their_own(tmp_path, monkeypatch):
    entered = []
    device = keras.device

    def noted(name):
        entered.append(name)
        return device(name)

    keras.utils.set_random_seed(1)
    plain = Siamese(PAIR).build(at(units=16))
    keras.utils.set_random_seed(1)
    monkeypatch.setattr(keras, "device", noted)
    placed = Siamese(PAIR, devices=["cpu:0", "cpu:0"]).build(at(units=16))
    assert entered == ["cpu:0", "cpu:0"]
    assert placed.count_params() == plain.count_params()
    np.testing.assert_allclose(placed(rows()), plain(rows()), atol=1e-6)
    placed.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert isinstance(loaded.get_layer("on_devices"), OnDevices)
    assert loaded.get_layer("on_devices").devices == ("cpu:0", "cpu:0")
    np.testing.assert_array_equal(loaded(rows()), placed(rows()))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"input_shape": (3, 2)}, r"two inputs `\(steps, features\)` of one shape"),
        ({"input_shape": {"a": (3, 2), "b": (4, 2)}}, "of one shape, by name; received"),
        ({"input_shape": {"a": (3,), "b": (3,)}}, "two inputs"),
        ({"input_shape": PAIR, "classes": 3}, "between 2 classes; received 3"),
        ({"input_shape": PAIR, "devices": "cpu"}, "two names, one for each branch; received 'cpu'"),
    ],
)
def test_what_is_wrong_is_said(arguments, message):
    with pytest.raises(ValueError, match=message):
        Siamese(**arguments)
