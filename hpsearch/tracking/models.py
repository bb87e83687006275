"""A trial's `model.keras` as a model that `mlflow.keras.load_model` and `mlflow.pyfunc.load_model` load.

`mlflow.keras.log_model` would load TensorFlow into the driver and re-save the model. The file is already
what MLflow wants, so only the description around it is written here: `MLmodel`, the environment, and the
two lines by which MLflow's Keras flavour finds the file.

    MLmodel                  flavours `keras` and `python_function`, signature
    data/model.keras         the trial's file, unchanged
    data/keras_module.txt    `keras`
    requirements.txt, python_env.yaml, conda.yaml
"""

from __future__ import annotations

import ast
import tempfile
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from hpsearch.tracking import StudyRecord
from hpsearch.trial import DataSummary

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.models import ModelSignature

MODEL_NAME = "model"
"""Of the LoggedModel: it is found by `runs:/<run id>/model`."""


def log_model(
    client: MlflowClient,
    experiment_id: str,
    run_id: str,
    keras_file: Path,
    record: StudyRecord,
    params: Mapping[str, str],
) -> str:
    """Makes a file the run's LoggedModel, unless it is already; returns the model's id.

    Args:
        client: Of the store.
        experiment_id: MLflow's experiment.
        run_id: The trial's run.
        keras_file: A file called `model.keras`.
        record: Of the study: versions, and the data set's shapes for the signature.
        params: The trial's hyperparameters, by MLflow's names.
    """
    from mlflow.entities import LoggedModelOutput

    model = find_model(client, experiment_id, run_id)
    if model is not None and model.status == "READY":
        return str(model.model_id)
    run = client.get_run(run_id)
    if model is None:
        model = client.create_logged_model(
            experiment_id, name=MODEL_NAME, source_run_id=run_id, params=dict(params), model_type="keras"
        )
    linked = run.outputs.model_outputs if run.outputs else ()
    if model.model_id not in {output.model_id for output in linked}:  # a second link is refused
        client.log_outputs(run_id, [LoggedModelOutput(model.model_id, step=0)])
    client.log_model_artifact(model.model_id, str(keras_file), "data")
    with tempfile.TemporaryDirectory() as folder:
        describe_model(Path(folder), model.model_id, run_id, record, keras_file.stat().st_size)
        client.log_model_artifacts(model.model_id, folder)
    client.finalize_logged_model(model.model_id, "READY")
    return str(model.model_id)


def find_model(client: MlflowClient, experiment_id: str, run_id: str) -> Any | None:
    """Returns the run's LoggedModel, if it has one."""
    mine = f"name = '{MODEL_NAME}' AND source_run_id = '{run_id}'"
    return next(iter(client.search_logged_models([experiment_id], filter_string=mine)), None)


def describe_model(folder: Path, model_id: str, run_id: str, record: StudyRecord, size_bytes: int) -> None:
    """Writes everything of an MLflow model but `data/model.keras`, as `mlflow.keras.save_model` does."""
    import mlflow.pyfunc
    from mlflow.models import Model

    versions = record.versions
    model = Model(run_id=run_id, model_id=model_id, signature=signature_of(record.data))
    model.add_flavor(
        "keras",
        data="data",
        keras_version=versions.get("keras", ""),
        keras_backend=versions.get("backend", "tensorflow"),
        save_exported_model=False,
    )
    environment = {"conda_env": "conda.yaml", "python_env": "python_env.yaml"}
    mlflow.pyfunc.add_to_model(model, loader_module="mlflow.keras", **environment)
    model.model_size_bytes = size_bytes
    model.save(str(folder / "MLmodel"))

    (folder / "data").mkdir()
    (folder / "data" / "keras_module.txt").write_text("keras")
    needed = [f"mlflow=={mlflow.__version__}", *requirements(versions)]
    (folder / "requirements.txt").write_text("\n".join(needed))
    python = versions.get("python", "3.11")
    pip = {"python": python, "build_dependencies": ["pip"], "dependencies": ["-r requirements.txt"]}
    (folder / "python_env.yaml").write_text(yaml.safe_dump(pip, sort_keys=False))
    conda = {
        "channels": ["conda-forge"],
        "dependencies": [f"python={python}", "pip", {"pip": needed}],
        "name": "mlflow-env",
    }
    (folder / "conda.yaml").write_text(yaml.safe_dump(conda, sort_keys=False))


def requirements(versions: Mapping[str, str]) -> list[str]:
    """Returns the packages a trained model needs, at the versions that trained it, whatever their build."""
    names = [name for name in ("keras", "tensorflow", "jax", "torch", "numpy") if name in versions]
    return [f"{_distribution(name)}=={versions[name].partition('+')[0]}" for name in names]


def signature_of(data: DataSummary) -> ModelSignature | None:
    """Returns what the model takes, from the shapes of the data set's inputs; None if they do not say."""
    import numpy as np
    from mlflow.models import ModelSignature
    from mlflow.types.schema import Schema, TensorSpec

    specs = []
    for label, text in data.shapes.items():
        if label != "x" and not label.startswith("x["):
            continue
        shape, _, kind = text.rpartition(" ")
        try:
            dimensions = (-1, *ast.literal_eval(shape))
            # MLflow's unnamed tensor is what `predict` receives as one array; named ones come as a mapping.
            specs.append(TensorSpec(np.dtype(kind), dimensions, None if label == "x" else label[2:-1]))
        except (ValueError, SyntaxError, TypeError):
            return None
    return ModelSignature(inputs=Schema(specs)) if specs else None


def _distribution(name: str) -> str:
    """TensorFlow comes under several names; the one that is installed here is the one that trained."""
    if name == "tensorflow":
        for candidate in ("tensorflow", "tensorflow-cpu"):
            try:
                version(candidate)
            except PackageNotFoundError:
                continue
            return candidate
    return name
