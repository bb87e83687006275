from __future__ import annotations

import csv
import dataclasses
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score

from hpsearch.datasets import load_data
from hpsearch.testing.trials import FakeDriver, overlapping, small
from hpsearch.training.record import read_result
from hpsearch.training.run import run_trial
from hpsearch.trial import Failure, Result, TrialSpec

FILES = {"params.json", "history.csv", "model.keras", "curves.png", "confusion_matrix.png"}


@dataclasses.dataclass(frozen=True)
class Run:
    experiment: object
    spec: TrialSpec
    driver: object
    result: Result
    folder: Path


@pytest.fixture(scope="module")
def finished(make_experiment, tmp_path_factory) -> Run:
    """One trial of five epochs, whose best is not the last."""

    folder = tmp_path_factory.mktemp("trials") / "0007"
    experiment = make_experiment(epochs=6, objective=["val_f1_macro", "val_loss"])
    spec, driver = TrialSpec(7, {"units": 6}, seed=11, folder=str(folder)), FakeDriver()
    result = run_trial(experiment, spec, driver)
    assert isinstance(result, Result), result
    return Run(experiment, spec, driver, result, folder)


def same(left: Result, right: Result) -> bool:
    return (
        left.metrics == right.metrics and left.params == right.params and left.best_epoch == right.best_epoch
    )


def weights(folder: str | Path) -> list[np.ndarray]:
    import keras

    return keras.saving.load_model(Path(folder) / "model.keras").get_weights()


def equal(left: list[np.ndarray], right: list[np.ndarray]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(left, right, strict=True))


class TestResult:
    def test_the_driver_hears_in_order(self, finished):
        assert [kind for kind, _ in finished.driver.heard] == ["suggest", "built"] + ["epoch"] * 6
        assert finished.driver.heard[1] == ("built", {"units": 6, "learning_rate": 0.03})
        assert [epoch.number for epoch in finished.driver.epochs] == [1, 2, 3, 4, 5, 6]
        times = [epoch.ended_at_s for epoch in finished.driver.epochs]
        assert times == sorted(times)
        assert not any(finished.driver.awaited)

    def test_its_metrics_are_the_best_epochs_by_the_first_objective(self, finished):
        values = [epoch.metrics["val_f1_macro"] for epoch in finished.driver.epochs]
        assert finished.result.best_epoch == 1 + values.index(max(values))
        assert finished.result.metrics == finished.driver.epochs[finished.result.best_epoch - 1].metrics
        assert finished.result.epochs == 6
        assert len(set(values)) > 1

    def test_the_saved_model_is_the_best_epochs_and_compiled(self, finished):
        import keras

        data = load_data(finished.experiment.data)
        model = keras.saving.load_model(finished.folder / "model.keras", safe_mode=True)
        found = model.evaluate(
            data.validation.x, data.validation.y, batch_size=16, return_dict=True, verbose=0
        )
        assert found["loss"] == pytest.approx(finished.result.metrics["val_loss"], rel=1e-6)
        assert found["accuracy"] == finished.result.metrics["val_accuracy"]
        steps = -(-len(data.train) // 16)
        assert int(model.optimizer.iterations.numpy()) == finished.result.best_epoch * steps
        predicted = model.predict(data.validation.x, verbose=0).argmax(axis=1)
        assert finished.result.metrics["val_f1_macro"] == pytest.approx(
            f1_score(data.validation.y, predicted, average="macro"), rel=1e-12
        )
        assert finished.result.metrics["val_accuracy"] == pytest.approx(
            accuracy_score(data.validation.y, predicted), rel=1e-6
        )

    def test_the_files(self, finished):
        assert set(finished.result.files) == FILES
        assert {path.name for path in finished.folder.iterdir()} == FILES | {"result.json"}
        assert json.loads((finished.folder / "params.json").read_text()) == finished.result.params
        for name in ("curves.png", "confusion_matrix.png"):
            assert (finished.folder / name).read_bytes().startswith(b"\x89PNG")

    def test_history_holds_every_metric_of_every_epoch(self, finished):
        with open(finished.folder / "history.csv", newline="") as file:
            rows = list(csv.DictReader(file))
        assert [int(row.pop("epoch")) for row in rows] == [1, 2, 3, 4, 5, 6]
        for row, epoch in zip(rows, finished.driver.epochs, strict=True):
            assert {name: float(value) for name, value in row.items()} == epoch.metrics

    def test_facts(self, finished):
        assert finished.result.facts["parameters"] == 4 * 6 + 6 + 6 * 3 + 3
        assert finished.result.facts["batch_size"] == 16
        assert finished.result.facts["threads"] >= 1
        assert finished.result.facts["devices"] == 1


class TestTellingAgain:
    """The driver died between the worker's end and its note of it."""

    def all_chosen(self, run: Run, **changes) -> TrialSpec:
        return dataclasses.replace(run.spec, params=run.result.params, **changes)

    def test_a_finished_trial_is_not_trained_again(self, finished, driver):
        model = finished.folder / "model.keras"
        before = model.stat().st_mtime_ns
        again = run_trial(finished.experiment, self.all_chosen(finished), driver)
        assert again == finished.result
        assert driver.epochs == finished.driver.epochs
        assert driver.heard[0] == ("built", finished.result.params)
        assert not any(driver.awaited)
        assert model.stat().st_mtime_ns == before

    @pytest.mark.parametrize(
        "change",
        [
            "seed",
            "experiment",
            "params",
            "not all known to the driver",
            "a file is gone",
            "result is damaged",
        ],
    )
    def test_anything_else_is_another_trial(self, finished, make_experiment, tmp_path, change):
        folder = shutil.copytree(finished.folder, tmp_path / "0007")
        experiment, spec = finished.experiment, self.all_chosen(finished, folder=str(folder))
        assert read_result(folder, experiment, spec) is not None
        match change:
            case "seed":
                spec = dataclasses.replace(spec, seed=12)
            case "experiment":
                experiment = make_experiment(epochs=1, objective=["val_f1_macro", "val_loss"])
            case "params":
                spec = dataclasses.replace(spec, params={**spec.params, "units": 7})
            case "not all known to the driver":
                spec = dataclasses.replace(spec, params=finished.spec.params)
            case "a file is gone":
                (folder / "model.keras").unlink()
            case "result is damaged":
                (folder / "result.json").write_text((folder / "result.json").read_text()[:-20])
        assert read_result(folder, experiment, spec) is None

    def test_a_trial_that_fails_leaves_no_result_of_an_earlier_run(
        self, finished, make_experiment, driver, tmp_path
    ):
        (tmp_path / "result.json").write_text("{}")
        spec = TrialSpec(7, {}, 1, str(tmp_path))
        assert isinstance(run_trial(make_experiment(objective="val_nonsense"), spec, driver), Failure)
        assert not (tmp_path / "result.json").exists()


class TestPruning:
    def test_a_pruned_trial_is_a_result_with_its_best_epoch(self, make_experiment, spec):
        driver = FakeDriver(keep=2)
        result = run_trial(make_experiment(epochs=5), dataclasses.replace(spec, prunable=True), driver)
        assert isinstance(result, Result), result
        assert result.pruned
        assert result.epochs == len(driver.epochs) == 2
        assert driver.awaited == [True, True]
        assert result.metrics == driver.epochs[result.best_epoch - 1].metrics
        assert set(result.files) == FILES

    def test_after_the_last_epoch_there_is_nothing_to_save(self, make_experiment, spec):
        driver = FakeDriver(keep=3)
        result = run_trial(make_experiment(epochs=3), dataclasses.replace(spec, prunable=True), driver)
        assert isinstance(result, Result), result
        assert not result.pruned
        assert driver.awaited == [True, True, False]

    def test_it_stops_a_fit_that_ignores_keras(self, make_experiment, spec):
        import keras_tuner

        class Stubborn(keras_tuner.HyperModel):
            def build(self, hp):

                return small(hp)

            def fit(self, hp, model, x, y, callbacks, **kwargs):
                for epoch in range(50):
                    try:
                        for callback in callbacks:
                            callback.on_epoch_end(epoch, {"mine": 1.0 / (epoch + 1)})
                    except Exception:
                        raise AssertionError("an `except Exception` must not see it") from None
                return {"mine": 0.0}

        driver = FakeDriver(keep=3)
        experiment = make_experiment(Stubborn(), objective={"metric": "mine", "direction": "minimize"})
        result = run_trial(experiment, dataclasses.replace(spec, prunable=True), driver)
        assert isinstance(result, Result), result
        assert (result.pruned, result.epochs, result.metrics["mine"]) == (True, 3, pytest.approx(1 / 3))


class TestEarlyStopping:
    def test_training_ends_when_the_objective_no_longer_improves(self, make_experiment, spec, driver):
        experiment = make_experiment(epochs=40, early_stopping={"patience": 2, "min_delta": 0.02})
        result = run_trial(experiment, spec, driver)
        assert isinstance(result, Result), result
        values = [epoch.metrics["val_f1_macro"] for epoch in driver.epochs]
        assert 3 <= len(values) < 40
        assert max(values[-2:]) <= max(values[:-2]) + 0.02
        assert result.metrics["val_f1_macro"] == max(values)

    def test_a_monitor_that_does_not_exist(self, make_experiment, spec, driver):
        experiment = make_experiment(early_stopping={"monitor": "val_acuracy"})
        failure = run_trial(experiment, spec, driver)
        assert isinstance(failure, Failure)
        assert failure.cause.startswith("training.early_stopping.monitor: ")
        assert "Did you mean `val_accuracy`?" in failure.cause


class TestDeterminism:
    def test_a_trial_does_not_depend_on_those_before_it(self, make_experiment, spec, driver, tmp_path):

        experiment = make_experiment(deterministic=True)
        other = make_experiment(lambda hp: small(hp), epochs=1, deterministic=True)
        folders = [tmp_path / name for name in ("one", "other", "two")]
        specs = [dataclasses.replace(spec, folder=str(folder)) for folder in folders]
        one = run_trial(experiment, specs[0], driver)
        run_trial(other, dataclasses.replace(specs[1], seed=99, params={"units": 13}), FakeDriver())
        two = run_trial(experiment, specs[2], FakeDriver())
        assert same(one, two)
        assert equal(weights(folders[0]), weights(folders[2]))

    @pytest.mark.slow
    def test_another_process_gives_the_same_bits(self, tmp_path):
        code = (
            "import sys\n"
            "from hpsearch.testing.trials import FakeDriver, overlapping, small\n"
            "from hpsearch.experiment import Experiment\n"
            "from hpsearch.training.run import run_trial\n"
            "from hpsearch.trial import TrialSpec\n"
            "e = Experiment(name='t', model=small, data=overlapping(), objective='val_loss',\n"
            "               training={'epochs': 2, 'deterministic': True})\n"
            "r = run_trial(e, TrialSpec(0, {}, 5, sys.argv[1]), FakeDriver())\n"
            "print(r.metrics if hasattr(r, 'metrics') else r)"
        )
        running = []
        for name, hash_seed in (("one", "1"), ("two", "2")):
            command = [sys.executable, "-c", code, str(tmp_path / name)]
            environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "TF_NUM_INTRAOP_THREADS": "1"}
            running.append(subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True))
        outputs = [process.communicate(timeout=200)[0] for process in running]
        assert "val_loss" in outputs[0]
        assert outputs[0] == outputs[1]
        assert equal(weights(tmp_path / "one"), weights(tmp_path / "two"))


class TestOtherData:
    def test_regression(self, make_experiment, spec, driver):
        import keras

        x, _ = overlapping()
        y = x @ np.array([1.0, -2.0, 0.5, 0.0], np.float32) + 3

        def build(hp):
            model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
            model.compile(keras.optimizers.Adam(0.1), "mse")
            return model

        result = run_trial(make_experiment(build, (x, y), "val_r2"), spec, driver)
        assert isinstance(result, Result), result
        assert {"val_loss", "val_mae", "val_rmse", "val_r2"} <= result.metrics.keys()
        assert result.metrics["val_rmse"] == pytest.approx(result.metrics["val_loss"] ** 0.5, rel=1e-5)
        assert "predictions.png" in result.files

    def test_several_inputs_and_outputs(self, make_experiment, spec, driver):
        import keras

        x, y = overlapping()
        data = {
            "x": {"left": x[:, :2], "right": x[:, 2:]},
            "y": {"digit": y.astype("int32"), "odd": (y % 2).astype("int32")},
        }

        def build(hp):
            left, right = keras.Input((2,), name="left"), keras.Input((2,), name="right")
            both = keras.layers.Concatenate()([left, right])
            digit = keras.layers.Dense(3, activation="softmax", name="digit")(both)
            odd = keras.layers.Dense(1, name="odd")(both)
            model = keras.Model({"left": left, "right": right}, {"digit": digit, "odd": odd})
            logits = keras.losses.BinaryCrossentropy(from_logits=True)
            model.compile("adam", {"digit": "sparse_categorical_crossentropy", "odd": logits})
            return model

        section = {"name": "mine", "target": data, "options": {"task": "classification"}}
        experiment = make_experiment(build, section, "val_digit_f1_macro")
        result = run_trial(experiment, spec, driver)
        assert isinstance(result, Result), result
        split = load_data(experiment.data).validation
        model = keras.saving.load_model(Path(spec.folder) / "model.keras")
        outputs = model.predict(split.x, verbose=0)
        digit, odd = outputs["digit"].argmax(axis=1), outputs["odd"][:, 0] > 0
        assert result.metrics["val_digit_f1_macro"] == pytest.approx(
            f1_score(split.y["digit"], digit, average="macro")
        )
        assert result.metrics["val_odd_accuracy"] == pytest.approx(accuracy_score(split.y["odd"], odd))
        assert {"digit_confusion_matrix.png", "odd_confusion_matrix.png"} <= set(result.files)
