"""Checkpoints beside the best epoch's model."""

import dataclasses
from pathlib import Path

import keras
import keras_tuner
import pytest

from hpsearch.datasets import load_data
from hpsearch.testing.trials import FakeDriver, small
from hpsearch.training.run import run_trial
from hpsearch.trial import Result


def kept(spec):
    return sorted(path.name for path in (Path(spec.folder) / "checkpoints").iterdir())


def loss_of(file, experiment):
    validation = load_data(experiment.data).validation
    return keras.saving.load_model(file).evaluate(validation.x, validation.y, batch_size=16, verbose=0)[0]


def test_the_last_and_every_second(make_experiment, spec, driver):
    folder = Path(spec.folder)
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "checkpoints" / "epoch-0099.keras").write_text("of an earlier run")
    experiment = make_experiment(epochs=5, checkpoints={"last": True, "every": 2})
    result = run_trial(experiment, spec, driver)
    assert isinstance(result, Result), result
    assert kept(spec) == ["epoch-0002.keras", "epoch-0004.keras", "last.keras"]
    assert not [name for name in result.files if "checkpoint" in name or "last" in name]
    for name, number in (("epoch-0002", 2), ("epoch-0004", 4), ("last", 5)):
        loss = loss_of(folder / "checkpoints" / f"{name}.keras", experiment)
        assert loss == pytest.approx(driver.epochs[number - 1].metrics["val_loss"], rel=1e-5)
    best = loss_of(folder / "model.keras", experiment)
    assert best == pytest.approx(result.metrics["val_loss"], rel=1e-5)


def test_nothing_is_kept_unless_asked_for(make_experiment, spec, driver):
    assert isinstance(run_trial(make_experiment(epochs=1), spec, driver), Result)
    assert not (Path(spec.folder) / "checkpoints").exists()


def test_the_epoch_that_ends_a_pruned_trial(make_experiment, spec):
    driver = FakeDriver(keep=2)
    experiment = make_experiment(epochs=5, checkpoints={"last": True, "every": 1})
    result = run_trial(experiment, dataclasses.replace(spec, prunable=True), driver)
    assert isinstance(result, Result), result
    assert result.pruned
    assert kept(spec) == ["epoch-0001.keras", "epoch-0002.keras", "last.keras"]


def test_a_loop_of_the_users_own(make_experiment, spec, driver):
    class Loop(keras_tuner.HyperModel):
        def build(self, hp):
            return small(hp)

        def fit(self, hp, model, x, y, callbacks, **kwargs):
            for epoch in range(3):
                callbacks[0].on_epoch_end(epoch, model.train_on_batch(x, y, return_dict=True))

    experiment = make_experiment(Loop(), objective="val_loss", checkpoints={"every": 3})
    result = run_trial(experiment, spec, driver)
    assert isinstance(result, Result), result
    assert kept(spec) == ["epoch-0003.keras"]
