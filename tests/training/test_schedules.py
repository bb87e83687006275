"""Schedules of the learning rate: Keras's own, in epochs, and a callback for plateaus."""

import dataclasses
import math
import zipfile

import keras
import keras_tuner
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras.optimizers import schedules

from hpsearch.datasets import load_data
from hpsearch.errors import ExperimentError, ModelError, ObjectiveError
from hpsearch.experiment import Experiment
from hpsearch.testing.trials import FakeDriver, overlapping, small
from hpsearch.training.prepare import prepare
from hpsearch.training.probe import probe
from hpsearch.training.run import run_trial
from hpsearch.training.schedules import Pace, WarmExponentialDecay, make_schedule, portable
from hpsearch.trial import Probe, Result

PACE = Pace(steps=5, epochs=10)
RATE = 0.5


def made(name, warmup_epochs=0.0, pace=PACE, **arguments):
    return make_schedule(name, arguments, RATE, warmup_epochs, pace)


def rates(schedule, steps):
    return [float(schedule(step)) for step in steps]


KERAS = {
    "cosine": ({}, schedules.CosineDecay(RATE, 50)),
    "cosine for a while": ({"decay_epochs": 4, "alpha": 0.1}, schedules.CosineDecay(RATE, 20, alpha=0.1)),
    "cosine after a warm-up": (
        {"warmup_epochs": 2, "alpha": 0.1},
        schedules.CosineDecay(0.0, 40, alpha=0.1, warmup_target=RATE, warmup_steps=10),
    ),
    "exponential": ({"decay_rate": 0.9}, schedules.ExponentialDecay(RATE, 5, 0.9)),
    "exponential in stairs": (
        {"decay_rate": 0.5, "decay_epochs": 3, "staircase": True},
        schedules.ExponentialDecay(RATE, 15, 0.5, staircase=True),
    ),
    "exponential by default": ({}, schedules.ExponentialDecay(RATE, 50, 0.01)),
    "constant after a warm-up": ({"warmup_epochs": 2.5}, schedules.PolynomialDecay(0.0, 12, RATE)),
}


@pytest.mark.parametrize("name", KERAS)
def test_it_is_kerass(name):
    arguments, wanted = KERAS[name]
    schedule = made(name.split()[0], **arguments)
    assert type(schedule) is type(wanted)
    assert rates(schedule, range(60)) == pytest.approx(rates(wanted, range(60)), rel=1e-5)


def test_constant_and_plateau_leave_the_rate_a_number():
    assert made("constant") is None
    assert made("plateau") is None


@pytest.mark.parametrize("name", ["constant", "exponential", "cosine"])
@settings(max_examples=20, deadline=None)
@given(
    warmup_epochs=st.floats(0.0, 12.0),
    steps=st.integers(1, 50),
    epochs=st.integers(1, 10),
)
def test_a_rate_rises_linearly_and_never_rises_again(name, warmup_epochs, steps, epochs):
    schedule = made(name, warmup_epochs, Pace(steps, epochs))
    if schedule is None:
        return
    warmup = max(1, round(warmup_epochs * steps)) if warmup_epochs else 0
    rising = np.linspace(0, warmup, 5).astype(int)
    if warmup:
        assert rates(schedule, rising) == pytest.approx([RATE * step / warmup for step in rising], rel=1e-4)
    falling = rates(schedule, range(warmup, warmup + 2 * steps * epochs, max(1, steps * epochs // 5)))
    assert falling[0] == pytest.approx(RATE)
    assert falling == sorted(falling, reverse=True)
    if name == "exponential" and warmup_epochs <= epochs - 1:
        assert float(schedule(steps * epochs)) == pytest.approx(RATE * 0.01, rel=0.3)


class TestWarmExponentialDecay:
    schedule = WarmExponentialDecay(RATE, 7, 0.8, warmup_steps=4)

    def test_it_is_kerass_after_its_rise(self):
        wanted = schedules.ExponentialDecay(RATE, 7, 0.8)
        assert rates(self.schedule, range(4, 30)) == pytest.approx(rates(wanted, range(26)), rel=1e-6)
        assert rates(self.schedule.cooled(), range(4, 30)) == pytest.approx(
            rates(wanted, range(26)), rel=1e-5
        )
        assert rates(self.schedule, range(4)) == pytest.approx([0.0, RATE / 4, RATE / 2, 3 * RATE / 4])

    def test_it_survives_being_saved(self):
        again = schedules.deserialize(schedules.serialize(self.schedule))
        assert isinstance(again, WarmExponentialDecay)
        assert again.get_config() == self.schedule.get_config()

    def test_a_saved_model_is_loaded_without_hpsearch(self, tmp_path):
        model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        model.compile(keras.optimizers.Adam(self.schedule), "mse")
        model.train_on_batch(np.ones((2, 2)), np.ones((2, 1)))
        with portable(model):
            model.save(tmp_path / "model.keras")
        assert model.optimizer._learning_rate is self.schedule
        assert b"hpsearch" not in zipfile.ZipFile(tmp_path / "model.keras").read("config.json")
        loaded = keras.models.load_model(tmp_path / "model.keras").optimizer
        assert type(loaded._learning_rate) is schedules.ExponentialDecay
        assert int(loaded.iterations) == 1


def experiment(objective="val_loss", model=small, **training):
    training = {"epochs": 3, "batch_size": 16, **training}
    return Experiment(name="toy", model=model, data=overlapping(), objective=objective, training=training)


def trial(spec, driver, **values):
    result = run_trial(experiment(**values), spec, driver)
    assert isinstance(result, Result), result
    return [epoch.metrics for epoch in driver.epochs]


class TestTraining:
    """72 of the 120 rows train: 5 steps an epoch."""

    def test_the_rate_is_a_metric_of_every_epoch(self, spec, driver):
        epochs = trial(spec, driver, schedule={"name": "exponential", "decay_rate": 0.5}, warmup_epochs=1)
        assert [each["learning_rate"] for each in epochs] == pytest.approx([0.03, 0.015, 0.0075])
        with open(f"{spec.folder}/history.csv") as file:
            assert "learning_rate" in file.readline().strip().split(",")
        loaded = keras.models.load_model(f"{spec.folder}/model.keras")
        assert type(loaded.optimizer._learning_rate) is schedules.ExponentialDecay

    def test_a_constant_one_too_if_it_is_asked_for(self, spec, driver):
        epochs = trial(spec, driver, schedule="constant")
        assert [each["learning_rate"] for each in epochs] == pytest.approx([0.03] * 3)

    def test_not_where_nothing_was_asked_for(self, spec, driver):
        assert "learning_rate" not in trial(spec, driver)[0]

    def test_a_schedule_of_the_models_own(self, spec, driver):
        def build(hp):
            model = small(hp)
            model.compile(keras.optimizers.SGD(schedules.CosineDecay(0.4, 15)), model.loss)
            return model

        epochs = trial(spec, driver, model=build)
        assert [each["learning_rate"] for each in epochs] == pytest.approx([0.3, 0.1, 0.0], abs=1e-7)

    def test_a_plateau_is_of_the_first_objective_in_its_direction(self, spec, driver):
        plateau = {
            "name": "plateau",
            "patience": 1,
            "factor": 0.5,
            "min_delta": 2.0,
        }  # none is so much better
        epochs = trial(spec, driver, objective="val_f1_macro", schedule=plateau, epochs=4)
        rates = [each["learning_rate"] for each in epochs]
        assert rates == pytest.approx([0.03, 0.03, 0.015, 0.0075])
        (callback,) = prepared(objective="val_f1_macro", schedule="plateau").callbacks
        assert (callback.monitor, callback.mode, callback.patience) == ("val_f1_macro", "max", 3)
        assert (callback.factor, callback.min_delta, callback.min_lr) == (0.1, 1e-4, 0.0)
        (callback,) = prepared(
            schedule={"name": "plateau", "monitor": "val_accuracy", "min_lr": 0.1}
        ).callbacks
        assert (callback.monitor, callback.mode, callback.min_lr) == ("val_accuracy", "max", 0.1)
        (callback,) = prepared(
            objective={"metric": "val_accuracy", "direction": "minimize"}, schedule="plateau"
        ).callbacks
        assert callback.mode == "min"

    def test_a_fit_of_the_users_own_gets_them(self, spec, driver):
        class Own(keras_tuner.HyperModel):
            def build(self, hp):
                return small(hp)

            def fit(self, hp, model, *args, **kwargs):
                return model.fit(*args, **kwargs)

        plateau = {"name": "plateau", "patience": 1, "min_delta": 99.0}
        epochs = trial(spec, driver, model=Own, schedule=plateau)
        assert [each["learning_rate"] for each in epochs] == pytest.approx([0.03, 0.03, 0.003])

    def test_a_schedule_over_one_that_the_model_built(self):
        def build(hp):
            model = small(hp)
            model.compile(keras.optimizers.SGD(schedules.CosineDecay(0.4, 15)), model.loss)
            return model

        def plain(hp):
            return build(_Defaults())

        ready = prepared(model=build, schedule="constant")  # `small` declares its learning rate
        assert float(ready.model.optimizer.learning_rate) == pytest.approx(0.03)
        with pytest.raises(
            ModelError, match=r"schedule: the model follows a schedule of its own, .*`learning_r"
        ):
            prepared(model=plain, schedule="cosine")
        with pytest.raises(ModelError, match=r"warmup_epochs: the model's optimizer follows a schedule"):
            prepared(model=plain, warmup_epochs=1)
        ready = prepared(model=plain, schedule="cosine", learning_rate=0.125)
        assert float(ready.model.optimizer.learning_rate) == 0.125


class _Defaults:
    """Hyperparameters that nobody declares."""

    def __getattr__(self, name):
        return lambda *_, default=None, **__: default


def prepared(objective="val_loss", model=small, **training):
    wanted = experiment(objective, model, **training)
    return prepare(wanted, load_data(wanted.data), lambda p: p.default, seed=0, free_memory=False)


def test_the_arguments_of_a_searched_name_are_for_it():
    values = {
        "training": {"epochs": 4, "schedule": {"name": "cosine", "alpha": 0.25}},
        "search": {"space": {"schedule": ["exponential", "cosine"]}},
    }
    wanted = Experiment(name="toy", model=small, data=overlapping(), objective="val_loss", **values)
    data = load_data(wanted.data)
    for name, last in (("cosine", 0.25), ("exponential", 0.01)):
        choose = lambda p, name=name: name if p.name == "schedule" else p.default  # noqa: E731
        model = prepare(wanted, data, choose, seed=0, free_memory=False).model
        schedule = model.optimizer._learning_rate
        assert float(schedule(4 * math.ceil(72 / 32))) == pytest.approx(0.03 * last, rel=1e-4)


WRONG = {
    "unknown": ("cosin", r"training.schedule.name: unknown value; .* Did you mean `cosine`\?"),
    "nameless": ({"alpha": 0.1}, r"training.schedule.name: is missing"),
    "of another": (
        {"name": "cosine", "factor": 0.5},
        r"training.schedule: `cosine` has no argument `factor`; expected one of decay_epochs, alpha; "
        r"received factor=0.5",
    ),
    "of none": (
        {"name": "constant", "alpha": 0.5},
        r"`constant` has no argument `alpha`; expected no arguments",
    ),
    "unknown argument": (
        {"name": "cosine", "alhpa": 0.5},
        r"training.schedule.alhpa: unknown key; .* Did you mean `alpha`",
    ),
    "too large": ({"name": "plateau", "factor": 1.0}, r"training.schedule.factor: too large; .* below 1"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_said_when_the_experiment_is_read(name):
    schedule, message = WRONG[name]
    with pytest.raises(ExperimentError, match=message):
        experiment(schedule=schedule)


def test_a_monitor_that_cannot_be_watched_is_found_by_the_probe(tmp_path):
    def look(**plateau):
        probe(experiment(schedule={"name": "plateau", **plateau}), Probe(str(tmp_path)))

    with pytest.raises(
        ObjectiveError, match=r"schedule.monitor: there is no such metric; .* `val_accuracy`\?"
    ):
        look(monitor="val_acuracy", mode="max")
    with pytest.raises(
        ObjectiveError, match=r"schedule.monitor: whether `score` is better .*expected a `mode`"
    ):
        look(monitor="score")
    look(monitor="loss")


def test_a_driver_that_prunes_keeps_the_schedule(spec):
    driver = FakeDriver(keep=2)
    result = run_trial(experiment(schedule="cosine"), dataclasses.replace(spec, prunable=True), driver)
    assert result.pruned
    loaded = keras.models.load_model(f"{spec.folder}/model.keras")
    assert loaded.optimizer._learning_rate.decay_steps == 15
