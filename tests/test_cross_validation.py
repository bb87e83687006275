"""Whole searches whose trials are cross-validated: records, export, reproduction; killed, and gone on."""

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

import hpsearch
from hpsearch.analysis.paired import compare
from hpsearch.cli.entry import call
from hpsearch.errors import StrategyError, UsageError
from hpsearch.experiment import Experiment
from hpsearch.parts import parts_of
from hpsearch.trial import TrialState

pytestmark = pytest.mark.slow

METRIC = "val_accuracy"
SPACE = {
    "layers": 1,
    "units_1": [16, 64],
    "activation": "relu",
    "initializer": "he_normal",
    "batch_norm": False,
    "dropout": 0.0,
    "l2": 0.0,
    "optimizer": "adam",
    "learning_rate": {"low": 1e-7, "high": 1e-1, "log": True},
}


def experiment(folder, **changes):
    values = {
        "name": "digits",
        "model": {"name": "mlp", "options": {"max_layers": 1}},
        "data": "digits",
        "objective": METRIC,
        "evaluation": {"folds": 3, "repeats": 2},
        "search": {
            "strategy": {"sampler": "random", "pruner": {"name": "median", "n_startup_trials": 1}},
            "trials": 4,
            "space": SPACE,
            "start": [{"learning_rate": rate} for rate in (0.01, 1e-7, 0.02, 0.011)],
        },
        "training": {"epochs": 2, "deterministic": True},
        "resources": {"executor": "inline"},
        "tracking": {"uri": f"sqlite:///{folder}/mlflow.db", "report": False},
        "workdir": str(folder / "runs"),
    }
    return Experiment(**{**values, **changes})


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Four trials of six parts on digits: the second is so bad that it is pruned after its first."""
    return hpsearch.search(experiment(tmp_path_factory.mktemp("study")))


def test_the_mean_counts_and_a_bad_trial_ends_with_its_first_part(study):
    assert [trial.state for trial in study.trials[:2]] == [TrialState.COMPLETE, TrialState.PRUNED]
    assert [len(trial.parts) for trial in study.trials[:2]] == [6, 1]
    assert [trial.epochs for trial in study.trials[:2]] == [12, 2]
    for trial in study.ranking:
        values = [part.metrics[METRIC] for part in trial.parts]
        assert trial.values[0] == pytest.approx(np.mean(values))
        assert trial.spreads[METRIC].error == pytest.approx(np.std(values, ddof=1) / np.sqrt(6))
        assert [part.part for part in trial.parts] == list(parts_of(3, 2))
    steps = study.optuna.trials[0].intermediate_values
    assert list(steps) == [1, 2, 3, 4, 5, 6]
    assert steps[6] == study.trials[0].values[0]
    assert study.selected == study.best[0]


def test_in_mlflow_each_part_is_a_child_of_its_trial(study):
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{study.folder.parents[1]}/mlflow.db")
    [found] = client.search_experiments(filter_string="name = 'digits'")
    runs = client.search_runs([found.experiment_id], max_results=100)
    of_trials = {
        int(r.data.tags["hpsearch.trial"]): r for r in runs if r.data.tags["hpsearch.kind"] == "trial"
    }
    of_parts = [run for run in runs if run.data.tags["hpsearch.kind"] == "part"]
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert len(of_parts) == sum(len(trial.parts) for trial in study.trials)
    for trial in study.trials:
        run = of_trials[trial.number]
        means = client.get_metric_history(run.info.run_id, METRIC)
        assert [point.step for point in means] == list(range(1, len(trial.parts) + 1))
        assert run.data.metrics[METRIC] == pytest.approx(trial.metrics[METRIC])
        assert run.data.metrics[f"best_{METRIC}"] == pytest.approx(trial.metrics[METRIC])
        if trial.spreads:
            assert run.data.metrics[f"{METRIC}_se"] == pytest.approx(trial.spreads[METRIC].error)
            assert run.data.metrics[f"{METRIC}_std"] == pytest.approx(trial.spreads[METRIC].std)
        children = {r.data.tags["hpsearch.part"]: r for r in of_parts if _parent(r) == run.info.run_id}
        assert set(children) == {each.part.name for each in trial.parts}
        for result in trial.parts:
            child = children[result.part.name]
            assert child.data.tags["hpsearch.fold"] == str(result.part.fold)
            assert child.data.tags["hpsearch.repeat"] == str(result.part.repeat)
            assert child.data.tags["hpsearch.kept"] == str(result.kept).lower()
            assert child.data.metrics[f"best_{METRIC}"] == pytest.approx(result.metrics[METRIC])
            assert child.data.params == run.data.params
            history = client.get_metric_history(child.info.run_id, METRIC)
            assert [point.step for point in history] == [1, 2]
            assert "history.csv" in {item.path for item in client.list_artifacts(child.info.run_id)}
    note = of_trials[0].data.tags["mlflow.note.content"]
    assert f"{METRIC} {study.trials[0].values[0]:.4g} ± " in note
    assert "over 2 repeats of 3 folds" in note
    [parent] = [run for run in runs if run.data.tags["hpsearch.kind"] == "study"]
    best = study.best[0]
    shown = f"{best.values[0]:.4f} ± {best.spreads[METRIC].error:.4f}"
    assert shown in parent.data.tags["mlflow.note.content"]


def _parent(run):
    return run.data.tags["mlflow.parentRunId"]


def test_a_database_that_was_lost_gets_all_of_it_again(study, tmp_path):
    from mlflow import MlflowClient

    from hpsearch.syncing import sync

    uri = f"sqlite:///{tmp_path}/mlflow.db"
    assert len(sync(study, uri=uri).missing) == 4
    client = MlflowClient(uri)
    [found] = client.search_experiments(filter_string="name = 'digits'")
    runs = client.search_runs([found.experiment_id], "tags.`hpsearch.kind` = 'part'", max_results=100)
    assert len(runs) == sum(len(trial.parts) for trial in study.trials)
    assert sync(study, uri=uri).missing == ()


def test_the_best_parts_model_is_tested_and_exported(study):
    champion = study.champion
    assert champion["trial"] == study.best[0].number
    assert champion["test"]["test_accuracy"] > 0.5
    [exported] = champion["exports"]
    assert Path(exported["path"]).is_file()
    assert exported["agreement"] == 1.0
    assert study.load_model().count_params() == study.best[0].parameters


@pytest.mark.parametrize("number", [0, 1])
def test_it_is_reproduced_part_by_part(study, number):
    trial = study.trials[number]
    found = hpsearch.reproduce(study, number)
    assert (found.agrees, found.differences) == (True, ())
    metrics = len(trial.metrics)
    assert found.compared == 1 + metrics * (1 + len(trial.parts) + trial.epochs)


def test_commands_show_the_mean_and_its_error(study, capsys):
    best = study.best[0]
    shown = f"{best.values[0]:.4f} ± {best.spreads[METRIC].error:.4f}"
    folder = str(study.folder)
    for command in ("best", "trials", "status"):
        assert call([command, folder]) == 0
        assert shown in capsys.readouterr().out
    assert call(["show", str(best.number), "--study", folder]) == 0
    text = capsys.readouterr().out
    assert "repeat 2, fold 3" in text
    assert "mean over 2 repeats of 3 folds" in text
    assert call(["trials", folder, "--columns", f"{METRIC}_se,{METRIC}_std", "--csv"]) == 0
    rows = capsys.readouterr().out.splitlines()
    assert rows[1] == f"0,{study.trials[0].spreads[METRIC].error},{study.trials[0].spreads[METRIC].std}"
    assert rows[2] == "1,,"
    assert call(["show", "0", "--study", folder, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["standard_errors"][METRIC] == study.trials[0].spreads[METRIC].error
    assert [part["name"] for part in document["parts"]][:2] == ["repeat-1-fold-1", "repeat-1-fold-2"]
    frame = study.trials_dataframe()
    assert frame[f"metrics.{METRIC}_se"][0] == study.trials[0].spreads[METRIC].error


def test_the_report_says_whether_the_first_two_can_be_told_apart(study, tmp_path):
    from hpsearch.analysis.report import write_report

    report = write_report(study, tmp_path)
    first, second = study.ranking[:2]
    found = compare(first.parts, second.parts, METRIC)
    [sentence] = [each for each in report.sentences if each.startswith("Over 2 repeats of 3 folds")]
    assert (
        f"cannot be told from trial {second.number}" in sentence or "cannot be told from the next" in sentence
    ) == (not found.told_apart)
    assert f"± {first.spreads[METRIC].error:.4f}" in report.page.read_text()


def test_strategies_that_count_epochs_are_refused(tmp_path):
    for strategy in ("asha", "hyperband"):
        asked = experiment(tmp_path, search={"strategy": strategy, "trials": 2})
        with pytest.raises(StrategyError) as caught:
            hpsearch.check(asked)
        assert (
            "compares trials by epochs, and a trial here is 6 trainings, folds or repeats; expected "
            in str(caught.value)
        )
        assert f"received {strategy}" in str(caught.value)


def test_folds_that_the_data_cannot_have_are_refused_before_anything_is_trained(tmp_path):
    with pytest.raises(UsageError, match=r"evaluation\.splitter: the data has no groups"):
        hpsearch.check(experiment(tmp_path, evaluation={"folds": 3, "splitter": "group"}))
    one = {"repeats": 2, "select": "one_standard_error"}
    with pytest.raises(UsageError, match="may be deleted before it is selected"):
        hpsearch.check(experiment(tmp_path, evaluation=one, checkpoints={"keep": "best 1"}))
    two = ["val_accuracy", "val_loss"]
    search = {"strategy": "random", "trials": 2}
    with pytest.raises(UsageError, match="the rule of one standard error is for one objective"):
        hpsearch.check(experiment(tmp_path, evaluation=one, objective=two, search=search))
    constrained = {**search, "constraints": ["parameters <= 100"]}
    with pytest.raises(UsageError, match=r"are of one model.* received parameters <= 100"):
        hpsearch.check(experiment(tmp_path, evaluation={"folds": 2}, search=constrained))


def test_the_simplest_within_one_standard_error_becomes_the_champion(tmp_path):
    """Of two trials that differ in their units alone, the larger one is better by less than it is sure."""
    space = {**SPACE, "learning_rate": 0.01}
    search = {"strategy": "random", "trials": 2, "space": space, "start": [{"units_1": 16}, {"units_1": 64}]}
    changes = {"search": search, "evaluation": {"folds": 2}, "export": {"formats": []}}
    best = hpsearch.search(experiment(tmp_path, **changes))
    assert best.champion["trial"] == best.best[0].number == 1
    gap = best.ranking[0].values[0] - best.ranking[1].values[0]
    error = best.ranking[0].spreads[METRIC].error
    again = hpsearch.search(
        experiment(tmp_path, **{**changes, "evaluation": {"folds": 2, "select": "one_standard_error"}})
    )
    assert len(again.trials) == 2
    assert again.champion["trial"] == again.selected.number == (0 if gap <= error else 1)
    assert again.state == "finished"


KILLED = """
model: {name: mlp, options: {max_layers: 1}}
data: digits
objective: val_accuracy
evaluation: {folds: 3}
search: {strategy: random, trials: 1, space: {units_1: [16, 64]}}
training: {epochs: 25, deterministic: true}
checkpoints: {state_every_s: 0}
resources: {slots: 1}
tracking: {report: false}
export: {formats: []}
"""


def run(folder):
    command = [sys.executable, "-m", "hpsearch", "run", "x.yaml", "--quiet"]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_killed_in_the_middle_of_a_part_it_goes_on_there_and_repeats_none_that_ended(tmp_path):
    (tmp_path / "x.yaml").write_text(KILLED)
    trials = tmp_path / "runs" / "x" / "trials"
    process = run(tmp_path)
    until_s = time.monotonic() + 120
    while time.monotonic() < until_s and process.poll() is None:
        if list(trials.glob("*/parts/fold-2/state.npz")):
            break
        time.sleep(0.005)
    tree = [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]
    for each in tree:
        each.kill()
    process.communicate()
    psutil.wait_procs(tree, timeout=10)
    killed_s = time.time()
    ended = {path: path.stat().st_mtime_ns for path in trials.glob("*/parts/*/result.json")}
    [cut] = [path.parent for path in trials.glob("*/parts/fold-2/state.npz")]
    assert cut.with_name("fold-1") / "result.json" in ended
    assert not (cut / "result.json").exists()

    again = run(tmp_path)
    _, errors = again.communicate(timeout=150)
    assert again.returncode == 0, errors
    assert {path: path.stat().st_mtime_ns for path in ended} == ended
    epochs = json.loads((cut / "result.json").read_text())["epochs"]
    assert len(epochs) == 25
    assert epochs[0]["ended_at_s"] < killed_s < epochs[-1]["ended_at_s"]

    study = hpsearch.open_study("x", tmp_path / "runs")
    assert [len(trial.parts) for trial in study.trials] == [3]
    in_peace = hpsearch.reproduce(study, 0)
    assert in_peace.agrees, in_peace.largest

    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    [found] = client.search_experiments(filter_string="name = 'x'")
    runs = client.search_runs([found.experiment_id], "tags.`hpsearch.kind` = 'part'")
    names = [(each.data.tags["hpsearch.trial"], each.data.tags["hpsearch.part"]) for each in runs]
    assert sorted(names) == [("0", f"fold-{k}") for k in (1, 2, 3)]
    assert {each.info.status for each in runs} == {"FINISHED"}
    for each in runs:
        history = client.get_metric_history(each.info.run_id, METRIC)
        assert sorted(point.step for point in history) == list(range(1, 26))
