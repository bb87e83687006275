"""What is measured of the model that a trial will deploy, before it is trained and after; files are real."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from hpsearch.experiment import Experiment
from hpsearch.jobs import perform
from hpsearch.study_folder import StudyFolder
from hpsearch.testing.trials import FakeDriver, overlapping, small
from hpsearch.training import deployed
from hpsearch.training.run import run_trial
from hpsearch.trial import ExportResult, Failure, FailureKind, Latency, Probe, Result, Speed, TrialSpec

PARAMETERS = 4 * 8 + 8 + 8 * 3 + 3
FLOPS = 2 * (4 * 8 + 8 * 3)


def unknown(hp):
    """A model with a layer that multiplies by itself."""
    import keras

    class Product(keras.layers.Layer):
        def build(self, shape):
            self.kernel = self.add_weight(shape=(shape[-1], 3))

        def call(self, x):
            return keras.ops.softmax(keras.ops.matmul(x, self.kernel))

    model = keras.Sequential([keras.Input((4,)), Product()])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def make(*constraints, objective="val_accuracy", **changes):
    search = {"trials": 1, "constraints": list(constraints) or None} | changes.pop("search", {})
    return Experiment(
        **{
            "name": "e",
            "model": small,
            "data": overlapping(),
            "objective": objective,
            "search": search,
            "training": {"epochs": 2, "batch_size": 16},
        }
        | changes
    )


def spec(tmp_path, **changes):
    return TrialSpec(**{"number": 0, "params": {}, "seed": 3, "folder": str(tmp_path)} | changes)


class Converter:
    """Answers as if it had converted, and notes what it was asked for."""

    def __init__(self, scores=None, failure=None, speed=None):
        self.jobs = []
        self.scores = scores or {}
        self.failure = failure
        self.speed = speed

    def __call__(self, job):
        arrays = {name: dict(np.load(getattr(job, name))) for name in ("samples", "truth", "calibration")}
        self.jobs.append((job, arrays))
        if self.failure is not None:
            return self.failure
        made = ExportResult(job.target, job.format, 2048, 0.0, 0.0, 1.0, 8, scores=self.scores)
        return made if self.speed is None else replace(made, speed=self.speed(len(self.jobs)))


@pytest.fixture(autouse=True)
def _nothing_was_measured_before(monkeypatch):
    monkeypatch.setattr(deployed, "_measured", {})


def test_a_probe_names_the_metrics_there_can_be(tmp_path):
    def names(experiment):
        return perform(experiment, Probe(str(tmp_path)), FakeDriver()).of_deployment

    assert names(make()) == (
        "parameters",
        "flops",
        "tflite_size_kib",
        "tflite_latency_ms",
        "tflite_accuracy",
        "tflite_precision",
        "tflite_recall",
        "tflite_f1",
    )


def test_a_model_with_too_many_parameters_is_not_trained_nor_converted(tmp_path):
    driver, convert = FakeDriver(), Converter()
    experiment = make("parameters <= 50", "tflite_size_kib <= 1", "val_accuracy >= 0.5")
    result = run_trial(experiment, spec(tmp_path), driver, convert)
    assert isinstance(result, Result), result
    assert (result.pruned, result.epochs, result.files) == (True, 0, ("params.json",))
    assert result.metrics == {"parameters": PARAMETERS} == {"parameters": result.facts["parameters"]}
    assert result.constraints == {"parameters <= 50": pytest.approx(PARAMETERS / 50 - 1)}
    assert result.broken == ("parameters <= 50",)
    assert not driver.epochs
    assert not convert.jobs
    again = run_trial(experiment, spec(tmp_path, params=result.params), driver, convert)
    assert again == result  # told, not built


def test_a_model_with_too_many_operations_is_not_trained_nor_converted(tmp_path):
    convert = Converter()
    experiment = make("flops <= 100", "tflite_size_kib <= 1", objective=["val_accuracy", "flops"])
    result = run_trial(experiment, spec(tmp_path), FakeDriver(), convert)
    assert (result.metrics, result.broken) == ({"flops": FLOPS}, ("flops <= 100",))
    assert not convert.jobs
    failure = run_trial(make("flops <= 1", model=unknown), spec(tmp_path / "unknown"), FakeDriver())
    assert "`flops` cannot be counted" in failure.cause


def test_a_trial_that_meets_its_constraints_is_trained_as_it_would_be_without(tmp_path):
    plain = run_trial(make(), spec(tmp_path / "plain"), FakeDriver())
    limits = (f"parameters <= {PARAMETERS}", f"flops <= {FLOPS}", "tflite_size_kib <= 2")
    experiment = make(*limits, "val_accuracy >= 0.99")
    result = run_trial(experiment, spec(tmp_path / "limited"), FakeDriver(), Converter())
    known = {"parameters": PARAMETERS, "flops": FLOPS, "tflite_size_kib": 2.0}
    assert result.metrics == {**plain.metrics, **known}
    assert result.constraints[f"parameters <= {PARAMETERS}"] == 0.0
    assert result.broken == ("val_accuracy >= 0.99",)
    assert (result.pruned, result.epochs) == (False, 2)


def test_a_pruned_trial_is_not_judged_by_what_it_might_have_become(tmp_path):
    experiment = make("val_accuracy >= 0.99", "parameters <= 100")
    result = run_trial(experiment, spec(tmp_path, prunable=True), FakeDriver(keep=1))
    assert (result.pruned, result.broken) == (True, ())
    assert list(result.constraints) == ["parameters <= 100"]


def test_a_paused_trial_is_judged_by_what_is_known_by_then(tmp_path):
    experiment = make("val_accuracy >= 0.99", "parameters <= 100", "tflite_f1 >= 0.5")
    result = run_trial(experiment, spec(tmp_path, pause_after=1), FakeDriver(), Converter())
    assert result.paused
    assert result.broken == ("val_accuracy >= 0.99",)
    assert sorted(result.constraints) == ["parameters <= 100", "val_accuracy >= 0.99"]


def test_a_constraint_on_what_training_does_not_report_fails_the_trial(tmp_path):
    failure = run_trial(make("val_mystery <= 1"), spec(tmp_path), FakeDriver())
    assert isinstance(failure, Failure)
    assert "search.constraints: training reports no metric `val_mystery`" in failure.cause


def test_size_is_measured_once_an_architecture(tmp_path):
    convert = Converter()
    experiment = make("tflite_size_kib <= 1", search={"tflite_format": "int8"})
    for number, units in enumerate((8, 8, 12)):
        params = {"units": units, "learning_rate": 0.01 * (number + 1)}
        result = run_trial(experiment, spec(tmp_path / str(number), params=params), FakeDriver(), convert)
        assert result.metrics["tflite_size_kib"] == 2.0
        assert result.broken == ("tflite_size_kib <= 1",)
    assert len(convert.jobs) == 2
    job, arrays = convert.jobs[0]
    assert (job.format, job.measure) == ("int8", True)
    assert [len(rows) for rows in arrays["calibration"].values()] == [len(overlapping()[0]) * 3 // 5]


def test_a_file_of_the_same_structure_is_as_fast_whoever_measures_it(tmp_path, monkeypatch):
    def speed(number):
        return Speed((Latency(1, True, float(number), 9.0),), structure="one" if number < 3 else "another")

    convert, found = Converter(speed=speed), []
    for number in range(3):
        monkeypatch.setattr(deployed, "_measured", {})  # of another process
        folder = StudyFolder(tmp_path).trial(number)
        result = run_trial(make("tflite_latency_ms <= 9"), spec(folder, number=number), FakeDriver(), convert)
        found.append(result.metrics["tflite_latency_ms"])
    assert found == [1.0, 1.0, 3.0]


def test_the_file_is_scored_on_validation_rows_and_never_on_test_rows(tmp_path):
    from hpsearch.datasets import load_data

    convert = Converter(scores={"accuracy": 0.75, "f1": 0.7})
    experiment = make("tflite_f1 >= 0.8", objective="tflite_accuracy")
    result = run_trial(experiment, spec(tmp_path), FakeDriver(), convert)
    assert (result.metrics["tflite_accuracy"], result.metrics["tflite_f1"]) == (0.75, 0.7)
    assert result.broken == ("tflite_f1 >= 0.8",)
    ((job, arrays),) = convert.jobs
    data = load_data(experiment.data)
    (samples,) = arrays["samples"].values()
    np.testing.assert_array_equal(samples, data.validation.x)
    np.testing.assert_array_equal(arrays["truth"]["output"], data.validation.y)
    assert job.model == str(tmp_path / "model.keras")
    assert (job.min_agreement, job.max_loss) == (0.95, 0.02)  # the file that would be delivered


def test_without_an_objective_that_epochs_report_the_best_epoch_is_that_of_least_loss(tmp_path):
    driver = FakeDriver()
    experiment = make(objective=["tflite_accuracy", "parameters"], training={"epochs": 4, "batch_size": 16})
    result = run_trial(experiment, spec(tmp_path), driver, Converter({"accuracy": 1.0}))
    losses = [epoch.metrics["val_loss"] for epoch in driver.epochs]
    assert result.metrics["val_loss"] == min(losses)
    assert result.metrics["parameters"] == PARAMETERS


def test_a_model_that_cannot_be_converted_fails_with_a_kind_of_its_own(tmp_path, capfd):
    convert = Converter(failure=Failure(FailureKind.CRASH, "The converter died.", "its log"))
    failure = run_trial(make("tflite_size_kib <= 9"), spec(tmp_path), FakeDriver(), convert)
    assert failure.kind is FailureKind.EXPORT
    assert failure.cause == "the file as float32: cannot be made of the model; received The converter died."
    assert "its log" in capfd.readouterr().err
    failure = run_trial(make(objective="tflite_accuracy"), spec(tmp_path), FakeDriver(), convert)
    assert failure.kind is FailureKind.EXPORT
    assert len(convert.jobs) == 3  # as it would be delivered, and as it is


def test_what_was_measured_before_an_interruption_stands(tmp_path):
    experiment = make("parameters <= 100")
    (tmp_path / "model.keras").write_bytes(b"")
    run_trial(experiment, spec(tmp_path), FakeDriver())
    file = tmp_path / deployed.KEPT
    kept = json.loads(file.read_text())
    assert kept["metrics"] == {"parameters": PARAMETERS}
    file.write_text(json.dumps(kept | {"metrics": {"parameters": 90.0}}))
    (tmp_path / "result.json").unlink()
    params = kept["identity"]["params"]
    again = run_trial(experiment, spec(tmp_path, params=params), FakeDriver())
    assert again.metrics["parameters"] == 90.0
    (tmp_path / "result.json").unlink()
    other = run_trial(experiment, spec(tmp_path, params=params, seed=4), FakeDriver())
    assert other.metrics["parameters"] == PARAMETERS  # another trial's file is not read


@pytest.mark.slow
def test_a_real_file_is_measured_and_scored(tmp_path):
    """int8, with the converter and the interpreter in processes of their own."""
    experiment = make(
        "tflite_size_kib <= 8",
        objective=["tflite_accuracy", "tflite_latency_ms"],
        search={"tflite_format": "int8"},
        training={"epochs": 8, "batch_size": 16},
    )
    folder = StudyFolder(tmp_path)
    result = perform(experiment, spec(folder.trial(0)), FakeDriver())
    assert isinstance(result, Result), result
    (kept,) = folder.latencies.iterdir()
    assert json.loads(kept.read_text())["tflite_latency_ms"] == result.metrics["tflite_latency_ms"]
    assert 1 < result.metrics["tflite_size_kib"] < 8
    assert 0 < result.metrics["tflite_latency_ms"] < 100
    assert result.metrics["tflite_accuracy"] == pytest.approx(result.metrics["val_accuracy"], abs=0.1)
    assert result.metrics["val_accuracy"] > 0.5
    assert not result.broken
    assert math.isfinite(result.constraints["tflite_size_kib <= 8"])
