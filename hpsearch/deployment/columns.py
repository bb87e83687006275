"""The statistics of a table's columns, out of the Keras layers that `hpsearch.datasets.encoding` made.

Keras is not there where a packaged model runs: NumPy does the same with these numbers
(`litert_runtime/preprocessing.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

_LOOKUP: dict[str, Any] = {
    "output_mode": "one_hot",
    "mask_token": None,
    "num_oov_indices": 1,
    "invert": False,
}
_WORDS: dict[str, Any] = {"output_mode": "tf_idf", "standardize": "lower_and_strip_punctuation"}
_WORDS |= {"split": "whitespace", "ngrams": None}


def read(model: Mapping[str, Any]) -> dict[str, Any] | None:
    """Reads the columns of a preprocessing model.

    Args:
        model: As `keras.Model.to_json` writes it.

    Returns:
        `numbers`, `categories` and `texts`, in their order; None if the layers are others than ours: a
        preprocessing of the user's own.
    """
    try:
        return _read(model["config"])
    except (KeyError, TypeError, ValueError, IndexError, StopIteration):
        return None


def _read(config: Mapping[str, Any]) -> dict[str, Any]:
    layers = {layer["name"]: layer for layer in config["layers"]}
    named = {place[0]: column for column, place in config["input_layers"].items()}
    found: dict[str, Any] = {"numbers": [], "categories": [], "texts": []}
    if normalization := layers.get("encode_numbers"):
        stack = layers[_source(normalization)]
        columns = [named[each["config"]["keras_history"][0]] for each in stack["inbound_nodes"][0]["args"][0]]
        marked = _marked(layers)
        statistics = zip(
            columns, normalization["config"]["mean"], normalization["config"]["variance"], strict=True
        )
        found["numbers"] = [
            {"name": name, "mean": mean, "variance": variance, "missing": place in marked}
            for place, (name, mean, variance) in enumerate(statistics)
        ]
    for layer in _numbered(layers, "encode_category", _LOOKUP):
        values = [str(each) for each in layer["config"]["vocabulary"]]
        found["categories"].append({"name": named[_source(layer)], "values": values})
    for layer in _numbered(layers, "encode_text", _WORDS):
        words, weights = layer["config"]["vocabulary"], layer["config"]["idf_weights"]
        unknown = float(np.mean(np.asarray(weights, np.float32)))  # as Keras weighs them
        words = [str(each) for each in words]
        found["texts"].append(
            {"name": named[_source(layer)], "words": words, "weights": weights, "unknown": unknown}
        )
    if len(named) != sum(map(len, found.values())):
        raise ValueError("some columns go elsewhere")
    return found


def _numbered(layers: Mapping[str, Any], prefix: str, settings: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Returns our layers of a kind, in the order in which their parts of the row follow each other."""
    names = [f"{prefix}_{number}" for number in range(len(layers))]
    found = [layers[name] for name in names if name in layers]
    for layer in found:
        if any(layer["config"][key] != value for key, value in settings.items()):
            raise ValueError(f"{layer['name']} is set otherwise")
    return found


def _source(layer: Mapping[str, Any]) -> str:
    """Returns the name of the layer that a layer's only input comes from."""
    return str(layer["inbound_nodes"][0]["args"][0]["config"]["keras_history"][0])


def _marked(layers: Mapping[str, Any]) -> list[int]:
    """Returns the places of the numbers that have a second column, which says where they are missing."""
    taken = [layer for layer in layers.values() if layer["class_name"] == "Take"]
    return list(taken[0]["inbound_nodes"][0]["args"][1]) if taken else []
