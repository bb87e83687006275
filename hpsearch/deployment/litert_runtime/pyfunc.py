"""A packaged folder as a model of MLflow's `python_function` flavour."""

from __future__ import annotations

from typing import Any

import numpy as np

from .inputs import names
from .model import Model
from .payload import frame


class Predictor:
    """What `mlflow.pyfunc.load_model` wraps."""

    def __init__(self, model: Model) -> None:
        self._model = model

    def predict(self, data: Any, params: dict[str, Any] | None = None) -> Any:  # noqa: ARG002
        """Predicts rows of a data frame, an array, a list, or a dict of these by input.

        Returns:
            An array, or one for each output of several.
        """
        if hasattr(data, "columns") and hasattr(data, "itertuples"):  # a data frame, without importing pandas
            rows = [list(row) for row in data.itertuples(index=False, name=None)]
            given = frame(list(data.columns), rows, self._model.description)
        elif isinstance(data, dict):
            given = data
        else:
            given = {names(self._model.description)[0]: np.asarray(data)}
        outputs = self._model.predict(given)
        return outputs if len(outputs) > 1 else next(iter(outputs.values()))


def _load_pyfunc(path: str) -> Predictor:
    return Predictor(Model.load(path))
