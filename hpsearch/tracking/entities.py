"""The user's names and values as MLflow accepts them.

Names keep what the user called them; only characters that MLflow refuses are replaced. Batches need no
splitting here: `MlflowClient.log_batch` divides them at MLflow's limits.
"""

from __future__ import annotations

import getpass
import json
import posixpath
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hpsearch.trial import DataSummary

if TYPE_CHECKING:
    from mlflow.entities import DatasetInput, Metric, Param, RunTag

NAME_LENGTH = 250
PARAM_LENGTH = 6_000
TAG_LENGTH = 8_000
_REFUSED = re.compile(r"[^\w./ -]")


class Names:
    """Makes names fit, and keeps two names apart that would become the same.

    Example:
        >>> names = Names()
        >>> names.fit("val_f1_macro"), names.fit("precision@10"), names.fit("precision#10")
        ('val_f1_macro', 'precision_10', 'precision_10_2')
    """

    def __init__(self) -> None:
        self._fitted: dict[str, str] = {}
        self._taken: set[str] = set()

    def fit(self, name: str) -> str:
        """Returns the name to use; always the same for the same `name`."""
        if name not in self._fitted:
            base = candidate = _fit(name)
            count = 1
            while candidate in self._taken:
                count += 1
                candidate = f"{base[: NAME_LENGTH - 8]}_{count}"
            self._taken.add(candidate)
            self._fitted[name] = candidate
        return self._fitted[name]


def _fit(name: str) -> str:
    fitted = _REFUSED.sub("_", name)[:NAME_LENGTH] or "_"
    # MLflow makes file paths of names: none may be absolute, climb up, or name the same file as another.
    if posixpath.normpath(fitted) != fitted or fitted.startswith(("/", ".")):
        fitted = fitted.replace("/", "_").lstrip(".") or "_"
    return fitted


def shorten(text: str, most: int) -> str:
    """Cuts `text` to `most` characters and says so in it."""
    if len(text) <= most:
        return text
    note = f" … (of {len(text)} characters)"
    return text[: most - len(note)] + note


def to_metrics(
    values: Mapping[str, float], names: Names, *, step: int, at_s: float, model_id: str | None = None
) -> list[Metric]:
    """Returns MLflow's metrics. NaN and infinities are values too; MLflow stores them as its store can.

    Args:
        values: Value by the user's name.
        names: Makes the names fit.
        step: The epoch, or what else counts.
        at_s: When it was measured, Unix time.
        model_id: The LoggedModel whose metrics they are.
    """
    from mlflow.entities import Metric

    return [
        Metric(names.fit(name), float(value), int(at_s * 1000), step, model_id=model_id)
        for name, value in values.items()
    ]


def to_params(values: Mapping[str, Any], names: Names) -> list[Param]:
    """Returns MLflow's params; long values are cut."""
    from mlflow.entities import Param

    return [Param(names.fit(name), shorten(str(value), PARAM_LENGTH)) for name, value in values.items()]


def to_tags(values: Mapping[str, object]) -> list[RunTag]:
    """Returns MLflow's tags; long values are cut, those that are None are left out."""
    from mlflow.entities import RunTag

    return [
        RunTag(_fit(name), shorten(str(value), TAG_LENGTH))
        for name, value in values.items()
        if value is not None
    ]


def origin() -> dict[str, str]:
    """Returns the tags by which MLflow's tables say who made a run, and with what."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        user = "unknown"
    return {"mlflow.user": user, "mlflow.source.name": "hpsearch", "mlflow.source.type": "LOCAL"}


def to_dataset(data: DataSummary) -> DatasetInput:
    """Returns the data set as an input of a run: name, digest, split sizes, shapes."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    profile = {"num_rows": sum(data.sizes.values()), "task": data.task, **data.sizes}
    if data.class_names:
        profile["classes"] = len(data.class_names)
    dataset = Dataset(
        name=shorten(data.name, 500),
        digest=data.digest[:36],
        source_type="hpsearch",
        source=json.dumps({"name": data.name}),
        schema=json.dumps(dict(data.shapes)),
        profile=json.dumps(profile),
    )
    return DatasetInput(dataset, tags=[InputTag("mlflow.data.context", "training")])
