"""`model.json`: all that a file's user has to know, out of the export's record and what is beside it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hpsearch.deployment import columns
from hpsearch.deployment.verified import Verified
from hpsearch.errors import ExportError, fault

FILE = "model.tflite"
STATE = "ASSIGN_VARIABLE"
"""The operator of a file that keeps state from one call to the next."""


def describe(verified: Verified) -> dict[str, Any]:
    """Returns what `litert_runtime` needs to run a file, and what people ask about it.

    Raises:
        ExportError: The vocabulary of a model of text is not beside the file.
    """
    record = verified.record
    source, comparison = record["source"], record["comparison"]
    inputs = [_tensor(each) for each in record["inputs"]]
    notes = list(record["notes"])
    found: dict[str, Any] = {
        "name": source.get("study") or verified.file.stem,
        "study": source.get("study"),
        "trial": source.get("trial"),
        "data": source.get("data"),
        "format": record["format"],
        "file": FILE,
        "sha256": record["sha256"],
        "size_bytes": record["size_bytes"],
        "inputs": inputs,
        "outputs": [_tensor(each) for each in record["outputs"]],
        "class_names": record["class_names"],
        "white": _white(inputs),
        "text": None,
        "columns": None,
        "stateful": STATE in record["ops"],
        "scores": comparison["scores"],
        "keras_scores": comparison["keras_scores"],
        "agreement": comparison["agreement"],
        "largest_difference": comparison["largest"],
        "samples": comparison["samples"],
        "speed": record["speed"],
        "ops": record["ops"],
        "versions": record["versions"],
    }
    if vocabulary := record.get("vocabulary"):
        found["text"] = {"vocabulary": _vocabulary(verified, vocabulary["file"])}
    elif before := record.get("preprocessing"):
        found["columns"] = columns.read(before)
        if found["columns"] is None:
            notes.append("takes what the data set's own preprocessing makes of its inputs")
    return found | {"notes": notes}


def _tensor(recorded: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a tensor as its user sees it: real numbers, where integers stand for them."""
    kept = {key: recorded.get(key) for key in ("name", "shape", "dtype", "range", "classes")}
    if recorded.get("scale") is None:
        return kept | {"stored": None}
    stored = {key: recorded[key] for key in ("dtype", "scale", "zero_point")}
    return kept | {"dtype": "float32", "stored": stored}


def _white(inputs: list[dict[str, Any]]) -> float | None:
    """Returns the number of a white pixel, where the input is a picture: 1 or 255, as in the test rows."""
    (first, *others) = inputs
    shape, (low, high) = first["shape"], first["range"] or (-1, -1)
    if others or len(shape) != 4 or shape[-1] not in (1, 3) or low < 0 or high > 255:
        return None
    return 255.0 if high > 1 or first["dtype"] == "uint8" else 1.0


def _vocabulary(verified: Verified, name: str) -> list[str]:
    file = verified.file.with_name(name)
    try:
        return file.read_text(encoding="utf-8").split("\n")[:-1]
    except FileNotFoundError:
        what = "the vocabulary that the model's texts are read with does not exist"
        raise ExportError(
            fault(str(file), what, advice="Export the model again: `hpsearch export`.")
        ) from None
