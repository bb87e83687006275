"""The residual perceptron."""

import subprocess
import sys

import keras
import numpy as np
import pytest

from hpsearch.models.residual_mlp import Gain, ResidualMLP, ResidualNetwork
from hpsearch.testing.models import ModelContract
from hpsearch.training.hyperparameters import TrialHyperParameters


class TestForClasses(ModelContract):
    model = "residual_mlp"
    dataset = {"name": "blobs", "options": {"rows": 96}}


def at(**values):
    return TrialHyperParameters(lambda parameter: values.get(parameter.name, parameter.default))


def test_it_computes_what_it_says():
    model = ResidualMLP((4,)).build(at(blocks=2, units=16, tapered=True, activation="tanh", gain=0.1))
    x = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    weights = {"/".join(weight.path.split("/")[-2:]): np.array(weight) for weight in model.weights}

    def dense(name, x):
        return x @ weights[f"{name}/kernel"] + weights.get(f"{name}/bias", 0)

    one = np.tanh(dense("stem", x))
    two = one + 0.1 * dense("outer_1", np.tanh(dense("inner_1", one)))
    three = dense("shortcut_2", two) + 0.1 * dense("outer_2", np.tanh(dense("inner_2", two)))
    np.testing.assert_allclose(model(x), dense("predictions", three), atol=1e-5)
    assert weights["gain_2/gain"].shape == (8,)


def test_widths_follow_taper_and_all_else_is_passed_on():
    hp = at(blocks=4, units=32, tapered=True, dropout=0.3, gain=0.1, optimizer="sgd", learning_rate=2e-3)
    model = ResidualMLP((8, 8, 1), classes=10).build(hp)
    assert model.settings["widths"] == [32, 16, 8, 8]
    assert [layer.rate for layer in model.dropouts] == [0.3] * 4
    assert list(model.shortcuts) == ["2", "3"]
    assert isinstance(model.optimizer, keras.optimizers.SGD)
    assert float(model.optimizer.learning_rate) == pytest.approx(2e-3)
    assert set(hp.values) == {parameter.name for parameter in hp.declared}


def test_dropout_acts_in_training_only():
    model = ResidualMLP((4,)).build(at(dropout=0.5))
    x = np.ones((64, 4), np.float32)
    np.testing.assert_array_equal(model(x), model(x))
    assert not np.array_equal(model(x, training=True), model(x, training=True))


def test_the_gain_is_trained():
    model = ResidualMLP((4,)).build(at())
    model.train_on_batch(np.ones((8, 4)), np.arange(8.0))
    assert not np.allclose(model.gains[0].gain, 1.0)


def test_config_round_trip():
    gain = Gain.from_config(Gain(0.25, name="mine").get_config())
    assert (gain.initial, gain.name) == (0.25, "mine")
    model = ResidualMLP((4,), classes=3).build(at(units=16, blocks=1))
    twin = ResidualNetwork.from_config(model.get_config())
    assert twin.settings == model.settings


def test_it_loads_in_another_process(tmp_path):
    model = ResidualMLP((4,), classes=3).build(at(tapered=True, units=16))
    model.train_on_batch(np.ones((8, 4)), np.zeros(8))
    model.save(tmp_path / "model.keras")
    script = (
        "import sys, keras, numpy as np\n"
        "from hpsearch.experiment import ModelSection\n"
        "from hpsearch.models import register_custom_objects\n"
        "register_custom_objects(ModelSection(name='residual_mlp'))\n"
        "model = keras.models.load_model(sys.argv[1])\n"
        "print(*np.ravel(model(np.ones((1, 4)))), model.optimizer.iterations.numpy())\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "model.keras")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    *outputs, steps = map(float, done.stdout.split())
    np.testing.assert_allclose(outputs, np.ravel(model(np.ones((1, 4)))), atol=1e-6)
    assert steps == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"input_shape": {"a": (1,), "b": (2,)}}, "one input; received a, b"),
        ({"input_shape": (4,), "max_blocks": 0}, "at least 1; received 0"),
    ],
)
def test_what_is_wrong_is_said(arguments, message):
    with pytest.raises(ValueError, match=message):
        ResidualMLP(**arguments)
