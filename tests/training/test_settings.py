"""Which settings are fixed, searched, or the model's own."""

import keras
import keras_tuner
import numpy as np
import pytest

from hpsearch.errors import ModelError, SpaceError
from hpsearch.experiment import Experiment
from hpsearch.space import Condition
from hpsearch.testing.data import tiny_classification
from hpsearch.training.hyperparameters import at_defaults
from hpsearch.training.prepare import prepare
from hpsearch.training.probe import probe
from hpsearch.trial import Probe


def compiled(optimizer="sgd", loss="categorical_crossentropy"):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, activation="softmax")])
    model.compile(optimizer, loss, metrics=["accuracy"])
    return model


@pytest.fixture(scope="module")
def data():
    return tiny_classification(one_hot=True)


def experiment(build=None, *, training=None, space=None):
    return Experiment(
        name="toy",
        model=build or (lambda hp: compiled()),
        data=(np.random.default_rng(0).normal(size=(40, 4)).astype(np.float32), np.eye(3)[np.arange(40) % 3]),
        objective="val_loss",
        training=training or {},
        search={"space": space or {}},
    )


def prepared(data, build=None, choose=at_defaults, **values):
    return prepare(experiment(build, **values), data, choose, seed=0, free_memory=False)


def asked(data, build=None, *, chosen=None, **values):
    """Returns every hyperparameter that is asked for, by name."""
    found = {}

    def choose(parameter):
        found[parameter.name] = parameter
        return (chosen or {}).get(parameter.name, parameter.default)

    prepared(data, build, choose, **values)
    return found


def look(tmp_path, build=None, **values):
    return probe(experiment(build, **values), Probe(str(tmp_path)))


SEARCHED = {
    # name: a value, what reads it off the compiled model
    "schedule": ("cosine", lambda model: type(model.optimizer._learning_rate).__name__, "CosineDecay"),
    "warmup_epochs": (2.0, lambda model: model.optimizer._learning_rate.decay_steps, 2 * 2),
    "momentum": (0.75, lambda model: model.optimizer.momentum, 0.75),
    "weight_decay": (1e-3, lambda model: model.optimizer.weight_decay, 1e-3),
    "clip_norm": (2.5, lambda model: model.optimizer.global_clipnorm, 2.5),
    "clip_value": (0.25, lambda model: model.optimizer.clipvalue, 0.25),
    "label_smoothing": (0.1, lambda model: model.loss.get_config()["label_smoothing"], 0.1),
}


@pytest.mark.parametrize("name", SEARCHED)
def test_each_is_searched_and_fixed_alike(data, name):
    value, read, expected = SEARCHED[name]
    other = "constant" if name == "schedule" else 0.05
    searched = prepared(data, choose=lambda parameter: value, space={name: [other, value]})
    assert searched.hp.values == {name: value}
    fixed = prepared(data, training={name: value})
    assert fixed.hp.values == {}
    for ready in (searched, fixed):
        assert read(ready.model) == pytest.approx(expected)


@pytest.mark.parametrize("name", SEARCHED)
def test_what_the_model_declares_is_its_own(data, name):
    """A model may mean something else by it, or have compiled with it already."""
    value = SEARCHED[name][0]

    def build(hp):
        (hp.Choice if name == "schedule" else hp.Float)(
            name, *([["constant", "cosine"]] if name == "schedule" else [0.0, 5.0])
        )
        return compiled(keras.optimizers.SGD(0.01))

    ready = prepared(data, build, training={name: value})
    assert ready.hp.values == {name: value}
    model = ready.model
    assert model.loss == "categorical_crossentropy"
    assert float(model.optimizer.learning_rate) == pytest.approx(0.01)
    config = model.optimizer.get_config()
    assert [config[key] for key in ("momentum", "weight_decay", "global_clipnorm", "clipvalue")] == [
        0.0,
        None,
        None,
        None,
    ]
    assert name in asked(data, build, space={name: [value]})


def test_ranges_begin_at_what_the_model_compiled_with(data):
    space = {
        name: {"high": 0.5}
        for name in ("momentum", "weight_decay", "clip_norm", "label_smoothing", "learning_rate")
    }
    build = lambda hp: compiled(  # noqa: E731
        keras.optimizers.SGD(2e-3, momentum=0.8, weight_decay=1e-5, global_clipnorm=3.0)
    )
    found = asked(data, build, space=space)
    defaults = {name: parameter.default for name, parameter in found.items()}
    assert defaults == pytest.approx(
        {
            "momentum": 0.8,
            "weight_decay": 1e-5,
            "clip_norm": 3.0,
            "label_smoothing": 0.0,
            "learning_rate": 2e-3,
        }
    )
    found = asked(data, space={**space, "warmup_epochs": {"high": 1}})
    found |= asked(data, space={"clip_value": {"high": 1}})
    assert {
        name: (each.low, each.high, each.default, each.sampling)
        for name, each in found.items()
        if name != "learning_rate"
    } == {
        "momentum": (0.5, 0.99, 0.9, "linear"),
        "weight_decay": (1e-6, 1e-2, 1e-4, "log"),
        "clip_norm": (0.1, 10.0, 1.0, "log"),
        "clip_value": (0.05, 5.0, 0.5, "log"),
        "label_smoothing": (0.0, 0.2, 0.0, "linear"),
        "warmup_epochs": (0.0, 5.0, 0.0, "linear"),
    }


def test_the_example_of_the_documentation_works(tmp_path):
    found = look(
        tmp_path,
        space={
            "weight_decay": {"low": 1e-6, "high": 1e-2, "log": True},
            "schedule": ["constant", "cosine"],
            "label_smoothing": [0.0, 0.1],
        },
    )
    assert found.space.names == ("schedule", "weight_decay", "label_smoothing")
    assert "learning_rate" in found.metrics


class TestMomentum:
    def test_it_exists_for_the_optimizers_that_have_it(self, data):
        space = {"optimizer": ["adam", "SGD", "rmsprop"], "momentum": {"high": 0.95}}
        assert set(asked(data, space=space, chosen={"optimizer": "adam"})) == {"optimizer"}
        found = asked(data, space=space, chosen={"optimizer": "SGD"})
        assert found["momentum"].conditions == (Condition("optimizer", ("SGD", "rmsprop")),)

    def test_of_a_model_that_declares_its_optimizer(self, data, tmp_path):
        build = lambda hp: compiled(hp.Choice("optimizer", ["adam", "sgd"]))  # noqa: E731
        found = look(tmp_path, build, space={"momentum": [0.0, 0.9]}).space
        assert found.parameters[-1].conditions == (Condition("optimizer", ("sgd",)),)
        ready = prepared(
            data, build, lambda p: {"optimizer": "sgd"}.get(p.name, 0.6), space={"momentum": [0.6]}
        )
        assert ready.model.optimizer.momentum == 0.6
        fixed = look(tmp_path, build, training={"optimizer": "sgd"}, space={"momentum": [0.0, 0.9]}).space
        assert fixed.parameters[-1].conditions == ()

    def test_of_a_model_that_has_names_of_its_own(self, tmp_path):
        def build(hp):
            return compiled("adam" if hp.Choice("optimizer", ["steady", "fast"]) == "steady" else "sgd")

        found = look(tmp_path, build, space={"momentum": [0.0, 0.9]}).space
        assert found.names == ("optimizer", "momentum")

    def test_a_fixed_one_is_for_those_that_have_it(self, data):
        values = {"training": {"momentum": 0.9}, "space": {"optimizer": ["adam", "sgd"]}}
        for name, momentum in (("adam", None), ("sgd", 0.9)):
            model = prepared(data, choose=lambda parameter, name=name: name, **values).model
            assert getattr(model.optimizer, "momentum", None) == momentum

    @pytest.mark.parametrize(
        "values",
        [
            {"training": {"momentum": 0.9, "optimizer": "adam"}},
            {"training": {"momentum": 0.9, "optimizer": {"name": "adam", "beta_1": 0.8}}},
            {"training": {"momentum": 0.9}, "build": lambda hp: compiled("adam")},
            {"training": {"momentum": 0.9}, "space": {"optimizer": ["adam", "adamw"]}},
            {"training": {"optimizer": "adam"}, "space": {"momentum": [0.5, 0.9]}},
            {"space": {"momentum": [0.5, 0.9], "optimizer": ["adam", "adamw"]}},
        ],
    )
    def test_an_optimizer_without_is_said(self, tmp_path, values):
        with pytest.raises(
            ModelError, match=r"momentum: the optimizer has none; expected one of muon, r.*adam"
        ):
            look(tmp_path, **values)


UNUSABLE = {
    "momentum": ({"momentum": {"low": 0.5, "high": 1.0}}, r"momentum: too large; .* below 1; received 1.0"),
    "weight_decay": (
        {"weight_decay": [-0.1, 0.1]},
        r"weight_decay: too small; expected a number of at least 0",
    ),
    "clip_norm": ({"clip_norm": [0, 1]}, r"clip_norm: must be positive"),
    "label_smoothing": ({"label_smoothing": [0.0, 1.0]}, r"label_smoothing: too large"),
    "schedule": (
        {"schedule": ["constant", "cosin"]},
        r"schedule.name: unknown value; .* Did you mean `cosine`",
    ),
    "batch_size": ({"batch_size": [0, 16]}, r"batch_size: must be positive"),
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_values_that_a_setting_cannot_have_are_said(data, name):
    space, message = UNUSABLE[name]
    with pytest.raises(SpaceError, match=rf"Experiment: search.space: {message}"):
        prepared(data, space=space)


BROKEN = {
    "an unknown optimizer": (
        {"space": {"optimizer": ["adam", "smg"]}},
        "no such optimizer; expected one of adadelta",
    ),
    "plateau with a warm-up": (
        {"training": {"schedule": "plateau", "warmup_epochs": 2}},
        "warmup_epochs: `plateau` sets the learning rate after an epoch",
    ),
    "plateau with a warm-up in some trials": (
        {"training": {"warmup_epochs": 2}, "space": {"schedule": ["constant", "plateau"]}},
        "received schedule=plateau",
    ),
    "two ways of clipping": (
        {"training": {"clip_norm": 1.0}, "space": {"clip_value": [0.1, 0.2]}},
        "clip_value: Keras clips in one way only; expected `clip_norm` or `clip_value`; received clip_norm=1",
    ),
    "smoothing that the search may choose": (
        {
            "build": lambda hp: compiled(loss="sparse_categorical_crossentropy"),
            "space": {"label_smoothing": [0.0, 0.1]},
        },
        "label_smoothing: Keras cannot smooth class numbers; expected a cross-entropy over one-hot or binary",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_cannot_work_is_found_by_the_probe(tmp_path, name):
    values, message = BROKEN[name]
    with pytest.raises(ModelError) as caught:
        look(tmp_path, **values)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


class Uncompiled(keras_tuner.HyperModel):
    def build(self, hp):
        return keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])

    def fit(self, hp, model, *args, **kwargs):
        model.compile("sgd", "mse")
        return model.fit(*args, **kwargs)


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({"training": {"clip_norm": 1.0}}, "clip_norm"),
        ({"space": {"weight_decay": [0.0, 0.1]}}, "weight_decay"),
        ({"training": {"loss": "mse"}}, "loss"),
        ({"training": {"steps_per_execution": 2}}, "steps_per_execution"),
    ],
)
def test_a_model_that_is_not_compiled_cannot_be_given_them(data, values, name):
    with pytest.raises(ModelError, match=rf"^{name}: cannot be set, as `build` does not compile the model"):
        prepared(data, Uncompiled, **values)


class ChoosesBatchSize(keras_tuner.HyperModel):
    def build(self, hp):
        return compiled()

    def fit(self, hp, model, *args, **kwargs):
        return model.fit(*args, batch_size=hp.Choice("batch_size", [16, 32]), **kwargs)


@pytest.mark.parametrize(
    ("training", "where"),
    [
        ({"schedule": "cosine"}, "schedule"),
        ({"warmup_epochs": 1}, "warmup_epochs"),
        ({"steps_per_execution": "epoch"}, "steps_per_execution"),
    ],
)
def test_the_number_of_steps_must_be_known(data, training, where):
    message = (
        f"^{where}: how many steps there will be is not known: the model's own `fit` chooses `batch_size`"
    )
    with pytest.raises(ModelError, match=message):
        prepared(data, ChoosesBatchSize, training=training)
    ready = prepared(data, ChoosesBatchSize, training={**training, "batch_size": 16})
    assert ready.hp.values == {}
