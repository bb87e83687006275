"""A real search for a small int8 file, from the command line: converter, interpreter and MLflow are real."""

import contextlib
import io
import json
import os
import re
import tempfile
from pathlib import Path

import pytest

import hpsearch
from hpsearch.cli.entry import call
from hpsearch.study import Study
from hpsearch.study_folder import StudyFolder
from hpsearch.trial import TrialState

pytestmark = pytest.mark.slow

FILE = Path(__file__).parents[1] / "experiments" / "digits_deploy.yaml"
SPACE = {
    "blocks": 1,
    "kernel_size": 3,
    "padding": "same",
    "batch_norm": False,
    "pool_after": "every",
    "pool_dropout": 0.0,
    "features": "flatten",
    "filters_1": 8,
    "dense": True,
    "dense_units": [16, 128, 512],
    "dropout": 0.0,
    "optimizer": "adam",
    "learning_rate": 0.005,
}
SETTINGS = {
    "search.strategy": "grid",
    "search.space": SPACE,
    "search.trials": 3,
    "resources.executor": "inline",
    "export.formats": ["int8"],
    "tracking.report": False,
}


class Printed:
    def __init__(self, arguments):
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            self.code = call([str(each) for each in arguments])
        self.out, self.err = out.getvalue(), err.getvalue()


def _run(*more, command="run"):
    settings = [f"--set={key}={json.dumps(value)}" for key, value in SETTINGS.items()]
    return Printed([command, FILE, *settings, *more])


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    before = os.getcwd()
    os.chdir(tmp_path_factory.mktemp("deploy"))
    try:
        printed = _run()
        assert printed.code == 0, printed.out + printed.err
        yield Study(StudyFolder(Path("runs/digits_deploy").absolute())), printed
    finally:
        os.chdir(before)


def test_only_what_can_be_deployed_is_trained_and_chosen(searched):
    study, _ = searched
    fits, large, huge = study.trials
    assert (fits.state, fits.feasible) == (TrialState.COMPLETE, True)
    assert fits.metrics["tflite_size_kib"] <= 20
    assert fits.metrics["tflite_accuracy"] >= 0.9
    assert fits.metrics["tflite_latency_ms"] > 0
    assert fits.values == (fits.metrics["tflite_accuracy"], fits.metrics["tflite_latency_ms"])
    assert (large.state, large.epochs, large.broken) == (TrialState.PRUNED, 0, ("tflite_size_kib <= 20",))
    assert large.metrics["tflite_size_kib"] > 20
    assert large.metrics["parameters"] <= 50000
    assert (huge.state, huge.epochs, huge.broken) == (TrialState.PRUNED, 0, ("parameters <= 50000",))
    assert "tflite_size_kib" not in huge.metrics  # it was not even converted
    assert study.best == (fits,)
    assert study.infeasible == (large, huge)


def test_the_file_that_is_delivered_is_the_one_that_was_measured(searched):
    study, _ = searched
    (export,) = study.champion["exports"]
    assert export["format"] == "int8"
    measured = study.best[0].metrics["tflite_size_kib"]
    assert export["size_bytes"] / 1024 == pytest.approx(measured, abs=0.1)


def test_it_is_reproduced_and_leaves_nothing_elsewhere(searched, tmp_path, monkeypatch):
    study, _ = searched
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    found = hpsearch.reproduce(study, 0)
    assert found.differences == ()
    assert [path.name for path in tmp_path.iterdir()] == ["temporary"]
    assert not [*tmp_path.rglob("*latenc*")]


def test_mlflow_has_the_metrics_and_a_tag(searched):
    from mlflow import MlflowClient

    client = MlflowClient("sqlite:///mlflow.db")
    found = client.search_runs([client.get_experiment_by_name("digits_deploy").experiment_id])
    trials = {run.data.tags["hpsearch.trial"]: run for run in found if "hpsearch.trial" in run.data.tags}
    assert [trials[n].data.tags["hpsearch.feasible"] for n in "012"] == ["true", "false", "false"]
    assert trials["1"].data.tags["hpsearch.broken"] == "tflite_size_kib <= 20"
    assert "Infeasible: not tflite_size_kib <= 20." in trials["1"].data.tags["mlflow.note.content"]
    assert trials["1"].data.metrics["best_tflite_size_kib"] > 20
    assert trials["0"].data.metrics["best_tflite_accuracy"] >= 0.9
    (study,) = [run for run in found if run.data.tags["hpsearch.kind"] == "study"]
    assert "1 complete, 2 pruned, 2 of them infeasible" in study.data.tags["mlflow.note.content"]


def test_people_are_told(searched):
    _, printed = searched
    assert "trial 2 pruned, infeasible: not parameters <= 50000 in 0 epochs" in printed.out
    facts = Printed(["status"]).out
    assert "2 of these: 1 not tflite_size_kib <= 20, 1 not parameters <= 50000" in facts
    assert "pruned, infeasible: not tflite_size_kib <= 20" in Printed(["trials"]).out
    assert "not parameters <= 50000" in Printed(["show", 2]).out
    documents = json.loads(Printed(["trials", "--json"]).out)
    assert [each["broken"] for each in documents][1:] == [["tflite_size_kib <= 20"], ["parameters <= 50000"]]
    assert json.loads(Printed(["status", "--json"]).out)["infeasible"] == 2
    assert Printed(["trials", "--filter", "feasible=true", "--json"]).out.count('"number"') == 1


def test_best_shows_the_front_and_the_best_at_a_condition(searched):
    study, _ = searched
    front = Printed(["best", "--pareto"])
    assert front.code == 0
    assert "the Pareto front, 1 of 1 complete trials" in front.out
    assert "tflite_latency_ms" in front.out
    assert [each["number"] for each in json.loads(Printed(["best", "--pareto", "--json"]).out)] == [0]
    at = Printed(["best", "--at", "tflite_size_kib<=20", "--at", "parameters<50000", "--json"])
    assert json.loads(at.out)["number"] == study.best[0].number
    assert "tflite_accuracy" in Printed(["best", "--at", "tflite_size_kib<=20"]).out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--at", "tflite_size_kib<=1"], "no trial that is complete and feasible meets the conditions; exp"),
        (["--at", "tflite_size<=1"], "--at: no such name; .*Did you mean `tflite_size_kib`"),
        (["--at", "small"], "--at: not a condition"),
        (["--pareto", "--at", "epochs>1"], "one at a time; expected `--pareto` or `--at`"),
    ],
)
def test_what_best_cannot_show_is_said(searched, arguments, message):
    printed = Printed(["best", *arguments])
    assert printed.code == 2
    assert re.search(message, printed.err), printed.err


def test_the_report_marks_what_is_infeasible(searched, tmp_path):
    from hpsearch.analysis.report import write_report

    page = write_report(searched[0], tmp_path).page.read_text()
    assert "(2 of them infeasible)" in page


def test_a_study_does_not_go_on_under_other_constraints(searched):
    assert _run().code == 0  # nothing is left to do
    printed = _run('--set=search.constraints=["tflite_size_kib <= 30"]')
    assert printed.code == 2
    assert "search.constraints: has changed since the study digits_deploy began" in printed.err


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"search.constraints": ["tflite_size <= 30"]},
            "search.constraints[0]: there is no such metric; expected one of accuracy, loss, ",
        ),
        (
            {"objective": "tflite_accuracy", "search.strategy": "hyperband"},
            "search.strategy: trials are stopped early by the objective after each epoch; expected an "
            "objective that epochs report, e.g. `val_loss`; received tflite_accuracy",
        ),
        (
            {"objective": ["val_accuracy", "tflite_size_kib"], "search.strategy": {"pruner": "median"}},
            "search.strategy.pruner: trials cannot be pruned when there are several objectives",
        ),
        ({"objective": "tflite_rmse"}, "objective: there is no such metric"),
    ],
)
def test_what_cannot_be_searched_is_refused_before_a_trial(tmp_path, monkeypatch, settings, message):
    monkeypatch.chdir(tmp_path)
    more = [f"--set={key}={json.dumps(value)}" for key, value in settings.items()]
    printed = _run(*more, command="check")
    assert printed.code == 2
    assert message in printed.err
