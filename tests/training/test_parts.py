"""Trials of several parts in a worker: what they report and leave, and that none of it is done twice."""

import json
import os

import keras
import numpy as np
import pytest

from hpsearch.channel import Channel
from hpsearch.experiment import Experiment
from hpsearch.jobs import perform
from hpsearch.parts import Part
from hpsearch.testing.trials import FakeDriver, overlapping, small
from hpsearch.training.evaluate import evaluate
from hpsearch.training.run import run_trial
from hpsearch.trial import Evaluation, EvaluationResult, Failure, FailureKind, Result, TrialSpec

LEAD = "val_f1_macro"


def make(folder, evaluation=None, data=None, model=small, number=3, prunable=False, **training):
    experiment = Experiment(
        name="test",
        model=model,
        data=overlapping() if data is None else data,
        objective=LEAD,
        evaluation=evaluation or {"folds": 3},
        checkpoints={"state_every_s": 0},
        training={"epochs": 3, "batch_size": 16, **training},
    )
    return experiment, TrialSpec(number, {}, seed=5, folder=str(folder), prunable=prunable)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A trial of three folds: its folder, experiment, spec, driver and result."""
    folder = tmp_path_factory.mktemp("trained")
    experiment, spec = make(folder)
    driver = FakeDriver()
    return folder, experiment, spec, driver, perform(experiment, spec, driver)


def reports(driver):
    return [epoch for epoch in driver.epochs if epoch.part is None]


def test_its_metrics_are_the_means_of_its_parts(trained):
    *_, result = trained
    assert isinstance(result, Result)
    assert [part.part for part in result.parts] == [Part(1, 1), Part(2, 2), Part(3, 3)]
    for name, value in result.metrics.items():
        assert value == pytest.approx(np.mean([part.metrics[name] for part in result.parts]), rel=1e-12)
    assert len({part.metrics[LEAD] for part in result.parts}) == 3  # the test could fail
    assert len({part.seed for part in result.parts}) == 3
    assert (result.epochs, result.best_epoch, result.pruned) == (9, 0, False)
    assert result.duration_s == sum(part.duration_s for part in result.parts)


def test_the_driver_hears_every_epoch_as_its_parts_and_the_mean_so_far_after_each_part(trained):
    *_, driver, result = trained
    heard = [(epoch.part.fold if epoch.part else None, epoch.number) for epoch in driver.epochs]
    assert heard == [
        (1, 1), (1, 2), (1, 3), (None, 1),
        (2, 1), (2, 2), (2, 3), (None, 2),
        (3, 1), (3, 2), (3, 3), (None, 3),
    ]  # fmt: skip
    values = [part.metrics[LEAD] for part in result.parts]
    assert [epoch.metrics[LEAD] for epoch in reports(driver)] == pytest.approx(
        [values[0], np.mean(values[:2]), np.mean(values)]
    )
    assert [kind for kind, _ in driver.heard].count("built") == 1
    assert [what for kind, what in driver.heard if kind == "suggest"] == ["units", "learning_rate"]
    assert not any(driver.awaited)


def test_its_model_is_the_best_parts_and_the_others_are_gone(trained):
    folder, *_, result = trained
    [kept] = [part for part in result.parts if part.kept]
    assert kept.metrics[LEAD] == max(part.metrics[LEAD] for part in result.parts)
    assert [path.name for path in folder.rglob("model.keras")] == ["model.keras"]
    assert {"model.keras", "history.csv", "params.json", "confusion_matrix.png"} <= set(result.files)
    assert all((folder / name).is_file() for name in result.files)
    history = (folder / "history.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in history] == ["epoch", "1", "2", "3"]


def test_a_part_is_a_trial_of_one_training_on_its_fold(trained, tmp_path):
    """The same spec, run as a trial of its own, gives the same numbers: nothing of a part before is left."""
    _, experiment, _, _, result = trained
    last = result.parts[-1]
    spec = TrialSpec(9, result.params, seed=last.seed, folder=str(tmp_path), part=last.part)
    alone = run_trial(experiment, spec, FakeDriver())
    assert alone.metrics == last.metrics


def test_told_again_it_trains_nothing(trained):
    _, experiment, spec, _, result = trained
    driver = FakeDriver()
    spec = TrialSpec(spec.number, result.params, seed=spec.seed, folder=spec.folder)
    assert perform(experiment, spec, driver) == result
    assert [epoch.part for epoch in driver.epochs] == [None] * 3


class Interrupted(BaseException):
    """The worker's end, as far as a test can have it within its process."""


class EndsAfter(FakeDriver):
    """A driver whose worker dies after so many epochs."""

    def __init__(self, epochs):
        super().__init__()
        self._left = epochs

    def report(self, epoch, *, await_answer):
        super().report(epoch, await_answer=await_answer)
        self._left -= 1
        if self._left == 0:
            raise Interrupted
        return True


@pytest.mark.parametrize("epochs", [3, 4, 6, 8, 12])
def test_one_that_was_cut_off_goes_on_from_the_part_where_it_was(trained, tmp_path, epochs):
    experiment, spec = make(tmp_path)
    cut: Channel = EndsAfter(epochs)
    with pytest.raises(Interrupted):
        perform(experiment, spec, cut)
    done = {path.parent.name: path.stat() for path in tmp_path.glob("parts/*/result.json")}
    assert len(done) == epochs // 4

    driver = FakeDriver()
    spec = TrialSpec(spec.number, {"units": 8, "learning_rate": 0.03}, seed=spec.seed, folder=spec.folder)
    result = perform(experiment, spec, driver)

    whole = trained[-1]
    assert result.metrics == whole.metrics
    assert [part.metrics for part in result.parts] == [part.metrics for part in whole.parts]
    after = {path.parent.name: path.stat() for path in tmp_path.glob("parts/*/result.json")}
    assert {name: after[name].st_mtime_ns for name in done} == {
        name: stat.st_mtime_ns for name, stat in done.items()
    }
    assert [epoch.metrics for epoch in reports(driver)] == [epoch.metrics for epoch in reports(trained[3])]
    if epochs == 6:  # the second epoch of fold 2: the first is told as it was, not trained again
        [first], [told] = (
            [epoch for epoch in each.epochs if epoch.part and (epoch.part.fold, epoch.number) == (2, 1)]
            for each in (cut, driver)
        )
        assert told == first


def test_it_may_be_pruned_after_a_part(tmp_path):
    experiment, spec = make(tmp_path, prunable=True)
    driver = FakeDriver(keep=2)
    result = perform(experiment, spec, driver)
    assert (result.pruned, len(result.parts), result.epochs) == (True, 2, 6)
    assert [awaited for awaited, epoch in zip(driver.awaited, driver.epochs, strict=True) if epoch.part] == (
        [False] * 6
    )
    assert result.metrics[LEAD] == pytest.approx(np.mean([part.metrics[LEAD] for part in result.parts]))
    assert not (tmp_path / "parts" / "fold-3").exists()
    assert (tmp_path / "model.keras").is_file()
    again = TrialSpec(spec.number, result.params, seed=spec.seed, folder=spec.folder, prunable=True)
    assert perform(experiment, again, FakeDriver()) == result


def test_after_the_last_part_nobody_is_asked(tmp_path):
    experiment, spec = make(tmp_path, prunable=True)
    driver = FakeDriver()
    perform(experiment, spec, driver)
    awaited = [a for a, epoch in zip(driver.awaited, driver.epochs, strict=True) if epoch.part is None]
    assert awaited == [True, True, False]


def test_repeats_differ_by_their_seeds_alone(tmp_path):
    experiment, spec = make(tmp_path, {"repeats": 2}, epochs=1)
    result = perform(experiment, spec, FakeDriver())
    assert [part.part.name for part in result.parts] == ["repeat-1", "repeat-2"]
    assert result.parts[0].metrics["loss"] != result.parts[1].metrics["loss"]
    records = [json.loads((tmp_path / "parts" / f"repeat-{n}" / "result.json").read_text()) for n in (1, 2)]
    assert records[0]["result"]["params"] == records[1]["result"]["params"]


def diverges_in_the_second_fold(hp, runs=[]):  # noqa: B006
    runs.append(None)
    model = small(hp)
    if len(runs) == 2:
        model.compile(keras.optimizers.SGD(1e30), "sparse_categorical_crossentropy")
    return model


def test_a_part_that_fails_fails_the_trial_and_is_named(tmp_path):
    experiment, spec = make(tmp_path, model=diverges_in_the_second_fold)
    failure = perform(experiment, spec, FakeDriver())
    assert isinstance(failure, Failure)
    assert failure.kind is FailureKind.NAN
    assert failure.cause.startswith("fold 2: ")
    assert (tmp_path / "parts" / "fold-1" / "result.json").is_file()


def test_it_is_tested_with_the_preprocessing_of_the_part_whose_model_it_is(tmp_path):
    x, y = overlapping()

    def scale(rows):
        mean, deviation = rows.mean(axis=0), rows.std(axis=0)
        return lambda given: (given - mean) / deviation

    experiment, spec = make(tmp_path, {"folds": 2}, {"x": 50 + 9 * x, "y": y, "preprocess": scale}, epochs=1)
    result = perform(experiment, spec, FakeDriver())
    kept = next(each.part for each in result.parts if each.kept)
    tested = {}
    for part in (None, *experiment.evaluation.parts):
        folder = tmp_path / f"test{part.number if part else 0}"
        folder.mkdir()
        job = Evaluation(spec.number, str(tmp_path / "model.keras"), str(folder), part)
        outcome = evaluate(experiment, job)
        assert isinstance(outcome, EvaluationResult)
        with np.load(outcome.samples) as samples:
            tested[part] = next(iter(samples.values()))
    trained_on = run_rows(experiment, kept)
    np.testing.assert_allclose(trained_on.train.x.mean(axis=0), 0.0, atol=1e-5)
    np.testing.assert_array_equal(tested[kept], trained_on.test.x)
    assert len({rows.tobytes() for rows in tested.values()}) == 3


def run_rows(experiment, part):
    from hpsearch.datasets import load_data

    return load_data(experiment.data, experiment.evaluation, part)


def test_a_file_system_without_links_copies(tmp_path, monkeypatch):
    def refused(*_args):
        raise OSError

    monkeypatch.setattr(os, "link", refused)
    experiment, spec = make(tmp_path, {"repeats": 2}, epochs=1)
    result = perform(experiment, spec, FakeDriver())
    assert keras.saving.load_model(tmp_path / "model.keras").count_params() == result.facts["parameters"]
