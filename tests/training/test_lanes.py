"""Stateful models: rows in order, state carried over within an epoch and never further."""

import keras
import numpy as np
import pytest

from hpsearch.datasets import load_data
from hpsearch.errors import DataError
from hpsearch.experiment import DataSection, Experiment
from hpsearch.testing.trials import FakeDriver
from hpsearch.training.evaluate import evaluate
from hpsearch.training.lanes import arranged, lanes, rows_seen
from hpsearch.training.measure import forward, measure
from hpsearch.training.run import run_trial
from hpsearch.trial import Evaluation, EvaluationResult, Failure, Result, TrialSpec

BATCH = 4


@keras.saving.register_keras_serializable("lanes")
class SumCell(keras.layers.Layer):
    """Adds up what it has seen since its state was reset."""

    state_size = 1
    output_size = 1

    def build(self, shape):
        self.scale = self.add_weight(shape=(), initializer="ones", name="scale")

    def call(self, x, states):
        total = states[0] + x * self.scale
        return total, [total]


def totals(batch=BATCH, steps=2, rate=0.0):
    """A model that returns running sums: a perfect one for data of running sums, with rate 0 for ever."""
    inputs = keras.Input(batch_shape=(batch, steps, 1))
    outputs = keras.layers.RNN(SumCell(), return_sequences=True, stateful=True)(inputs)
    model = keras.Model(inputs, outputs)
    model.compile(keras.optimizers.SGD(rate), "mse", metrics=["mae"])
    return model


def running_sums(rows, batch=BATCH, steps=2):
    """Windows whose target is the sum of everything before, in the same lane."""
    x = np.arange(1, rows * steps + 1, dtype=np.float32).reshape(rows, steps, 1)
    y = np.zeros_like(x)
    order = lanes(rows, batch).reshape(-1, batch)
    for lane in order.T:
        y[lane] = np.cumsum(x[lane].ravel()).reshape(-1, steps, 1)
    return x, y


def sums(train=14, validation=9, test=11):
    parts = [running_sums(rows) for rows in (train, validation, test)]
    return tuple(parts)


def build(hp):
    return totals()


def experiment(**changes):
    given = {"model": build, "data": sums(), "objective": "val_mae", "training": {"epochs": 2}}
    return Experiment(name="stateful", **given | changes)


def test_lanes_are_stretches_of_time_and_batches_are_whole():
    order = lanes(11, BATCH).reshape(-1, BATCH)
    assert order.tolist() == [[0, 2, 4, 6], [1, 3, 5, 7]]


def test_too_few_rows_are_refused():
    with pytest.raises(DataError, match=r"fewer rows than a batch .* expected at least 4 rows; received 3"):
        lanes(3, BATCH)


def test_stateless_models_see_all_rows_as_they_are():
    model = keras.Sequential([keras.Input((2, 1)), keras.layers.LSTM(1)])
    split = load_data(DataSection(name="sums", target=sums())).train
    assert arranged(model, split) is split
    assert rows_seen(model, split).tolist() == list(range(14))


@pytest.mark.parametrize("how", [measure, forward])
def test_each_pass_begins_at_rest_and_ends_so(how):
    model = totals()
    split = arranged(model, load_data(DataSection(name="sums", target=sums())).train)
    model(np.ones((BATCH, 2, 1), np.float32))  # leaves a state behind
    run = how(model, split, 32)
    for _ in range(2):
        outputs = run() if how is forward else run()[1]
        np.testing.assert_allclose(outputs, split.y)
    np.testing.assert_array_equal(model.layers[-1].states[0], np.zeros((BATCH, 1)))


def test_a_trial_trains_validates_and_tests_in_order(tmp_path):
    """Running sums come out exactly, in training too, only if order and resets are right."""
    spec = TrialSpec(0, {}, seed=1, folder=str(tmp_path / "0000"))
    driver = FakeDriver()
    result = run_trial(experiment(), spec, driver)
    assert isinstance(result, Result), result
    for epoch in driver.epochs:
        assert epoch.metrics["loss"] == epoch.metrics["val_loss"] == epoch.metrics["val_rmse"] == 0
        assert epoch.metrics["val_r2"] == 1
    assert result.facts["batch_size"] == BATCH
    tested = evaluate(experiment(), Evaluation(0, str(tmp_path / "0000" / "model.keras"), str(tmp_path)))
    assert isinstance(tested, EvaluationResult), tested
    assert tested.metrics["test_loss"] == tested.metrics["test_rmse"] == 0
    lines = (tmp_path / "test_predictions.csv").read_text().splitlines()[1:]
    assert [int(line.partition(",")[0]) for line in lines] == lanes(11, BATCH).tolist()


def test_a_batch_size_that_the_model_was_not_built_for_is_refused(tmp_path):
    spec = TrialSpec(0, {}, seed=1, folder=str(tmp_path))
    outcome = run_trial(experiment(training={"epochs": 1, "batch_size": 8}), spec, FakeDriver())
    assert isinstance(outcome, Failure)
    assert "stateful and was built for batches of another size; expected 4; received 8" in outcome.cause
