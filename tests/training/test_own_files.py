"""What a model adds of its own: files by `after_fit`, metrics by `test_metrics`.

And the test rows of targets too wide for a table.
"""

import csv

import keras
import keras_tuner
import numpy as np
import pytest

from hpsearch.datasets import load_data
from hpsearch.testing.trials import small
from hpsearch.training.evaluate import NUMBERS_SHOWN, evaluate
from hpsearch.training.run import run_trial
from hpsearch.trial import Evaluation, EvaluationResult, Result


class Leaving(keras_tuner.HyperModel):
    """Leaves the prediction of a row, by which the weights are known."""

    def build(self, hp):
        return small(hp)

    def after_fit(self, model, data, folder):
        np.save(folder / "row.npy", model(data.validation.x[:1]))
        return ["row.npy"]


class Failing(Leaving):
    def after_fit(self, model, data, folder):
        raise OSError("no space")


def test_after_fit_sees_the_best_weights_and_its_files_are_the_trials(make_experiment, spec, driver):
    experiment = make_experiment(model=Leaving(), epochs=4)
    result = run_trial(experiment, spec, driver)
    assert isinstance(result, Result), result
    assert "row.npy" in result.files
    model = keras.models.load_model(f"{spec.folder}/model.keras")
    rows = load_data(experiment.data).validation.x[:1]
    np.testing.assert_allclose(np.load(f"{spec.folder}/row.npy"), model(rows), atol=1e-6)


def test_a_trial_does_not_fail_for_them(make_experiment, spec, driver, capsys):
    result = run_trial(make_experiment(model=Failing()), spec, driver)
    assert isinstance(result, Result), result
    assert "row.npy" not in result.files
    assert "after_fit failed: OSError: no space" in capsys.readouterr().err


class Measuring(Leaving):
    def test_metrics(self, model, data):
        return {"first": model(data.test.x[:1])[0, 0]}


class Unmeasured(Leaving):
    def test_metrics(self, model, data):
        raise ValueError("too few rows")


@pytest.mark.parametrize("hypermodel", [Measuring(), Unmeasured()], ids=["measured", "failing"])
def test_test_metrics_are_recorded_with_the_others(make_experiment, spec, driver, capsys, hypermodel):
    experiment = make_experiment(model=hypermodel)
    assert isinstance(run_trial(experiment, spec, driver), Result)
    file = f"{spec.folder}/model.keras"
    result = evaluate(experiment, Evaluation(0, file, spec.folder))
    assert isinstance(result, EvaluationResult), result
    assert "test_accuracy" in result.metrics
    if isinstance(hypermodel, Measuring):
        row = load_data(experiment.data).test.x[:1]
        expected = keras.models.load_model(file)(row)[0, 0]
        assert result.metrics["test_first"] == pytest.approx(float(expected), abs=1e-6)
    else:
        assert "test_first" not in result.metrics
        assert "test_metrics failed: ValueError: too few rows" in capsys.readouterr().err


@pytest.mark.parametrize(("numbers", "columns"), [(2, ["row", "truth", "prediction"]), (99, ["row", "rmse"])])
def test_wide_targets_leave_an_error_a_row(make_experiment, tmp_path, numbers, columns):
    assert 2 < NUMBERS_SHOWN < 99
    x = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
    y = np.tile(x.sum(axis=1, keepdims=True), numbers)

    def build(hp):
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(numbers, kernel_initializer="zeros")])
        model.compile(loss="mean_squared_error")
        return model

    file = tmp_path / "model.keras"
    build(None).save(file)
    experiment = make_experiment(model=build, data=(x, y), objective="val_rmse")
    result = evaluate(experiment, Evaluation(0, str(file), str(tmp_path)))
    assert isinstance(result, EvaluationResult), result
    with open(tmp_path / "test_predictions.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert list(rows[0]) == columns
    if numbers == 99:
        errors = np.array([float(row["rmse"]) for row in rows])
        assert np.sqrt((errors**2).mean()) == pytest.approx(result.metrics["test_rmse"], rel=1e-4)
