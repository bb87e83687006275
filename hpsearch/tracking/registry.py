"""The champion in MLflow's model registry: one version a champion, however often it is crowned."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hpsearch.tracking import Champion, StudyRecord
from hpsearch.tracking.messages import Crown
from hpsearch.trial import VOCABULARY_FILE
from hpsearch.variants import comparisons

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
    client: MlflowClient, message: Crown, record: StudyRecord, run_id: str, model_id: str, study: str
) -> Registration:
    """Registers the trial's model, or finds the version it has, and gives it the alias `champion`.

    Args:
        client: Of the store.
        message: Says which trial, and the registered model's name.
        record: Of the study.
        run_id: The trial's run.
        model_id: Its LoggedModel.
        study: The link to the study's run, for the description.
    """
    name = model_name(message.name)
    champion = message.champion
    version = _find(client, name, run_id) or _create(client, name, record, run_id, model_id)
    tags = {"hpsearch.study": record.name, "hpsearch.study_id": record.id, "hpsearch.trial": champion.trial}
    for key, value in {**tags, **_tested(champion)}.items():
        if version.tags.get(key) != str(value):
            client.set_model_version_tag(name, version.version, key, str(value))
    text = _description(champion, study)
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
        # The file, the record of what it is, and the vocabulary of a model of text.
        for path in (export.path, f"{export.path}.json", f"{export.path}.{VOCABULARY_FILE}"):
            if Path(path).is_file():
                client.log_artifact(run_id, path, "export")
                client.log_model_artifact(model_id, path, "export")
            elif Path(path).is_dir():
                client.log_artifacts(run_id, path, f"export/{Path(path).name}")
                client.log_model_artifacts(model_id, path, f"export/{Path(path).name}")


def export_metrics(champion: Champion) -> dict[str, float]:
    """Returns the exported files' numbers as metrics: `export_int8_size_kib`, `export_int8_f1`, ..."""
    found: dict[str, float] = {}
    for export in champion.exports:
        numbers = {"size_kib": export.size_bytes / 1024, **export.scores}
        if export.agreement is not None:
            numbers["agreement"] = export.agreement
        if export.speed is not None:
            numbers["latency_ms"] = export.speed.default.median_ms
        found |= {f"export_{export.format}_{name}": value for name, value in numbers.items()}
    return found


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


def _tested(champion: Champion) -> dict[str, float]:
    """Returns the test metrics without those of single classes, which may be hundreds; the runs have them."""
    if champion.evaluation is None:
        return {}
    sought = {f"test_{metric.removeprefix('val_')}" for metric in champion.metrics}
    metrics = champion.evaluation.metrics.items()
    return {name: value for name, value in metrics if "_class_" not in name or name in sought}


def _description(champion: Champion, study: str) -> str:
    def listed(values: Mapping[str, float]) -> str:
        return ", ".join(f"{name} {value:.4g}" for name, value in values.items())

    text = f"Trial {champion.trial} of the study {study}: {listed(champion.metrics)}."
    if tested := _tested(champion):
        text += f" On the test data: {listed(tested)}."
    for export in champion.exports:
        text += f" Exported as {export.format}: {Path(export.path).name}, {export.size_bytes} bytes."
    return " ".join([text, *(f"{sentence}." for sentence in comparisons(champion.exports))])


def _quoted(text: str) -> str:
    return f'"{text}"' if "'" in text else f"'{text}'"
