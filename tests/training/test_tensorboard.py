"""TensorBoard's logs hold what the driver hears."""

import dataclasses
from pathlib import Path

import keras_tuner
import pytest
import tensorflow as tf

from hpsearch.testing.trials import FakeDriver, small
from hpsearch.training.run import run_trial
from hpsearch.trial import Failure, FailureKind, Result


def logged(spec, part):
    """Returns the epochs' metrics, `{epoch: {name: value}}`, of the training or the validation rows."""
    found = {}
    files = (Path(spec.folder) / "tensorboard" / part).glob("events*")
    for file in sorted(files, key=_count):
        for event in tf.compat.v1.train.summary_iterator(str(file)):
            for value in event.summary.value:
                if value.tag.startswith("epoch_"):
                    number = float(tf.make_ndarray(value.tensor))
                    found.setdefault(event.step, {})[value.tag.removeprefix("epoch_")] = number
    return found


def _count(file):
    """Orders files of the same second: `events.out.tfevents.<second>.<host>.<process>.<count>.v2`."""
    return [int(word) for word in file.name.split(".") if word.isdigit()]


def is_what_was_heard(spec, epochs):
    train, validation = logged(spec, "train"), logged(spec, "validation")
    assert len(train) == len(validation) == len(epochs)
    for epoch in epochs:
        both = dict(train[epoch.number - 1])
        both |= {f"val_{name}": value for name, value in validation[epoch.number - 1].items()}
        assert {name: both.get(name) for name in epoch.metrics} == pytest.approx(epoch.metrics, rel=1e-5)


def test_it_holds_all_metrics_of_all_epochs(make_experiment, spec, driver):
    old = Path(spec.folder) / "tensorboard" / "train" / "events.of.an.earlier.run"
    old.parent.mkdir(parents=True)
    old.write_text("")
    result = run_trial(make_experiment(epochs=2, tensorboard=True), spec, driver)
    assert isinstance(result, Result), result
    assert not old.exists()
    assert "val_f1_macro" in driver.epochs[0].metrics
    is_what_was_heard(spec, driver.epochs)
    assert not [name for name in result.files if "tensorboard" in name or "events" in name]


def test_of_a_trial_that_is_pruned(make_experiment, spec):
    driver = FakeDriver(keep=2)
    experiment = make_experiment(epochs=4, tensorboard=True)
    assert run_trial(experiment, dataclasses.replace(spec, prunable=True), driver).pruned
    assert len(driver.epochs) == 2
    is_what_was_heard(spec, driver.epochs)


def test_of_a_trial_that_fails(make_experiment, spec, driver):
    experiment = make_experiment(epochs=9, learning_rate=1e30, tensorboard=True)
    failure = run_trial(experiment, spec, driver)
    assert isinstance(failure, Failure)
    assert failure.kind is FailureKind.NAN
    is_what_was_heard(spec, driver.epochs)


class Loop(keras_tuner.HyperModel):
    def build(self, hp):
        return small(hp)

    def fit(self, hp, model, x, y, callbacks, **kwargs):
        for epoch in range(2):
            logs = model.train_on_batch(x, y, return_dict=True)
            for callback in callbacks:
                callback.on_epoch_end(epoch, logs)


class Twice(Loop):
    def fit(self, hp, model, x, y, validation_data, callbacks, **kwargs):
        for _ in range(2):
            model.fit(x, y, validation_data=validation_data, callbacks=callbacks, verbose=0)


@pytest.mark.parametrize("model", [Loop, Twice])
def test_of_a_fit_of_the_users_own(model, make_experiment, spec, driver):
    result = run_trial(make_experiment(model(), objective="val_loss", tensorboard=True), spec, driver)
    assert isinstance(result, Result), result
    assert len(driver.epochs) == 2
    last = logged(spec, "validation")[1 if model is Loop else 0]
    assert last["f1_macro"] == pytest.approx(driver.epochs[-1].metrics["val_f1_macro"], rel=1e-5)
