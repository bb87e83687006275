"""Looking before the search: space, metrics, and whether model and data fit."""

import time

import keras
import keras_tuner
import numpy as np
import pytest

from hpsearch.errors import DataError, ModelError, SpaceError
from hpsearch.experiment import Experiment
from hpsearch.space import Parameter
from hpsearch.training.explore import explore
from hpsearch.training.probe import probe
from hpsearch.trial import Probe

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 4)).astype(np.float32)
CLASSES = np.arange(60) % 3
NUMBERS = X @ np.ones(4, np.float32)


def look(tmp_path, build, data=(X, CLASSES), **values):
    experiment = Experiment(name="toy", model=build, data=data, objective="val_loss", **values)
    return probe(experiment, Probe(str(tmp_path / "probe")))


def stack(*layers, loss="sparse_categorical_crossentropy", shape=(4,), **compiled):
    model = keras.Sequential([keras.Input(shape), *layers])
    model.compile("adam", loss, **compiled)
    return model


def softmax(units=3):
    return keras.layers.Dense(units, activation="softmax")


def branches(hp):
    layers = []
    if hp.Boolean("regular"):
        layers.append(keras.layers.Dropout(hp.Float("rate", 0.1, 0.5)))
    for number in range(hp.Int("depth", 1, 3)):
        layers.append(keras.layers.Dense(hp.Int(f"width_{number}", 4, 400)))
    if hp.Choice("activation", ["relu", "leaky"]) == "leaky":
        layers.append(keras.layers.LeakyReLU(hp.Float("slope", 0.01, 0.3)))
        if hp.Boolean("noisy"):
            layers.append(keras.layers.GaussianNoise(hp.Float("noise", 0.1, 1.0)))
    return stack(*layers, softmax(), metrics=["accuracy"])


def test_hyperparameters_on_branches_are_found(tmp_path):
    found = look(tmp_path, branches)
    assert found.space.names[:4] == ("regular", "depth", "width_0", "activation")
    assert set(found.space.names[4:]) == {"rate", "width_1", "width_2", "slope", "noisy", "noise"}
    assert len(found.space.parameters) == 10


def test_what_is_reported(tmp_path):
    found = look(tmp_path, branches)
    assert {"loss", "accuracy", "val_loss", "val_accuracy", "val_f1_macro"} <= set(found.metrics)
    assert len(found.metrics) == len(set(found.metrics))
    assert not found.any_metric
    assert found.parameters == 4 * 4 + 4 + 4 * 3 + 3
    assert found.data.sizes == {"train": 36, "validation": 12, "test": 12}
    assert {"python", "keras", "keras-tuner", "numpy", "backend", "tensorflow"} <= found.versions.keys()
    assert "Total params: 35" in (tmp_path / "probe" / "model.txt").read_text()


def test_regression_and_named_metrics(tmp_path):
    build = lambda hp: stack(  # noqa: E731
        keras.layers.Dense(1), loss="mse", metrics=[keras.metrics.MeanAbsoluteError(name="off_by")]
    )
    found = look(tmp_path, build, (X, NUMBERS))
    assert {"off_by", "val_off_by", "val_rmse", "val_r2"} <= set(found.metrics)
    assert found.data.task == "regression"


def test_overrides_bound_what_is_looked_at(tmp_path):
    seen = []

    def build(hp):
        seen.append(hp.Choice("size", [1, 2, 3]))
        return stack(softmax())

    space = look(tmp_path, build, search={"space": {"size": [2, 3], "epochs": [2, 4]}}).space
    assert set(seen) == {2, 3}
    assert space.parameters[0].values == (1, 2, 3)
    assert space.names == ("size", "epochs")


def test_what_training_fixes_is_not_searched(tmp_path):
    def build(hp):
        hp.Float("learning_rate", 0.1, 0.5)
        return stack(softmax())

    (rate,) = look(tmp_path, build, training={"learning_rate": 0.25}).space.parameters
    assert (rate.kind, rate.default) == ("fixed", 0.25)


def test_a_branch_that_does_not_build_is_left_to_its_trials(tmp_path):
    def build(hp):
        if hp.Boolean("broken"):
            raise RuntimeError
        return stack(softmax())

    assert look(tmp_path, build).space.names == ("broken",)


def test_a_fit_of_the_users_own_may_report_anything(tmp_path):
    class Own(keras_tuner.HyperModel):
        def build(self, hp):
            return keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])

        def fit(self, hp, model, *args, **kwargs):
            raise AssertionError("a probe trains nothing")

    found = look(tmp_path, Own)
    assert found.any_metric
    assert "val_f1_macro" in found.metrics


def test_several_inputs_and_outputs(tmp_path):
    def build(hp):
        a, b = keras.Input((4,), name="a"), keras.Input((2,), name="b")
        x = keras.layers.Concatenate()([a, b])
        outputs = {"p": keras.layers.Dense(1, name="p")(x), "q": keras.layers.Dense(2, name="q")(x)}
        model = keras.Model({"a": a, "b": b}, outputs)
        model.compile("adam", {"p": "mse", "q": "mae"}, metrics={"p": ["mae"]})
        return model

    data = {"x": {"a": X, "b": X[:, :2]}, "y": {"p": NUMBERS, "q": X[:, :2]}}
    section = {"name": "two", "target": data, "options": {"task": "regression"}}
    found = look(tmp_path, build, section)
    assert {"loss", "val_loss", "p_mae", "val_p_mae"} <= set(found.metrics)
    assert set(found.data.shapes) == {"x[a]", "x[b]", "y[p]", "y[q]"}


def test_a_fixed_batch_and_sample_weights(tmp_path):
    def build(hp):
        model = keras.Sequential([keras.Input(batch_shape=(5, 4)), softmax()])
        model.compile("adam", "sparse_categorical_crossentropy", weighted_metrics=["accuracy"])
        return model

    found = look(tmp_path, build, (X, CLASSES, np.ones(60)))
    assert "val_accuracy" in found.metrics


def quantiles(y_true, y_pred):
    return keras.ops.mean(keras.ops.abs(y_true[:, None] - y_pred))


def test_a_loss_of_the_users_own_may_broadcast(tmp_path):
    build = lambda hp: stack(keras.layers.Dense(3), loss=quantiles)  # noqa: E731
    assert "val_loss" in look(tmp_path, build, (X, NUMBERS)).metrics


ONE_HOT = np.eye(3)[CLASSES]
FIVE = lambda hp: stack(softmax(), shape=(5,))  # noqa: E731
BROKEN = [
    (FIVE, (X, CLASSES), "does not accept the data's input; expected (None, 5)"),
    (FIVE, (X, CLASSES), "received (None, 4): ValueError: "),
    (lambda hp: stack(softmax(2)), (X, CLASSES), "too few classes; expected 3 (0, 1, 2)"),
    (
        lambda hp: stack(keras.layers.Dense(3), loss="mse"),
        (X, NUMBERS),
        "the loss `mse`; expected shape (None,)",
    ),
    (
        lambda hp: stack(keras.layers.Dense(1), loss="huber"),
        (X, X),
        "shape (None, 4); received shape (None, 1)",
    ),
    (lambda hp: stack(softmax(), loss="categorical_crossentropy"), (X, CLASSES), "use `sparse_categorical_c"),
    (lambda hp: stack(softmax()), (X, ONE_HOT), "use `categorical_crossentropy`"),
    (lambda hp: stack(softmax(), metrics=["acuracy"]), (X, CLASSES), "Could not interpret metric identifier"),
]


@pytest.mark.parametrize(("build", "data", "message"), BROKEN, ids=[row[2][:30] for row in BROKEN])
def test_a_model_that_does_not_fit_its_data_is_said(tmp_path, build, data, message):
    with pytest.raises(ModelError) as caught:
        look(tmp_path, build, data)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.out = softmax()

    def call(self, x):
        return self.out(x)


def subclassed(hp):
    model = Subclassed()
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


def test_an_export_that_the_model_cannot_have_is_said(tmp_path):
    look(tmp_path, subclassed, export={"formats": ["keras", "weights"]})
    with pytest.raises(ModelError, match=r"export.formats: h5: a subclassed model .* received `Subclassed`"):
        look(tmp_path, subclassed, export={"formats": "h5"})


def test_wrong_overrides_and_wrong_data_are_said(tmp_path):
    with pytest.raises(SpaceError, match=r"Experiment: search.space.depth"):
        look(tmp_path, branches, search={"space": {"depth": {"low": 0.5}}})
    with pytest.raises(DataError, match="could be classes or amounts"):
        look(tmp_path, branches, (X, np.arange(60)))


# Exploration by itself


def flag(name, default=False):
    return Parameter(name, "boolean", default)


def test_exploration_goes_on_from_where_a_parameter_was_found():
    ways = []

    def declare(values):
        ways.append(dict(values))
        return [
            flag(name)
            for name, parent in (("a", None), ("b", "a"), ("c", "b"))
            if not parent or values.get(parent)
        ]

    found = explore(declare, [flag("a")])
    assert [parameter.name for parameter in found] == ["a", "b", "c"]
    assert ways == [{"a": True}, {"a": True, "b": True}, {"a": True, "b": True, "c": True}]


def test_exploration_ends_by_time_and_by_builds():
    calls = []

    def endless(values):
        calls.append(values)
        return [flag(f"p{number}") for number in range(len(calls) + 1)]

    assert len(explore(endless, [flag("p0")], builds=7)) == 8
    assert len(calls) == 7
    explore(endless, [flag("q")], timeout_s=-1.0)
    assert len(calls) == 7


def test_exploration_does_not_begin_what_would_end_too_late():
    calls = []

    def slow(values):
        calls.append(values)
        time.sleep(0.3)
        return ()

    explore(slow, [flag(f"p{number}") for number in range(9)], timeout_s=0.5)
    assert len(calls) == 1


def test_wide_ranges_are_not_built_at_their_ends():
    tried = []
    width = Parameter("width", "int", 64, low=16, high=4096, step=1)
    depth = Parameter("depth", "int", 2, low=1, high=6, step=1)
    explore(lambda values: tried.append(values) or (), [width, depth])
    assert tried == [{"depth": 1}, {"depth": 6}]
