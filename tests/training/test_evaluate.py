from __future__ import annotations

import csv
from pathlib import Path

import keras
import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score

from hpsearch.datasets import load_data
from hpsearch.datasets.data import Split
from hpsearch.testing.trials import FakeDriver, overlapping, small
from hpsearch.training.evaluate import evaluate
from hpsearch.training.run import run_trial
from hpsearch.training.samples import samples_of
from hpsearch.trial import Evaluation, EvaluationResult, Failure, FailureKind, Result, TrialSpec


def trained(experiment, folder: Path) -> Evaluation:
    result = run_trial(experiment, TrialSpec(0, {}, 1, str(folder)), FakeDriver())
    assert isinstance(result, Result), result
    return Evaluation(0, str(folder / "model.keras"), str(folder / "test"))


@pytest.fixture(scope="module")
def evaluated(make_experiment, tmp_path_factory):
    experiment = make_experiment(epochs=2)
    job = trained(experiment, tmp_path_factory.mktemp("evaluation"))
    result = evaluate(experiment, job)
    assert isinstance(result, EvaluationResult), result
    return job, result, load_data(experiment.data)


def test_metrics_are_of_the_test_rows(evaluated):
    job, result, data = evaluated
    predicted = keras.saving.load_model(job.model).predict(data.test.x, verbose=0).argmax(axis=1)
    assert result.metrics["test_accuracy"] == pytest.approx(accuracy_score(data.test.y, predicted))
    assert result.metrics["test_f1_macro"] == pytest.approx(f1_score(data.test.y, predicted, average="macro"))
    assert "test_loss" in result.metrics
    assert all(name.startswith("test_") for name in result.metrics)


def test_files(evaluated):
    job, result, data = evaluated
    expected = {"test_predictions.csv", "test_confusion_matrix.png", "test_mistakes.json", "samples.npz"}
    assert set(result.files) == expected
    of_exports = {"truth.npz", "calibration.npz"}
    assert {path.name for path in Path(job.folder).iterdir()} == expected | of_exports
    with open(Path(job.folder) / "test_predictions.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["row"]) for row in rows] == list(range(len(data.test)))
    assert [row["truth"] for row in rows] == [data.class_names[number] for number in data.test.y]
    hits = np.mean([row["truth"] == row["prediction"] for row in rows])
    assert hits == pytest.approx(result.metrics["test_accuracy"])
    assert all(1 / 3 <= float(row["confidence"]) <= 1 for row in rows)


def test_samples_are_test_rows_by_input_name(evaluated):
    job, result, data = evaluated
    with np.load(result.samples) as samples:
        (name,) = samples.files
        assert name == keras.saving.load_model(job.model).inputs[0].name
        np.testing.assert_array_equal(samples[name], data.test.x[:1024])


def test_exports_have_the_truth_of_the_samples_and_training_rows(evaluated):
    job, _, data = evaluated
    samples, truth, calibration = (
        dict(np.load(Path(job.folder) / name)) for name in ("samples.npz", "truth.npz", "calibration.npz")
    )
    np.testing.assert_array_equal(truth["output"], data.test.y[: len(truth["output"])])
    (name,) = samples
    assert len(samples[name]) == len(truth["output"])
    training = {row.tobytes() for row in data.train.x}
    assert {row.tobytes() for row in calibration[name]} <= training


def test_a_model_that_keras_refuses_is_built_again(make_experiment, tmp_path):
    def build(hp):
        model = small(hp)
        model = keras.Sequential([keras.Input((4,)), keras.layers.Lambda(lambda x: 2 * x), *model.layers])
        model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
        return model

    experiment = make_experiment(build, epochs=2)
    job = trained(experiment, tmp_path)
    with pytest.raises(ValueError, match="safe_mode"):
        keras.saving.load_model(job.model)
    result = evaluate(experiment, job)
    assert isinstance(result, EvaluationResult), result
    data = load_data(experiment.data)
    model = keras.saving.load_model(job.model, safe_mode=False)
    found = model.evaluate(data.test.x, data.test.y, return_dict=True, verbose=0)
    assert result.metrics["test_loss"] == pytest.approx(found["loss"], rel=1e-5)


def test_a_model_that_is_not_there(make_experiment, tmp_path):
    job = Evaluation(0, str(tmp_path / "model.keras"), str(tmp_path / "test"))
    failure = evaluate(make_experiment(), job)
    assert isinstance(failure, Failure)
    assert failure.kind is FailureKind.BUILD
    assert failure.cause == f"{job.model}: the model file does not exist; expected a `.keras` file."


def test_regression(make_experiment, tmp_path):
    x, _ = overlapping()

    def build(hp):
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
        model.compile("adam", "mse")
        return model

    experiment = make_experiment(build, (x, x.sum(axis=1)), "val_rmse", epochs=1)
    job = trained(experiment, tmp_path)
    result = evaluate(experiment, job)
    assert isinstance(result, EvaluationResult), result
    assert {"test_loss", "test_mae", "test_rmse", "test_r2"} == result.metrics.keys()
    assert "test_predictions.png" in result.files
    with open(Path(job.folder) / "test_predictions.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows[0].keys() == {"row", "truth", "prediction"}
    truth, predicted = (np.array([float(row[name]) for row in rows]) for name in ("truth", "prediction"))
    assert np.abs(truth - predicted).mean() == pytest.approx(result.metrics["test_mae"])


class TestSamples:
    x = {"a": np.arange(600.0).reshape(300, 2), "b": np.arange(300)[:, None]}

    def test_several_inputs_in_the_types_the_model_takes(self):
        a, b = keras.Input((2,), name="a"), keras.Input((1,), name="b", dtype="int32")
        model = keras.Model([a, b], keras.layers.Concatenate()([a, keras.ops.cast(b, "float32")]))
        found = samples_of(model, Split(self.x, np.zeros(300)), 256)
        assert {name: (array.shape, array.dtype) for name, array in found.items()} == {
            "a": ((256, 2), np.float32),
            "b": ((256, 1), np.int32),
        }
        np.testing.assert_array_equal(found["b"], self.x["b"][:256])

    def test_keys_may_differ_from_the_inputs_names(self):
        first, second = keras.Input((2,), name="first"), keras.Input((1,), name="second")
        model = keras.Model({"a": first, "b": second}, keras.layers.Concatenate()([first, second]))
        found = samples_of(model, Split(self.x, np.zeros(300)), 5)
        np.testing.assert_array_equal(found["first"], self.x["a"][:5])
        np.testing.assert_array_equal(found["second"], self.x["b"][:5])
