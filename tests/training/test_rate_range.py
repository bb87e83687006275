"""The range test in a worker: real models, one of which diverges above a rate that is known."""

from __future__ import annotations

import keras
import keras_tuner
import numpy as np
import pytest
from matplotlib import image

from hpsearch.experiment import Experiment
from hpsearch.testing.trials import FakeDriver, overlapping, small
from hpsearch.training.rate_range import find_rates
from hpsearch.trial import Failure, FailureKind, RateRange, RateRangeResult

RNG = np.random.default_rng(0)
X = RNG.normal(size=(200, 3)).astype(np.float32)
AMOUNTS = X @ np.array([1.0, -2.0, 0.5], np.float32) + 5


def outcome_of(
    model, *, data=(X, AMOUNTS), steps=60, low=1e-4, high=10.0, picture=None, driver=None, **values
):
    experiment = Experiment(name="rates", model=model, data=data, objective="val_loss", **values)
    return find_rates(experiment, RateRange(low, high, steps, picture), driver or FakeDriver())


def found(model, **options) -> RateRangeResult:
    result = outcome_of(model, **options)
    assert isinstance(result, RateRangeResult), result
    return result


def refused(model, **options) -> Failure:
    result = outcome_of(model, **options)
    assert isinstance(result, Failure)
    assert result.usage
    return result


def line(hp, optimizer=None, **compiled):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile(optimizer or keras.optimizers.SGD(0.1), "mean_squared_error", **compiled)
    return model


def test_a_line_that_gradient_descent_fits(tmp_path):
    """Its loss is a parabola, on which gradient descent diverges above 2 / largest curvature."""
    columns = np.hstack([X, np.ones((200, 1))])
    last = 2 / np.linalg.eigvalsh(2 * columns.T @ columns / 200).max()
    driver = FakeDriver()
    result = found(line, driver=driver, picture=str(tmp_path / "rates.png"))
    assert 1e-3 < result.suggestion < last
    assert last / 10 < result.high < 1.5 * last
    assert result.suggestion / 4 < result.low < result.suggestion <= result.high
    assert 30 < len(result.rates) < 60  # it ran away
    np.testing.assert_allclose(result.rates, np.geomspace(1e-4, 10, 60)[: len(result.rates)])
    assert len(result.losses) == len(result.smoothed) == len(result.rates)
    assert (result.optimizer, result.batch_size, result.notes) == ("sgd", 32, ())
    assert [epoch.number for epoch in driver.epochs] == list(range(1, len(result.rates) + 1))
    assert [epoch.metrics["loss"] for epoch in driver.epochs] == list(result.losses)
    assert image.imread(tmp_path / "rates.png").shape[2] == 4


def test_the_same_numbers_again():
    options = {"data": overlapping(), "steps": 30, "search": {"seed": 3}}
    assert found(small, **options) == found(small, **options)
    assert found(small, **options | {"search": {"seed": 4}}).losses != found(small, **options).losses


def decaying(hp):
    schedule = keras.optimizers.schedules.ExponentialDecay(0.1, 1, 0.01)  # nothing is learned after 2 steps
    return line(hp, keras.optimizers.SGD(schedule))


def test_a_schedule_is_replaced():
    np.testing.assert_allclose(found(decaying).losses, found(line).losses, rtol=1e-4)


def scaled(hp):
    return line(hp, keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.1)))


def several_steps(hp):
    return line(hp, steps_per_execution=4)


@pytest.mark.parametrize("model", [scaled, several_steps])
def test_what_wraps_an_optimizer_or_a_step(model):
    np.testing.assert_allclose(found(model).losses, found(line).losses, rtol=1e-3)


def widths(hp):
    assert hp.Choice("units", [2, 8]) == 8
    return line(hp)


def test_the_point_is_the_default_of_the_overridden_space():
    space = {"units": [8], "batch_size": [50], "optimizer": ["adam"]}
    result = found(widths, search={"space": space}, steps=30)
    assert (result.optimizer, result.batch_size) == ("adam", 50)


def several(hp):
    return line(hp, keras.optimizers.MultiOptimizer({"default": keras.optimizers.SGD()}))


def test_a_rate_is_of_one_optimizer():
    assert "the model compiles with several" in refused(several, steps=30).cause


class OwnFit(keras_tuner.HyperModel):
    def build(self, hp):
        return line(hp)

    def fit(self, hp, model, *args, **kwargs):
        raise NotImplementedError


class Uncompiled(OwnFit):
    def build(self, hp):
        return keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])


def test_the_users_fit_is_not_used():
    result = found(OwnFit, steps=30)
    assert result.notes[0] == "The model's own `HyperModel.fit` was not used."
    failure = refused(Uncompiled, steps=30)
    assert failure.kind is FailureKind.BUILD
    assert "only its own `HyperModel.fit` can train it; expected `model.compile(" in failure.cause


class Silent(keras.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.out = keras.layers.Dense(1)

    def call(self, x):
        return self.out(x)

    def train_step(self, data):
        super().train_step(data)
        return {"score": 1.0}


def silent(hp):
    model = Silent()
    model.compile("sgd", "mean_squared_error")
    return model


def test_a_step_without_a_loss_is_refused():
    cause = refused(silent, steps=30).cause
    assert cause.startswith("Silent.train_step: reports no loss")
    assert "received score" in cause


def hopeless(hp):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, trainable=False)])
    model.compile("sgd", "mean_squared_error")
    return model


def endless(hp):
    model = line(hp)
    model.compile("sgd", lambda y, prediction: keras.ops.mean(prediction) / 0.0)
    return model


def test_a_loss_that_does_not_fall_or_is_no_number_suggests_nothing(tmp_path):
    picture = tmp_path / "rates.png"
    result = found(hopeless, picture=str(picture))
    assert (result.suggestion, result.low, result.high) == (None, None, None)
    assert "does not fall" in result.notes[0]
    assert picture.exists()  # there is a curve to look at all the same
    result = found(line, low=1e3, high=1e9, steps=30)
    assert result.suggestion is None
    assert "ran away after" in result.notes[0]
    picture = tmp_path / "none.png"
    result = found(endless, picture=str(picture))
    assert (result.rates, result.suggestion, result.picture) == ((), None, None)
    assert not picture.exists()


def test_fewer_rows_than_a_batch_are_one_batch():
    assert len(found(line, data=(X[:20], AMOUNTS[:20]), steps=30).rates) > 15


def counting(hp):
    shape = (hp.Fixed("batch_size", 8), 6, 1)
    model = keras.Sequential(
        [keras.Input(batch_shape=shape), keras.layers.SimpleRNN(4, stateful=True), keras.layers.Dense(1)]
    )
    model.compile("sgd", "mean_squared_error")
    return model


def test_a_stateful_model_sees_its_batches():
    data = {"name": "sine", "options": {"length": 200, "steps": 6}}
    result = found(counting, data=data, steps=30)
    assert result.batch_size == 8
