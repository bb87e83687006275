"""Layers that do not learn, by patterns of their names."""

import keras
import numpy as np
import pytest

from hpsearch.errors import ModelError
from hpsearch.experiment import Experiment
from hpsearch.models.frozen import freeze, is_frozen
from hpsearch.testing.data import tiny_classification
from hpsearch.training.hyperparameters import at_defaults
from hpsearch.training.prepare import prepare

LAYERS = keras.layers


def nested():
    inner = keras.Sequential(
        [keras.Input((5,)), LAYERS.Dense(4, name="deep_1"), LAYERS.BatchNormalization(name="norm")],
        name="inner",
    )
    return keras.Sequential(
        [keras.Input((4,)), LAYERS.Dense(5, name="first"), inner, LAYERS.Dense(3, "softmax", name="last")]
    )


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.first = LAYERS.Dense(5, name="first")
        self.last = LAYERS.Dense(3, "softmax", name="last")

    def call(self, x):
        return self.last(self.first(x))


def sequential():
    return keras.Sequential([LAYERS.Dense(5, name="first"), LAYERS.Dense(3, "softmax", name="last")])


def prepared(build, frozen, **training):
    def compiled(hp):
        model = build()
        model.compile("sgd", "sparse_categorical_crossentropy", run_eagerly=True)
        return model

    experiment = Experiment(
        name="toy",
        model=compiled,
        data=(np.zeros((10, 4)), np.zeros(10)),
        objective="val_loss",
        training={"frozen": frozen, **training},
    )
    return prepare(experiment, tiny_classification(), at_defaults, seed=0, free_memory=False).model


def changed(model):
    """Names the layers whose weights a step of training changes."""
    data = tiny_classification().train
    model(data.x[:1])
    layers = {layer.name: layer for layer in model._flatten_layers() if layer.weights and not layer._layers}
    before = {name: layer.get_weights() for name, layer in layers.items()}
    model.fit(data.x, data.y, verbose=0)
    return {
        name
        for name, layer in layers.items()
        if not all(map(np.array_equal, before[name], layer.get_weights()))
    }


@pytest.mark.parametrize(
    ("frozen", "learns"),
    [
        ("deep_*", {"first", "norm", "last"}),
        ("inner", {"first", "last"}),  # its statistics, too
        (["*st", "norm"], {"deep_1"}),
        ([], {"first", "deep_1", "norm", "last"}),
    ],
)
def test_at_any_depth(frozen, learns):
    assert changed(prepared(nested, frozen)) == learns


@pytest.mark.parametrize("build", [Subclassed, sequential])
def test_of_a_model_that_is_not_built_yet(build):
    assert changed(prepared(build, "first")) == {"last"}
    assert changed(prepared(build, "first", optimizer="adam")) == {"last"}  # compiled again


def test_it_is_marked_with_all_that_it_holds():
    model = nested()
    freeze(model, ["inner"])
    assert {layer.name for layer in model._flatten_layers() if is_frozen(layer)} >= {
        "inner",
        "deep_1",
        "norm",
    }
    assert not is_frozen(model.get_layer("first"))


@pytest.mark.parametrize(
    ("build", "frozen", "message"),
    [
        (
            nested,
            ["first", "deeper_*"],
            "training.frozen: no layer has such a name; expected first, inner, norm, deep_1, last; "
            "received deeper_*",
        ),
        (nested, "*", "training.frozen: nothing is left to learn; received *"),
        (Subclassed, "deep", "received deep. Layers made in `build` or `call` do not exist yet"),
    ],
)
def test_what_is_wrong_is_said(build, frozen, message):
    with pytest.raises(ModelError) as caught:
        prepared(build, frozen)
    assert message in str(caught.value)


def test_of_many_layers_some_are_named():
    model = keras.Sequential([keras.Input((4,)), *(LAYERS.Dense(1, name=f"d{i}") for i in range(35))])
    with pytest.raises(ModelError, match=r"expected d0, .*, d29 and 5 more; received x"):
        freeze(model, ["x"])
