import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from hpsearch.tracking import Champion, StudyRecord
from hpsearch.tracking.mlflow import MlflowTracker
from hpsearch.tracking.models import describe_model, requirements, signature_of
from hpsearch.trial import DataSummary, Result, TrialSpec, TrialState

LOAD = """
import json, sys
import keras, numpy as np
folder, uri = sys.argv[1:]
keras.utils.set_random_seed(1)
model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, activation="softmax")])
model.save(folder + "/model.keras")
x = np.random.default_rng(0).random((5, 4), dtype="float32")
np.save(folder + "/y.npy", model.predict(x, verbose=0))
print("ready", flush=True)
run_id = sys.stdin.readline().strip()

import mlflow, mlflow.keras, mlflow.pyfunc
mlflow.set_tracking_uri(uri)
y = np.load(folder + "/y.npy")
differences = {}
for name in (f"runs:/{run_id}/model", "models:/digits@champion"):
    differences["keras " + name] = float(abs(mlflow.keras.load_model(name).predict(x, verbose=0) - y).max())
    differences["pyfunc " + name] = float(abs(mlflow.pyfunc.load_model(name).predict(x) - y).max())
print("done " + json.dumps(differences), flush=True)
"""


def summary(**shapes):
    return DataSummary("digits", "0f" * 8, "classification", {"train": 10}, shapes)


def study(tmp_path, data, **versions):
    return StudyRecord(
        "digits", "0f3a", str(tmp_path), "", "random", {"loss": "minimize"}, {}, data, versions
    )


@pytest.mark.slow
def test_a_trials_model_loads_back_through_keras_and_pyfunc(uri, tmp_path):
    """TensorFlow lives in one child: it trains, waits for the tracker here, and loads."""
    before = "tensorflow" in sys.modules  # of another test in this process
    folder = tmp_path / "trial"
    folder.mkdir()
    child = subprocess.Popen(
        [sys.executable, "-c", LOAD, str(folder), uri],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert child.stdout.readline().strip() == "ready"
    tracker = MlflowTracker(uri, "digits")
    tracker.open_study(study(tmp_path, summary(x="(4,) float32"), keras="3.15.0"))
    spec = TrialSpec(0, {}, 0, str(folder))
    tracker.finish_trial(
        spec, TrialState.COMPLETE, Result({}, {"loss": 0.1}, 1, 1, 1.0, files=("model.keras",))
    )
    assert tracker.crown(Champion(0, {"loss": 0.1}, str(folder / "model.keras")), "digits") == "1"
    tracker.close()

    from mlflow import MlflowClient

    run_id = MlflowClient(uri).get_model_version_by_alias("digits", "champion").run_id
    output, errors = child.communicate(run_id + "\n", timeout=120)
    line = next((line for line in output.splitlines() if line.startswith("done ")), None)
    assert line is not None, errors[-2000:]
    differences = json.loads(line.removeprefix("done "))
    assert len(differences) == 4
    assert set(differences.values()) == {0.0}
    assert ("tensorflow" in sys.modules) == before


def test_the_folder_is_what_mlflows_own_flavour_writes(tmp_path):
    versions = {"python": "3.11.7", "keras": "3.15.0", "numpy": "2.4.0", "backend": "jax", "jax": "0.5.0"}
    record = study(tmp_path, summary(x="(8, 8, 1) uint8"), **versions)
    folder = tmp_path / "model"
    folder.mkdir()
    describe_model(folder, "m-1", "r1", record, 1234)
    written = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert written == {
        "MLmodel",
        "conda.yaml",
        "data/keras_module.txt",
        "python_env.yaml",
        "requirements.txt",
    }
    described = yaml.safe_load((folder / "MLmodel").read_text())
    assert described["flavors"]["keras"] == {
        "data": "data",
        "keras_backend": "jax",
        "keras_version": "3.15.0",
        "save_exported_model": False,
    }
    assert described["flavors"]["python_function"]["loader_module"] == "mlflow.keras"
    assert (described["model_id"], described["run_id"]) == ("m-1", "r1")
    assert described["model_size_bytes"] == 1234
    needed = (folder / "requirements.txt").read_text().splitlines()
    assert needed[1:] == ["keras==3.15.0", "jax==0.5.0", "numpy==2.4.0"]
    assert needed[0].startswith("mlflow==")
    assert yaml.safe_load((folder / "python_env.yaml").read_text())["python"] == "3.11.7"


def test_requirements_name_only_what_trained():
    assert requirements({"keras": "3.15.0", "python": "3.11", "backend": "tensorflow"}) == ["keras==3.15.0"]


def test_one_input_is_an_unnamed_tensor():
    [tensor] = signature_of(summary(x="(64,) float32", y="() int64")).inputs.inputs
    assert (tensor.name, tensor.shape, tensor.type) == (None, (-1, 64), np.dtype("float32"))


def test_several_inputs_keep_their_names():
    inputs = signature_of(
        summary(**{"x[image]": "(8, 8) uint8", "x[age]": "() float32", "y": "() int64"})
    ).inputs
    assert {tensor.name: tensor.shape for tensor in inputs.inputs} == {"image": (-1, 8, 8), "age": (-1,)}


@pytest.mark.parametrize("shapes", [{}, {"y": "() int64"}, {"x": "unknown"}, {"x": "(4,) nonsense"}])
def test_shapes_that_do_not_say_give_no_signature(shapes):
    assert signature_of(summary(**shapes)) is None


def test_a_model_is_logged_once_however_often_it_is_sent(uri, tmp_path):
    from mlflow import MlflowClient

    folder = tmp_path / "trial"
    folder.mkdir()
    (folder / "model.keras").write_bytes(b"weights")
    spec = TrialSpec(0, {}, 0, str(folder))
    result = Result({}, {"loss": 0.1}, 1, 1, 1.0, files=("model.keras",))
    client = MlflowClient(uri)
    for _ in range(2):
        tracker = MlflowTracker(uri, "digits")
        tracker.open_study(study(tmp_path, summary(x="(4,) float32")))
        tracker.finish_trial(spec, TrialState.COMPLETE, result)
        tracker.close()
        experiment_id = client.get_experiment_by_name("digits").experiment_id
        [run] = client.search_runs([experiment_id], "tags.`hpsearch.kind` = 'trial'")
        # As if the process had been killed after everything was sent and before the run was closed.
        client.update_run(run.info.run_id, status="RUNNING")
    [model] = client.search_logged_models([experiment_id])
    assert [output.model_id for output in run.outputs.model_outputs] == [model.model_id]
    stored = Path(model.artifact_location.removeprefix("file://").replace("%20", " "))
    assert (stored / "data" / "model.keras").read_bytes() == b"weights"
