"""The folder as a model of MLflow: `mlflow models serve -m FOLDER`, `mlflow.pyfunc.load_model(FOLDER)`.

The loader is code in the folder, found by its name: nothing is pickled.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import yaml

from hpsearch.deployment.litert_runtime.inputs import TEXT, kind
from hpsearch.tracking.store import set_defaults

if TYPE_CHECKING:
    from mlflow.models import ModelSignature


def files(description: Mapping[str, Any]) -> dict[str, str]:
    """Returns `MLmodel` and `python_env.yaml`."""
    set_defaults()
    import mlflow
    from mlflow.models import Model
    from mlflow.pyfunc import add_to_model

    model = Model(signature=_signature(description))
    add_to_model(model, loader_module="litert_runtime.pyfunc", code=".", python_env="python_env.yaml")
    needed = ["-r requirements.txt", f"mlflow=={mlflow.__version__}"]
    environment = {"python": description["versions"]["python"], "build_dependencies": ["pip"]}
    text = yaml.safe_dump(environment | {"dependencies": needed}, sort_keys=False)
    return {"MLmodel": str(model.to_yaml()), "python_env.yaml": text}


def _signature(description: Mapping[str, Any]) -> ModelSignature:
    from mlflow.models import ModelSignature
    from mlflow.types.schema import ColSpec, DataType, Schema

    takes = kind(description)
    outputs = _tensors(description["outputs"])
    if takes == "tensors":
        return ModelSignature(_tensors(description["inputs"]), outputs)
    if takes == "text":
        return ModelSignature(Schema([ColSpec(DataType.string, TEXT)]), outputs)
    columns = description["columns"]
    specs = [ColSpec(DataType.double, each["name"], required=False) for each in columns["numbers"]]
    texts = (*columns["categories"], *columns["texts"])
    specs += [ColSpec(DataType.string, each["name"], required=False) for each in texts]
    return ModelSignature(Schema(specs), outputs)


def _tensors(tensors: list[dict[str, Any]]) -> Any:
    import numpy as np
    from mlflow.types.schema import Schema, TensorSpec

    def sizes(tensor: Mapping[str, Any]) -> tuple[int, ...]:
        return (-1, *(-1 if size is None else size for size in tensor["shape"][1:]))

    alone = len(tensors) == 1  # an unnamed tensor is what `predict` receives as one array
    return Schema(
        [
            TensorSpec(np.dtype(each["dtype"]), sizes(each), None if alone else each["name"])
            for each in tensors
        ]
    )
