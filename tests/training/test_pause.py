"""A trial that pauses and goes on, leg by leg, ends with the bits of one trained straight through."""

import keras
import keras_tuner
import numpy as np
import pytest
from keras import layers

from hpsearch.experiment import Experiment
from hpsearch.testing.trials import FakeDriver, overlapping
from hpsearch.training.run import run_trial
from hpsearch.training.state import FILE
from hpsearch.trial import Result, TrialSpec

PLATEAU = {"name": "plateau", "patience": 1, "factor": 0.5}


def compiled(*parts):
    model = keras.Sequential([*parts, layers.Dense(3, "softmax")])
    model.compile(keras.optimizers.Adam(0.03), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def mlp(hp):
    units = hp.Int("units", 4, 8, default=6)
    return compiled(keras.Input((4,)), layers.Dense(units), layers.BatchNormalization(), layers.Dropout(0.3))


def cnn(hp):
    return compiled(
        keras.Input((4,)),
        layers.Reshape((2, 2, 1)),
        layers.Conv2D(4, 2),
        layers.Flatten(),
        layers.Dropout(0.3),
    )


class OwnFit(keras_tuner.HyperModel):
    """Trains in a `fit` of its own, of which no state is kept."""

    def build(self, hp):
        return mlp(hp)

    def fit(self, hp, model, *args, **kwargs):
        return model.fit(*args, **kwargs)


def trial(folder, model=mlp, pause_after=None, objective="val_loss", **training):
    experiment = Experiment(
        name="pause",
        model=model,
        data=overlapping(60),
        objective=objective,
        training={"epochs": 6, "batch_size": 16, "deterministic": True, **training},
    )
    driver = FakeDriver()
    spec = TrialSpec(0, {"units": 6}, seed=5, folder=str(folder), pause_after=pause_after)
    outcome = run_trial(experiment, spec, driver)
    assert isinstance(outcome, Result), outcome
    return outcome, driver


def weights(folder):
    return keras.models.load_model(folder / "model.keras", compile=False).get_weights()


@pytest.mark.parametrize(
    ("model", "training"),
    [
        (mlp, {}),
        (cnn, {}),
        (
            mlp,
            {
                "schedule": {"name": "plateau", "patience": 1, "factor": 0.5},
                "early_stopping": {"patience": 4},
            },
        ),
    ],
)
def test_three_legs_end_with_the_bits_of_one(tmp_path, model, training):
    whole, driver = trial(tmp_path / "whole", model, **training)
    for until in (1, 3):
        paused, _ = trial(tmp_path / "legs", model, until, **training)
        assert (paused.paused, paused.epochs) == (True, until)
        assert set(paused.files) == {"params.json", "history.csv"}
        assert (tmp_path / "legs" / FILE).exists()  # at once, whatever `state_every_s` says
    result, again = trial(tmp_path / "legs", model, 9, **training)

    assert not result.paused
    assert (result.metrics, result.epochs) == (whole.metrics, whole.epochs)
    assert [each.metrics for each in again.epochs] == [each.metrics for each in driver.epochs]
    pairs = zip(weights(tmp_path / "legs"), weights(tmp_path / "whole"), strict=True)
    assert all(np.array_equal(one, other) for one, other in pairs)
    assert not list((tmp_path / "legs").glob("state*"))


def test_a_leg_that_was_finished_is_not_trained_again(tmp_path, monkeypatch):
    first, _ = trial(tmp_path, pause_after=2)
    trained = []
    monkeypatch.setattr("hpsearch.training.feed.Turn.on_epoch_begin", lambda *_, **__: trained.append(1))
    again, driver = trial(tmp_path, pause_after=2)
    assert again.paused
    assert not trained
    assert again.metrics == first.metrics
    assert [each.number for each in driver.epochs] == [1, 2]


def test_a_trial_that_stops_early_does_not_pause(tmp_path):
    result, _ = trial(tmp_path, pause_after=2, early_stopping={"patience": 1, "min_delta": 10.0})
    assert (result.paused, result.epochs) == (False, 2)
    assert "model.keras" in result.files


class LateFit(OwnFit):
    """Reports one of its objectives when it has ended, and no sooner."""

    def fit(self, hp, model, *args, **kwargs):
        model.fit(*args, **kwargs)
        return {"late": 1.0}


def test_a_users_own_fit_does_not_pause_before_it_has_reported_its_objectives(tmp_path):
    late = [{"metric": "val_loss"}, {"metric": "late", "direction": "maximize"}]
    result, _ = trial(tmp_path, LateFit(), 2, objective=late)
    assert (result.paused, result.epochs, result.metrics["late"]) == (False, 6, 1.0)


def test_a_users_own_fit_pauses_and_begins_anew(tmp_path):
    paused, driver = trial(tmp_path, OwnFit(), 2)
    assert (paused.paused, paused.epochs) == (True, 2)
    assert not (tmp_path / FILE).exists()
    result, again = trial(tmp_path, OwnFit(), 9)
    assert (result.paused, result.epochs) == (False, 6)
    assert [e.metrics for e in again.epochs[:2]] == [e.metrics for e in driver.epochs]
