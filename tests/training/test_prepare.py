"""From an experiment and a trial's values to a compiled model."""

import keras
import keras_tuner
import numpy as np
import pytest

from hpsearch.errors import ModelError, SearchError
from hpsearch.experiment import Experiment
from hpsearch.testing.data import tiny_classification
from hpsearch.training.hyperparameters import at_defaults
from hpsearch.training.prepare import prepare


def net(**compiled):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, activation="softmax")])
    if compiled:
        model.compile(**{"loss": "sparse_categorical_crossentropy", **compiled})
    return model


def plain(hp):
    return net(optimizer="adam")


def declares_all(hp):
    hp.Choice("batch_size", [4, 8])
    hp.Int("epochs", 2, 3)
    optimizer = keras.optimizers.get(hp.Choice("optimizer", ["sgd", "adam"]))
    optimizer.learning_rate = hp.Float("learning_rate", 0.1, 0.9)
    return net(optimizer=optimizer)


@pytest.fixture(scope="module")
def data():
    return tiny_classification()


def experiment(build=plain, *, training=None, space=None):
    return Experiment(
        name="toy",
        model=build,
        data=(np.zeros((10, 4)), np.zeros(10)),
        objective="val_loss",
        training=training or {},
        search={"space": space or {}},
    )


def prepared(data, build=plain, choose=at_defaults, *, seed=0, **values):
    return prepare(experiment(build, **values), data, choose, seed=seed)


def of(**values):
    return lambda parameter: values.get(parameter.name, parameter.default)


def rate(model):
    return pytest.approx(float(model.optimizer.learning_rate), rel=1e-6)


def test_nothing_said_nothing_changed(data):
    ready = prepared(data)
    assert ready.hp.values == {}
    assert (ready.epochs, ready.batch_size, ready.custom_fit) == (10, 32, False)
    assert isinstance(ready.model.optimizer, keras.optimizers.Adam)
    assert rate(ready.model) == 0.001


def test_training_sets_all_four(data):
    ready = prepared(
        data, training={"optimizer": "rmsprop", "learning_rate": 0.02, "batch_size": 7, "epochs": 3}
    )
    assert ready.hp.values == {}
    assert (ready.epochs, ready.batch_size) == (3, 7)
    assert isinstance(ready.model.optimizer, keras.optimizers.RMSprop)
    assert rate(ready.model) == 0.02


def test_the_space_searches_what_the_model_does_not_declare(data):
    space = {
        "optimizer": ["sgd", "adam"],
        "learning_rate": {"low": 0.1, "high": 1.0, "log": True},
        "batch_size": [4, 8],
        "epochs": {"low": 2, "high": 9},
    }
    chosen = {"optimizer": "sgd", "learning_rate": 0.5, "batch_size": 8, "epochs": 4}
    ready = prepared(data, choose=of(**chosen), space=space)
    assert ready.hp.values == chosen
    assert (ready.epochs, ready.batch_size) == (4, 8)
    assert isinstance(ready.model.optimizer, keras.optimizers.SGD)
    assert rate(ready.model) == 0.5


def test_what_is_declared_for_the_user_has_sensible_defaults(data):
    asked = {}

    def choose(parameter):
        asked[parameter.name] = parameter
        return parameter.default

    everything = {
        "optimizer": ["adam", "sgd"],  # applied by the driver, not here
        "learning_rate": {"high": 0.1},
        "batch_size": {"high": 64},
        "epochs": {"low": 10},
    }
    build = lambda hp: net(optimizer=keras.optimizers.Nadam(5e-3))  # noqa: E731
    ready = prepared(data, build, choose, space=everything, training={"epochs": 20, "batch_size": 50})
    assert asked["optimizer"].values == ("adam", "adamw", "rmsprop", "sgd", "nadam")
    assert asked["optimizer"].default == "nadam"
    assert asked["learning_rate"].default == pytest.approx(5e-3)
    assert (asked["learning_rate"].low, asked["learning_rate"].high) == (1e-4, 1e-2)
    assert asked["batch_size"].grid == (16, 32, 64, 128, 256)
    assert (asked["batch_size"].default, asked["epochs"].default) == (64, 20)
    assert (ready.batch_size, ready.epochs) == (64, 20)


def test_what_the_model_declares_is_its_own(data):
    ready = prepared(data, declares_all)
    assert ready.hp.values == {"batch_size": 4, "epochs": 2, "optimizer": "sgd", "learning_rate": 0.1}
    assert (ready.epochs, ready.batch_size) == (2, 4)
    assert rate(ready.model) == 0.1


def test_the_space_does_not_declare_a_second_time(data):
    asked = []

    def choose(parameter):
        asked.append(parameter.name)
        return parameter.default

    space = {"batch_size": [4], "learning_rate": {"low": 0.2, "high": 0.3}}
    prepared(data, declares_all, choose, space=space)
    assert sorted(asked) == ["batch_size", "epochs", "learning_rate", "optimizer"]


def test_training_fixes_what_the_model_declares_and_nobody_is_asked(data):
    asked = []

    def choose(parameter):
        asked.append(parameter.name)
        return parameter.default

    fixed = {"learning_rate": 0.7, "optimizer": "adam", "batch_size": 8}
    ready = prepared(data, declares_all, choose, training=fixed)
    assert asked == ["epochs"]
    assert ready.hp.values == {**fixed, "epochs": 2}
    assert rate(ready.model) == 0.7
    assert ready.batch_size == 8


def test_the_space_comes_before_training(data):
    ready = prepared(
        data, choose=of(batch_size=128), training={"batch_size": 16}, space={"batch_size": {"high": 128}}
    )
    assert ready.batch_size == 128


class Weighted(keras.losses.Loss):
    def __init__(self, scale):  # no get_config: Keras could not copy it
        super().__init__(name="weighted")
        self.scale = scale

    def call(self, y_true, y_pred):
        return self.scale * keras.losses.sparse_categorical_crossentropy(y_true, y_pred)


def test_another_optimizer_keeps_everything_else_that_was_compiled(data):
    loss, metric = Weighted(3.0), keras.metrics.SparseTopKCategoricalAccuracy(2, name="top2")

    def build(hp):
        return net(
            optimizer="adam",
            loss=loss,
            loss_weights=[0.5],
            metrics=[metric],
            weighted_metrics=["accuracy"],
            steps_per_execution=2,
        )

    model = prepared(data, build, training={"optimizer": "sgd"}).model
    assert isinstance(model.optimizer, keras.optimizers.SGD)
    assert model.loss is loss
    assert model.steps_per_execution == 2
    y, x = data.train.y, data.train.x
    logs = model.evaluate(x, y, verbose=0, return_dict=True)
    assert set(logs) == {"loss", "top2", "accuracy"}
    chances = np.asarray(model(x))[np.arange(len(y)), y]
    assert logs["loss"] == pytest.approx(0.5 * 3.0 * float(np.mean(-np.log(chances))), rel=1e-4)
    assert metric in model._compile_metrics.metrics


def test_a_saved_model_has_the_optimizer_it_was_given(data, tmp_path):
    model = prepared(data, training={"optimizer": "sgd", "learning_rate": 0.25}).model
    model.train_on_batch(data.train.x[:8], data.train.y[:8])
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    assert isinstance(loaded.optimizer, keras.optimizers.SGD)
    assert rate(loaded) == 0.25


@pytest.mark.parametrize(
    ("compiled", "kept"),
    [
        ("adam", 0.01),  # the default of SGD: Adam's default means nothing
        (lambda: keras.optimizers.Adam(0.03), 0.03),  # set on purpose
    ],
)
def test_a_new_optimizer_takes_over_a_rate_set_on_purpose(data, compiled, kept):
    def build(hp):
        return net(optimizer=compiled if isinstance(compiled, str) else compiled())

    assert rate(prepared(data, build, training={"optimizer": "sgd"}).model) == kept


def test_a_new_optimizer_takes_over_a_schedule(data):
    schedule = keras.optimizers.schedules.ExponentialDecay(0.125, 10, 0.5)
    build = lambda hp: net(optimizer=keras.optimizers.Adam(schedule))  # noqa: E731
    model = prepared(data, build, training={"optimizer": "sgd"}).model
    assert rate(model) == 0.125
    for _ in range(10):
        model.train_on_batch(data.train.x[:4], data.train.y[:4])
    assert rate(model) == 0.0625


def test_the_same_optimizer_is_left_as_it_is(data):
    build = lambda hp: net(optimizer=keras.optimizers.Adam(0.03, clipnorm=1.0))  # noqa: E731
    model = prepared(data, build, training={"optimizer": "adam"}).model
    assert (model.optimizer.clipnorm, float(model.optimizer.learning_rate)) == (1.0, pytest.approx(0.03))


def test_mixed_precision_stays(data):
    def build(hp):
        keras.config.set_dtype_policy("mixed_float16")
        return net(optimizer="adam")

    model = prepared(data, build, training={"optimizer": "sgd", "learning_rate": 0.5}).model
    assert type(model.optimizer).__name__ == "LossScaleOptimizer"
    assert isinstance(model.optimizer.inner_optimizer, keras.optimizers.SGD)
    assert rate(model) == 0.5
    assert keras.config.dtype_policy().name == "float32"


def test_a_global_policy_of_the_user_is_kept(data):
    keras.config.set_dtype_policy("float64")
    try:
        assert prepared(data).model.dtype_policy.name == "float64"
    finally:
        keras.config.set_dtype_policy("float32")


def test_a_model_that_compiles_itself_in_its_own_way(data):
    class Own(keras.Sequential):
        def compile(self, optimizer, mark, **others):
            self.mark = mark
            super().compile(optimizer=optimizer, **others)

    class Pair(keras.Sequential):
        def compile(self, first, second):
            super().compile()

    def own(hp):
        model = Own([keras.Input((4,)), keras.layers.Dense(3, activation="softmax")])
        model.compile("adam", "here", loss="sparse_categorical_crossentropy")
        return model

    def pair(hp):
        model = Pair([keras.Input((4,)), keras.layers.Dense(3)])
        model.compile("adam", "sgd")
        return model

    model = prepared(data, own, training={"optimizer": "sgd"}).model
    assert isinstance(model.optimizer, keras.optimizers.SGD)
    assert model.mark == "here"
    with pytest.raises(ModelError, match=r"`Pair.compile` is the model's own, its optimizer cannot"):
        prepared(data, pair, training={"optimizer": "sgd"})


class OwnFit(keras_tuner.HyperModel):
    def build(self, hp):
        return net(optimizer="adam")

    def fit(self, hp, model, *args, **kwargs):
        return model.fit(*args, batch_size=hp.Choice("batch_size", [16, 48]), **kwargs)


class PassingFit(OwnFit):
    def fit(self, hp, model, x, y, epochs=1, batch_size=None, **kwargs):
        return model.fit(x, y, epochs=epochs, batch_size=batch_size, **kwargs)


def test_a_fit_of_the_users_own_chooses_for_itself(data):
    ready = prepared(data, OwnFit, of(batch_size=48), space={"batch_size": [48], "epochs": [2]})
    assert ready.custom_fit
    assert ready.fit_chooses == {"batch_size"}
    assert ready.batch_size is None
    assert list(ready.hp.values) == ["epochs"]
    ready.hypermodel.fit(ready.hp, ready.model, data.train.x, data.train.y, epochs=1, verbose=0)
    assert ready.hp.values["batch_size"] == 48


def test_a_fit_that_passes_on_what_it_gets(data):
    ready = prepared(data, PassingFit, space={"batch_size": [24, 48]})
    assert (ready.custom_fit, ready.fit_chooses, ready.batch_size) == (True, frozenset(), 32)
    assert prepared(data, PassingFit).batch_size is None
    assert prepared(data, PassingFit, training={"batch_size": 5}).batch_size == 5


def test_training_fixes_what_a_fit_declares(data):
    ready = prepared(data, OwnFit, training={"batch_size": 48})
    ready.hypermodel.fit(ready.hp, ready.model, data.train.x, data.train.y, verbose=0)
    assert ready.hp.values == {"batch_size": 48}


def test_only_a_fit_of_the_users_own_may_leave_the_model_uncompiled(data):
    class Uncompiled(OwnFit):
        def build(self, hp):
            return net()

    assert not prepared(data, Uncompiled).model.compiled
    with pytest.raises(ModelError, match=r"model .*: the model is not compiled; expected `model.compile\("):
        prepared(data, lambda hp: net())


def dropped(hp):
    x = inputs = keras.Input((4,))
    x = keras.layers.Dropout(0.5)(keras.layers.Dense(8)(x))
    model = keras.Model(inputs, keras.layers.Dense(3, activation="softmax")(x))
    model.compile(
        "adam", "sparse_categorical_crossentropy", metrics=[keras.metrics.SparseCategoricalAccuracy()]
    )
    return model


def test_a_trial_depends_on_its_seed_and_on_no_earlier_trial(data):
    def outcome(seed):
        ready = prepared(data, dropped, seed=seed)
        logs = ready.model.train_on_batch(data.train.x[:16], data.train.y[:16], return_dict=True)
        return logs, [layer.name for layer in ready.model.layers], ready.model.get_weights()

    first, other, again = outcome(3), outcome(4), outcome(3)
    assert first[0] == again[0] != other[0]
    assert first[1] == again[1] == other[1]
    assert set(first[0]) == {"loss", "sparse_categorical_accuracy"}
    for left, right in zip(first[2], again[2], strict=True):
        np.testing.assert_array_equal(left, right)


def fails(hp):
    hp.Int("units", 1, 9)
    return net(optimizer="adam").no_such_thing


BROKEN = [
    (fails, {}, "building it failed; received AttributeError: ", "test_prepare.py:"),
    (
        lambda hp: None,
        {},
        "build returned no Keras model; expected a `keras.Model`",
        "nothing (no `return`?)",
    ),
    (lambda hp: 3, {}, "build returned no Keras model", "builtins.int"),
    (lambda hp: hp.Float("a", 2.0, 1.0), {}, "building it failed", "min_value 2.0 is greater"),
    (lambda hp: hp.Choice("a", [None]), {}, "building it failed", "TypeError"),
    (keras_tuner.HyperModel, {}, "building it failed", "needs a method `build(self, hp)`"),
    (lambda hp: keras.layers.Dense(3)(keras.Input(())), {}, "building it failed", "ValueError"),
    (
        plain,
        {"optimizer": "adamm"},
        "Keras has no such optimizer; expected one of adadelta, ",
        "Did you mean `adam`?",
    ),
    (
        lambda hp: net(optimizer=keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(0.1, 9))),
        {"learning_rate": 0.1},
        "the model's optimizer follows a schedule",
        "received CosineDecay",
    ),
]


@pytest.mark.parametrize(
    ("build", "training", "problem", "detail"), BROKEN, ids=[str(i) for i in range(len(BROKEN))]
)
def test_what_is_wrong_is_said(data, build, training, problem, detail):
    with pytest.raises(ModelError) as caught:
        prepared(data, build, training=training)
    assert problem in str(caught.value)
    assert detail in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_refusal_of_the_driver_is_not_blamed_on_the_model(data):
    def gone(parameter):
        raise EOFError("the driver is gone")

    def exhausted(parameter):
        raise SearchError("no more points")

    with pytest.raises(EOFError):
        prepared(data, declares_all, gone)
    with pytest.raises(SearchError, match="no more points"):
        prepared(data, declares_all, exhausted)


def test_out_of_memory_is_not_blamed_on_the_model(data):
    def huge(hp):
        raise MemoryError

    with pytest.raises(MemoryError):
        prepared(data, huge)
