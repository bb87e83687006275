"""Real searches, from the command line: a real model, worker processes, MLflow, LiteRT."""

import json
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest

from hpsearch.errors import StudyError
from hpsearch.study import Study
from hpsearch.study_folder import StudyFolder
from hpsearch.trial import TrialState

pytestmark = pytest.mark.slow

EXPERIMENT = """
model: {{name: mlp, options: {{max_layers: 2}}}}
data: blobs
objective: val_f1_macro
search:
  strategy: {strategy}
  trials: {trials}
  space:
    layers: [1, 2]
    units_1: [8, 16]
    activation: relu
    initializer: he_normal
    batch_norm: [false, true]
    dropout: 0.0
    l2: 0.0
    optimizer: adam
    learning_rate: [1e-3, 1e-2]
training: {{epochs: 4}}
"""


def hpsearch(*arguments, cwd):
    command = [sys.executable, "-m", "hpsearch", *arguments]
    return subprocess.Popen(command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process, code=0):
    out, err = process.communicate(timeout=240)
    assert process.returncode == code, err
    return out


def kill_everything(process):
    victims = [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]
    for victim in victims:
        victim.kill()
    process.communicate()
    psutil.wait_procs(victims, timeout=10)


def finished(folder):
    """Counts the trials that have ended."""
    try:
        return sum(trial.finished for trial in Study(folder).trials)
    except (StudyError, OSError):  # not begun
        return 0


def runs(cwd):
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{cwd / 'mlflow.db'}")
    experiments = [each.experiment_id for each in client.search_experiments()]
    return client, client.search_runs(experiments, max_results=1000)


@pytest.mark.parametrize("strategy", ["grid", "random", "bayesian", "hyperband", "optuna"])
def test_a_search_killed_in_the_middle_ends_with_the_records_of_one_that_was_not(tmp_path, strategy):
    trials = 6
    (tmp_path / "x.yaml").write_text(EXPERIMENT.format(strategy=strategy, trials=trials))
    folder = StudyFolder(tmp_path / "runs" / "x")

    process = hpsearch("run", "x.yaml", cwd=tmp_path)
    deadline_s = time.monotonic() + 120
    while finished(folder) < 2 and process.poll() is None and time.monotonic() < deadline_s:
        time.sleep(0.05)
    kill_everything(process)
    before = {t.number: t for t in Study(folder).trials if t.finished}
    assert len(before) >= 2

    document = json.loads(finish(hpsearch("run", "x.yaml", "--json", cwd=tmp_path)))

    study = Study(folder)
    assert study.state == "finished"
    assert [t.number for t in study.trials] == list(range(trials))
    assert {t.number: t for t in study.trials if t.number in before} == before  # nothing ran twice
    states = Counter(t.state for t in study.trials)
    assert states[TrialState.COMPLETE] + states[TrialState.PRUNED] == trials
    points = [json.dumps(t.params, sort_keys=True) for t in study.trials]
    assert len(set(points)) == trials

    client, found = runs(tmp_path)
    kinds = Counter(run.data.tags["hpsearch.kind"] for run in found)
    assert kinds == {"study": 1, "trial": trials}
    assert {run.info.status for run in found} == {"FINISHED"}
    parent = next(run for run in found if run.data.tags["hpsearch.kind"] == "study")
    children = {int(r.data.tags["hpsearch.trial"]): r for r in found if r is not parent}
    for trial in study.trials:
        run = children[trial.number]
        assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert run.data.tags["hpsearch.state"] == str(trial.state)
        assert {name: run.data.params[name] for name in trial.params} == {
            name: str(value) for name, value in trial.params.items()
        }
        history = client.get_metric_history(run.info.run_id, "val_f1_macro")
        assert [point.step for point in history] == list(range(1, trial.epochs + 1))
        files = {item.path for item in client.list_artifacts(run.info.run_id)}
        assert {"history.csv", "curves.png", "confusion_matrix.png"} <= files

    champion = study.champion
    assert champion["trial"] == study.best[0].number
    assert parent.data.metrics["test_f1_macro"] == pytest.approx(champion["test"]["test_f1_macro"])
    assert Path(champion["exports"][0]["path"]).stat().st_size == champion["exports"][0]["size_bytes"]
    version = client.get_model_version_by_alias("x", "champion")
    assert str(version.version) == champion["version"]
    assert document["champion"]["trial"] == champion["trial"]


def test_a_file_that_is_run_again_when_nothing_is_left_to_do_starts_nothing(tmp_path):
    (tmp_path / "x.yaml").write_text(EXPERIMENT.format(strategy="random", trials=2))
    first = json.loads(finish(hpsearch("run", "x.yaml", "--json", cwd=tmp_path)))
    process = hpsearch("run", "x.yaml", "--json", cwd=tmp_path)
    children = []
    while process.poll() is None:
        children += psutil.Process(process.pid).children() if psutil.pid_exists(process.pid) else []
        time.sleep(0.02)
    assert json.loads(finish(process)) == first
    assert children == []
    assert finish(hpsearch("sync", cwd=tmp_path)).splitlines()[1:] == [
        "trials: 2 were there already, 0 were not",
        "champion: registered, version 1",
        "All is there.",
    ]

    more = json.loads(finish(hpsearch("run", "x.yaml", "--trials", "3", "--json", cwd=tmp_path)))
    assert len(Study(StudyFolder(tmp_path / "runs" / "x")).trials) == 3
    assert more["champion"]["version"] is not None

    process = hpsearch("run", "x.yaml", "--set", "training.epochs=5", cwd=tmp_path)
    err = process.communicate(timeout=120)[1]
    assert process.returncode == 2
    assert "x.yaml: training.epochs: has changed since the study x began" in err
    assert "expected 4; received 5" in err


SCRIPT = """
import sys
import numpy as np
import hpsearch

print("top level", file=sys.stderr)
SCALE = 2.0


def build(hp):
    import keras

    @keras.saving.register_keras_serializable()
    class Scale(keras.layers.Layer):
        def call(self, x):
            return x * SCALE

    model = keras.Sequential([keras.Input((4,)), Scale(), keras.layers.Dense(hp.Int("units", 4, 8)),
                              keras.layers.Dense(1)])
    model.compile("adam", "mse")
    return model


x = np.random.default_rng(0).normal(size=(200, 4)).astype("float32")
study = hpsearch.search(hpsearch.Experiment(
    name="script", model=build, data=(x, x.sum(axis=1)), objective="val_r2",
    search={"trials": 2, "strategy": "random"}, training={"epochs": 2},
))
print(study.state, len(study.trials), study.champion["exports"][0]["agreement"])
"""


def test_a_script_without_a_main_guard_searches_once_with_its_own_model_and_arrays(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["finished", "2", "None"]
    assert done.stderr.count("top level") == 1
