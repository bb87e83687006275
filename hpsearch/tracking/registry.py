"""The champion in MLflow's model registry: one version a champion, however often it is crowned."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hpsearch.tracking import Champion, StudyRecord
from hpsearch.tracking.messages import Crown

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

ALIAS = "champion"


@dataclass(frozen=True)
class Registration:
    """A registered model's version."""

    name: str
    version: str
    trial: int


def model_name(name: str) -> str:
    """Returns a name that the registry accepts: no `/` or `:`, not only dots."""
    return re.sub(r"[/:]", "-", name).strip().strip(".") or "model"


def register(
    client: MlflowClient, message: Crown, record: StudyRecord, run_id: str, model_id: str
) -> Registration:
    """Registers the trial's model, or finds the version it has, and gives it the alias `champion`."""
    name = model_name(message.name)
    champion = message.champion
    version = _find(client, name, run_id) or _create(client, name, record, run_id, model_id)
    tags = {"hpsearch.study": record.name, "hpsearch.study_id": record.id, "hpsearch.trial": champion.trial}
    tested = champion.evaluation.metrics if champion.evaluation is not None else {}
    for key, value in {**tags, **tested}.items():
        if version.tags.get(key) != str(value):
            client.set_model_version_tag(name, version.version, key, str(value))
    text = _description(champion, record)
    if version.description != text:
        client.update_model_version(name, version.version, description=text)
    client.set_registered_model_alias(name, ALIAS, version.version)
    return Registration(name, str(version.version), champion.trial)


def upload_champion(client: MlflowClient, run_id: str, model_id: str, champion: Champion) -> None:
    """Copies the test evaluation and the exported files to the study's run, the latter to the model too."""
    if champion.evaluation is not None:
        folder = Path(champion.evaluation.samples).parent
        for name in champion.evaluation.files:
            if (folder / name).is_file():
                client.log_artifact(run_id, str(folder / name), str(Path("test") / Path(name).parent))
    for export in champion.exports:
        if Path(export.path).is_file():
            client.log_artifact(run_id, export.path, "export")
            client.log_model_artifact(model_id, export.path, "export")


def _find(client: MlflowClient, name: str, run_id: str) -> ModelVersion | None:
    versions = client.search_model_versions(f"name = {_quoted(name)}", max_results=1000)
    return next((v for v in versions if v.run_id == run_id), None)


def _create(client: MlflowClient, name: str, record: StudyRecord, run_id: str, model_id: str) -> ModelVersion:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name, description=f"Champions of the study {record.name}.")
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    # The plain location: MLflow looks `models:/m-...` up in its global store, which need not be this one.
    source = client.get_logged_model(model_id).artifact_location
    return client.create_model_version(name, source, run_id, model_id=model_id, await_creation_for=30)


def _description(champion: Champion, record: StudyRecord) -> str:
    def listed(values: dict[str, float]) -> str:
        return ", ".join(f"{name} {value:.4g}" for name, value in values.items())

    text = f"Trial {champion.trial} of the study {record.name}: {listed(dict(champion.metrics))}."
    if champion.evaluation is not None:
        # Those of single classes, which may be hundreds, are among the tags.
        sought = {f"test_{metric.removeprefix('val_')}" for metric in champion.metrics}
        tested = champion.evaluation.metrics.items()
        shown = {name: value for name, value in tested if "_class_" not in name or name in sought}
        text += f" On the test data: {listed(shown)}."
    for export in champion.exports:
        text += f" Exported as {export.format}: {Path(export.path).name}, {export.size_bytes} bytes."
    return text


def _quoted(text: str) -> str:
    return f'"{text}"' if "'" in text else f"'{text}'"
