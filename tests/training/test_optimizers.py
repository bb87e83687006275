"""The optimizer a trial is given is the one that Keras makes of the same words."""

import keras
import numpy as np
import pytest

from hpsearch.errors import ExperimentError, ModelError
from hpsearch.experiment import Experiment
from hpsearch.testing.data import tiny_classification
from hpsearch.training.hyperparameters import at_defaults
from hpsearch.training.optimizers import set_rate
from hpsearch.training.prepare import prepare

BATCH = 16


def built():
    return keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(5, activation="relu"),
            keras.layers.Dense(3, activation="softmax"),
        ]
    )


def by_hand(optimizer):
    keras.utils.set_random_seed(0)
    model = built()
    model.compile(optimizer, "sparse_categorical_crossentropy", run_eagerly=True)
    return model


@pytest.fixture(scope="module")
def data():
    return tiny_classification()


def prepared(data, own="sgd", /, *, build=None, **training):
    """Prepares a model that compiles with the optimizer `own`, or that `own` makes."""

    def compiled(hp):
        model = built()
        model.compile(own() if callable(own) else own, "sparse_categorical_crossentropy", run_eagerly=True)
        return model

    experiment = Experiment(
        name="toy",
        model=build or compiled,
        data=(np.zeros((10, 4)), np.zeros(10)),
        objective="val_loss",
        training={"batch_size": BATCH, **training},
    )
    return prepare(experiment, data, at_defaults, seed=0, free_memory=False)


def same_training(data, one, two, epochs=2):
    """Whether two models become the same by training on the same batches."""
    for model in (one, two):
        model.fit(data.train.x, data.train.y, batch_size=BATCH, epochs=epochs, shuffle=False, verbose=0)
    for left, right in zip(one.get_weights(), two.get_weights(), strict=True):
        np.testing.assert_array_equal(left, right)


OPTIMIZERS = {
    "adam": keras.optimizers.Adam,
    "adamw": keras.optimizers.AdamW,
    "sgd": keras.optimizers.SGD,
    "rmsprop": keras.optimizers.RMSprop,
    "nadam": keras.optimizers.Nadam,
    "adagrad": keras.optimizers.Adagrad,
    "adadelta": keras.optimizers.Adadelta,
    "adamax": keras.optimizers.Adamax,
    "ftrl": keras.optimizers.Ftrl,
    "lion": keras.optimizers.Lion,
    "adafactor": keras.optimizers.Adafactor,
    "lamb": keras.optimizers.Lamb,
    "muon": keras.optimizers.Muon,
    "ScheduleFreeAdamW": keras.optimizers.ScheduleFreeAdamW,
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_of_keras_by_its_name(data, name):
    common = {"learning_rate": 0.02, "weight_decay": 0.01}
    ready = prepared(data, "rmsprop", optimizer=name, clip_norm=0.5, **common)
    optimizer = ready.model.optimizer
    assert type(optimizer) is OPTIMIZERS[name]
    wanted = OPTIMIZERS[name](**common, global_clipnorm=0.5)
    left, right = optimizer.get_config(), wanted.get_config()
    assert {**left, "name": ""} == {**right, "name": ""}


ALIKE = {
    "nesterov": (
        {"optimizer": {"name": "sgd", "nesterov": True, "momentum": 0.9, "learning_rate": 0.1}},
        lambda: keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True),
    ),
    "momentum of the model's": ({"momentum": 0.9}, lambda: keras.optimizers.SGD(momentum=0.9)),
    "rmsprop with momentum": (
        {"optimizer": "rmsprop", "momentum": 0.5},
        lambda: keras.optimizers.RMSprop(momentum=0.5),
    ),
    "weight decay": ({"weight_decay": 0.1}, lambda: keras.optimizers.SGD(weight_decay=0.1)),
    "clip norm": ({"clip_norm": 0.01}, lambda: keras.optimizers.SGD(global_clipnorm=0.01)),
    "clip value": ({"clip_value": 0.01}, lambda: keras.optimizers.SGD(clipvalue=0.01)),
    "averaged": (
        {"optimizer": {"name": "adam", "use_ema": True, "ema_momentum": 0.5}},
        lambda: keras.optimizers.Adam(use_ema=True, ema_momentum=0.5),
    ),
    "gradients of two steps together": (
        {"optimizer": {"name": "adam", "gradient_accumulation_steps": 2}},
        lambda: keras.optimizers.Adam(gradient_accumulation_steps=2),
    ),
    "lamb": ({"optimizer": "lamb", "weight_decay": 0.1}, lambda: keras.optimizers.Lamb(weight_decay=0.1)),
}


@pytest.mark.parametrize("name", ALIKE)
def test_it_trains_as_if_compiled_by_hand(data, name):
    training, optimizer = ALIKE[name]
    same_training(data, prepared(data, **training).model, by_hand(optimizer()))


def test_arguments_that_are_settings_become_them():
    def training(**values):
        return Experiment(
            name="toy", model="mlp", data="digits", objective="val_loss", training=values
        ).training

    keras_names = {"learning_rate": 0.1, "weight_decay": 0.2, "global_clipnorm": 3.0}
    given = training(optimizer={"name": "sgd", **keras_names, "nesterov": True, "momentum": 0.5})
    assert given.optimizer == {"name": "sgd", "nesterov": True}
    assert (given.learning_rate, given.weight_decay, given.clip_norm, given.momentum) == (0.1, 0.2, 3.0, 0.5)
    assert training(optimizer={"name": "sgd", "clipvalue": 1.0}).optimizer == "sgd"
    with pytest.raises(
        ExperimentError, match=r"training: `momentum` is given twice; .*momentum=0.1, optimizer"
    ):
        training(optimizer={"name": "sgd", "momentum": 0.5}, momentum=0.1)
    with pytest.raises(ExperimentError, match=r"training.learning_rate: must be positive"):
        training(optimizer={"name": "sgd", "learning_rate": 0})


def test_a_setting_leaves_the_rest_of_the_models_optimizer(data):
    def optimizer():
        made = keras.optimizers.AdamW(0.03, beta_1=0.8, weight_decay=0.5, clipnorm=1.0)
        made.exclude_from_weight_decay(var_names=["kernel", "bias"])
        return made

    model = prepared(data, optimizer, weight_decay=0.9).model
    assert (model.optimizer.beta_1, model.optimizer.clipnorm) == (0.8, 1.0)
    without = by_hand(keras.optimizers.Adam(0.03, beta_1=0.8, clipnorm=1.0))
    same_training(data, model, without)  # what is excluded stays excluded
    clipped = prepared(data, optimizer, clip_value=0.5).model.optimizer
    assert (clipped.clipnorm, clipped.global_clipnorm, clipped.clipvalue) == (None, None, 0.5)


def test_arguments_make_the_optimizer_anew_with_the_rate_set_on_purpose(data):
    optimizer = prepared(
        data, lambda: keras.optimizers.Adam(0.03, beta_2=0.5), optimizer={"name": "adam", "beta_1": 0.7}
    ).model.optimizer
    assert (optimizer.beta_1, optimizer.beta_2) == (0.7, 0.999)
    assert float(optimizer.learning_rate) == pytest.approx(0.03)


def several():
    return keras.optimizers.MultiOptimizer({"default": keras.optimizers.Adam(), "x": keras.optimizers.SGD()})


def test_one_takes_the_place_of_several(data):
    optimizer = prepared(data, several, optimizer="adam", weight_decay=0.1).model.optimizer
    assert (type(optimizer), optimizer.weight_decay) == (keras.optimizers.Adam, 0.1)
    assert float(optimizer.learning_rate) == pytest.approx(1e-3)


def test_of_a_model_that_declares_its_optimizer(data):
    def build(hp):
        model = built()
        model.compile(keras.optimizers.get(hp.Choice("optimizer", ["adam", "sgd"])), "mse")
        return model

    ready = prepared(data, build=build, optimizer={"name": "SGD", "nesterov": True, "momentum": 0.5})
    assert ready.hp.values == {"optimizer": "SGD"}
    assert (ready.model.optimizer.nesterov, ready.model.optimizer.momentum) == (True, 0.5)
    assert isinstance(prepared(data, build=build, optimizer="lamb").model.optimizer, keras.optimizers.Lamb)


def test_one_of_the_users_own(data):
    @keras.saving.register_keras_serializable("toy")
    class Halved(keras.optimizers.SGD):
        pass

    assert isinstance(prepared(data, optimizer="toy>Halved", momentum=0.5).model.optimizer, Halved)
    del keras.saving.get_custom_objects()["toy>Halved"]


class Pretrained:
    """A model that comes with a used optimizer."""

    def __init__(self, optimizer):
        self.optimizer = optimizer

    def __call__(self, hp):
        model = built()
        model.compile(self.optimizer, "sparse_categorical_crossentropy")
        model.train_on_batch(np.ones((4, 4)), np.ones(4))
        return model


BROKEN = {
    "an unknown argument": (
        {"optimizer": {"name": "sgd", "nestorov": True}},
        "optimizer.nestorov: `sgd` has no such argument; expected one of learning_rate, momentum, nesterov, ",
        "received True. Did you mean `nesterov`?",
    ),
    "a wrong argument": (
        {"optimizer": {"name": "lion", "beta_1": 2.0}},
        "optimizer: `lion` refuses its arguments; received ValueError: ",
        "`beta_1` must be in the [0, 1] range",
    ),
    "clipping twice": (
        {"optimizer": {"name": "sgd", "clipnorm": 1.0, "clipvalue": 1.0}, "clip_norm": 2.0},
        "clip_value: Keras clips in one way only",
        "clip_norm=2, clip_value=1",
    ),
    "no optimizer": (
        {"optimizer": "multioptimizer"},
        "Keras has no such optimizer",
        "received multioptimizer",
    ),
    "momentum of a used optimizer": (
        {"build": Pretrained("sgd"), "momentum": 0.5},
        "momentum: the model's optimizer was used already",
        "an optimizer after 1 steps. Compile the model anew",
    ),
    "a rate for a used optimizer with a schedule": (
        {
            "build": Pretrained(keras.optimizers.SGD(keras.optimizers.schedules.CosineDecay(0.1, 9))),
            "schedule": "constant",
            "learning_rate": 0.5,
        },
        "learning_rate: the model's optimizer was used already",
        "",
    ),
    "several optimizers": (
        {
            "own": several,
            "weight_decay": 0.1,
        },
        "optimizer: the model compiles with several",
        "Name an `optimizer`",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_wrong_is_said(data, name):
    training, problem, detail = BROKEN[name]
    training = {**training}
    with pytest.raises(ModelError) as caught:
        prepared(data, training.pop("own", "sgd"), **training)
    assert problem in str(caught.value)
    assert detail in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_number_takes_the_place_of_a_schedule(data, tmp_path):
    """Keras's own setter refuses it."""
    schedule = keras.optimizers.schedules.CosineDecay(0.5, 2)
    model = by_hand(keras.optimizers.Adam(schedule))
    set_rate(model.optimizer, 0.25)
    same_training(data, model, by_hand(keras.optimizers.Adam(0.25)))
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    assert float(loaded.optimizer.learning_rate) == 0.25
    for left, right in zip(model.optimizer.variables, loaded.optimizer.variables, strict=True):
        np.testing.assert_array_equal(left, right)
