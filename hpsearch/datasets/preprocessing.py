"""Inputs made from raw ones by statistics of the training rows: no other row is shown to what is fitted."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from hpsearch.datasets.data import Arrays, Preprocessing, Split, pick
from hpsearch.datasets.source import read_inputs
from hpsearch.errors import DataError, HpsearchError, fault
from hpsearch.references import summary

CHUNK = 65_536
"""Rows preprocessed at once."""


def preprocess(
    fit: Callable[[Arrays], Preprocessing], parts: dict[str, Split], where: str
) -> tuple[Preprocessing, dict[str, Split]]:
    """Fits on the inputs of the training rows, and applies what comes of it to those of all rows.

    Args:
        fit: Takes inputs, and returns what turns inputs into those to train on.
        parts: `train`, `validation` and `test`.
        where: Names the data set, for messages.

    Returns:
        What was fitted, and the parts with their new inputs.

    Raises:
        DataError: It fails, or gives no array of as many rows.
    """
    try:
        fitted = fit(parts["train"].x)
        done = {part: _applied(fitted, split.x, where) for part, split in parts.items()}
    except HpsearchError:
        raise
    except Exception as failure:
        raise DataError(fault(where, "the preprocessing failed", received=summary(failure))) from failure
    return fitted, {part: replace(split, x=done[part]) for part, split in parts.items()}


def _applied(fitted: Preprocessing, x: Arrays, where: str) -> Arrays:
    apply = _takes_text(fitted)
    rows = len(next(iter(x.values())) if isinstance(x, Mapping) else x)
    chunks: list[Any] = [
        read_inputs(apply(pick(x, slice(start, start + CHUNK))), where=where)
        for start in range(0, rows, CHUNK)
    ]
    if isinstance(chunks[0], Mapping):
        return {name: np.concatenate([chunk[name] for chunk in chunks]) for name in chunks[0]}
    return np.asarray(np.concatenate(chunks))


def _takes_text(fitted: Preprocessing) -> Preprocessing:
    """Returns what applies a Keras model to text on any backend.

    JAX and torch have no tensors of text, of which a model would first make its inputs. The layers that read
    text take arrays, and call TensorFlow themselves.
    """
    keras = sys.modules.get("keras")
    if keras is None or not isinstance(fitted, keras.Model) or keras.backend.backend() == "tensorflow":
        return fitted
    function = keras.Function(fitted.input, fitted.output)

    def apply(x: Any) -> Any:
        given = {name: x[name] for name in fitted.input} if isinstance(fitted.input, Mapping) else x
        return keras.tree.map_structure(keras.ops.convert_to_numpy, function(given))

    return apply
