"""Models are found by name, in files, or given from Python."""

import subprocess
import sys

import keras
import keras_tuner
import pytest

from hpsearch.errors import ModelError
from hpsearch.experiment import ModelSection
from hpsearch.models import describe, load_hypermodel, names
from hpsearch.models.mlp import MLP
from hpsearch.testing.data import tiny_classification, tiny_regression
from hpsearch.training.hyperparameters import TrialHyperParameters, at_defaults


def dense(shape, units):
    return keras.Sequential([keras.Input(shape), keras.layers.Dense(units)])


class Net(keras_tuner.HyperModel):
    def __init__(self, input_shape, classes, width=4):
        super().__init__()
        self.told = (input_shape, classes, width)

    def build(self, hp):
        return dense(self.told[0], self.told[1])


class NotANet:
    def __init__(self):
        pass


def section(name="given", **values):
    return ModelSection(name=name, **values)


@pytest.fixture
def data():
    return tiny_classification()


def built(section, data):
    return load_hypermodel(section, data).build(TrialHyperParameters(at_defaults))


def test_built_in_models_are_found_by_their_files():
    assert "mlp" in names()
    assert describe("mlp") == "Multi-layer perceptron: a stack of dense layers, for classes or numbers."


def test_the_list_needs_no_keras():
    code = (
        "import sys, hpsearch.models as m; m.describe(m.names()[0]);"
        "print([n for n in ('keras', 'keras_tuner', 'tensorflow', 'numpy') if n in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_the_mlp_learns_of_the_data(data):
    model = load_hypermodel(section("mlp", options={"max_layers": 1}), data)
    assert isinstance(model, MLP)
    assert (model.input_shape, model.classes, model.max_layers, model.one_hot) == ((4,), 3, 1, False)
    number = load_hypermodel(section("mlp"), tiny_regression())
    assert (number.classes, number.outputs) == (None, 1)


def test_one_hot_targets_are_told_to_the_model():
    found = load_hypermodel(section("mlp"), tiny_classification(one_hot=True))
    assert (found.classes, found.one_hot) == (3, True)


def test_options_come_before_what_the_data_says(data):
    assert load_hypermodel(section("mlp", options={"classes": 7}), data).classes == 7
    assert load_hypermodel(section(target=Net, options={"width": 9}), data).told == ((4,), 3, 9)


def test_an_instance_is_taken_as_it_is(data):
    net = Net((4,), 3)
    assert load_hypermodel(section(target=net), data) is net


@pytest.mark.parametrize(
    "build",
    [
        lambda hp: dense((4,), 3),
        lambda hp=None: dense((4,), 3),
        lambda whatever: dense((4,), 3),
        lambda hp, input_shape, classes: dense(input_shape, classes),
        lambda: Net((4,), 3),
        lambda input_shape, classes: Net(input_shape, classes),
        Net,
    ],
)
def test_ways_to_give_a_model(build, data):
    assert built(section(target=build), data).output_shape == (None, 3)


def test_options_of_a_build_function(data):
    def build(hp, units=1):
        return dense((4,), units)

    assert built(section(target=build, options={"units": 6}), data).output_shape == (None, 6)


def test_a_model_in_a_file(tmp_path, data, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "hp_my_net.py").write_text(
        "import keras\n"
        "def build(hp, classes):\n"
        "    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(classes)])\n"
    )
    found = load_hypermodel(section(f"{tmp_path}/hp_my_net.py:build"), data)
    assert found.name == "build"
    assert found.build(TrialHyperParameters(at_defaults)).output_shape == (None, 3)


def test_keras_tuners_own_models(data):
    from hpsearch.datasets import load_data
    from hpsearch.experiment import DataSection

    images = load_data(DataSection(name="digits", options={"flat": False}))
    found = load_hypermodel(section("keras_tuner.applications:HyperResNet"), images)
    assert (found.input_shape, found.classes) == ((8, 8, 1), 10)


BROKEN = [
    (section("mpl"), "model.name: unknown model; expected ", "Did you mean `mlp`?"),
    (
        section("mlp", options={"max_layer": 2}),
        "`mlp` has no option `max_layer`",
        "Did you mean `max_layers`?",
    ),
    (section("mlp", options={"max_layers": 0}), "cannot be constructed with ", "at least 1; received 0"),
    (section("keras_tuner:HyperModels"), "`keras_tuner` has no `HyperModels`", "Did you mean `HyperModel`?"),
    (section("json:JSONDecoder"), "is not a model to search", "the class `JSONDecoder`"),
    (section("json:__name__"), "is not a model to search", "received str"),
    (section(target=NotANet), "is not a model to search", "the class `NotANet`"),
    (section(target=lambda: dense((4,), 3)), "a function without `hp`", "a keras Sequential"),
    (section(target=Net((4,), 3), options={"width": 2}), "given ready-made", "received width"),
    (section(target=lambda hp, size: None), "`given` needs `size`", "expected size"),
    (
        section(target=lambda hp, size=1: None, options={"sise": 2}),
        "no option `sise`",
        "Did you mean `size`?",
    ),
]


@pytest.mark.parametrize(("broken", "problem", "detail"), BROKEN, ids=[row[1][:40] for row in BROKEN])
def test_what_is_wrong_is_said(broken, problem, detail, data):
    with pytest.raises(ModelError) as caught:
        load_hypermodel(broken, data)
    assert problem in str(caught.value)
    assert detail in str(caught.value)
    assert "\n" not in str(caught.value)
