"""The file in the interpreter: real numbers in, real numbers and the classes they mean out."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .inputs import tensors, wrong

DESCRIPTION = "model.json"
CHUNK = 32
"""Most rows run at once, where the file leaves their number free."""

Arrays = dict[str, "np.ndarray[Any, Any]"]


class Model:
    """A model that threads may share: each has an interpreter of its own.

    Example:
        >>> model = Model.load("digits")
        >>> outputs = model.predict({"input_0": images})
        >>> model.classes(outputs)
        {'output_0': ['7', '2', '1']}
    """

    def __init__(self, content: bytes, description: Mapping[str, Any]) -> None:
        """Opens a model.

        Args:
            content: Of the `.tflite` file.
            description: What `model.json` holds.

        Raises:
            ValueError: The content is not what was verified, or the interpreter cannot run it.
        """
        if hashlib.sha256(content).hexdigest() != description["sha256"]:
            raise ValueError(
                f"{description['file']}: not the file that was verified: its SHA-256 is another than in the "
                "description. Package the model again."
            )
        self.description = description
        self._content = content
        self._local = threading.local()
        self._runner()

    @classmethod
    def load(cls, folder: str | Path) -> Model:
        """Opens the model of a packaged folder.

        Raises:
            OSError: A file is missing.
            ValueError: A file is not what it was.
        """
        description = json.loads((Path(folder) / DESCRIPTION).read_text(encoding="utf-8"))
        return cls((Path(folder) / description["file"]).read_bytes(), description)

    def predict(self, given: Mapping[str, Any]) -> Arrays:
        """Predicts rows.

        Args:
            given: Values of all rows by input; of a model of text under `text`, of one of a table by column.

        Returns:
            An array for each output.

        Raises:
            InputError: The values are not what the model takes, or it makes no numbers of them.
        """
        outputs = self.run(tensors(self.description, given))
        for name, array in outputs.items():
            bad = ~np.isfinite(array.reshape(len(array), -1)).all(axis=1)
            if bad.any():
                raise wrong(
                    f"output `{name}`",
                    "the model returns NaN or infinity",
                    received=f"such a number for row {int(bad.argmax()) + 1}",
                    advice="Its inputs may be far from those it was trained on.",
                )
        return outputs

    def run(self, arrays: Arrays) -> Arrays:
        """Runs arrays that are right; see `inputs.tensors`."""
        rows = len(next(iter(arrays.values())))
        batch = self.description["inputs"][0]["shape"][0]
        runner = self._runner()
        parts = []
        for start in range(0, rows, batch or CHUNK):
            if batch:  # a fixed size: the last batch is filled with rows that are there
                some = np.arange(start, start + batch) % rows
            else:
                some = np.arange(start, min(start + CHUNK, rows))
            parts.append(runner({name: array[some] for name, array in arrays.items()}))
        return {name: np.concatenate([part[name] for part in parts])[:rows] for name in parts[0]}

    def classes(self, outputs: Arrays) -> dict[str, list[Any]]:
        """Returns what each output that tells classes says: their names, or else their numbers.

        Of units that are each a yes or no, the names of those that say yes.
        """
        names = self.description["class_names"]
        found = {}
        for each in self.description["outputs"]:
            if each["classes"]:
                found[each["name"]] = _decided(outputs[each["name"]], each["classes"], names)
        return found

    def _runner(self) -> _Runner:
        """Returns this thread's interpreter; for a file that keeps state a new one, which has none yet."""
        if self.description["stateful"] or not hasattr(self._local, "runner"):
            self._local.runner = _Runner(self._content)
        runner: _Runner = self._local.runner
        return runner


class _Runner:
    def __init__(self, content: bytes) -> None:
        from ai_edge_litert.interpreter import Interpreter

        try:
            self._interpreter = Interpreter(model_content=content, num_threads=1)
            self._run = self._interpreter.get_signature_runner()
        except RuntimeError as failure:
            raise ValueError(f"the interpreter cannot run the file: {_one_line(failure)}") from failure
        self._inputs = self._run.get_input_details()
        self._outputs = self._run.get_output_details()

    def __call__(self, arrays: Arrays) -> Arrays:
        given = {name: _encoded(arrays[name], each) for name, each in self._inputs.items()}
        try:
            outputs = self._run(**given)
        except (RuntimeError, ValueError) as failure:
            raise wrong("the model", "it cannot compute with this", received=_one_line(failure)) from failure
        return {name: _decoded(outputs[name], each) for name, each in self._outputs.items()}


def _encoded(array: np.ndarray[Any, Any], details: Mapping[str, Any]) -> np.ndarray[Any, Any]:
    """Returns the integers that stand for real numbers, where the file takes such."""
    scale, zero_point = details["quantization"]
    if not scale:
        return array
    limits = np.iinfo(details["dtype"])
    integers = np.round(array / scale + zero_point)
    return np.asarray(np.clip(integers, limits.min, limits.max).astype(details["dtype"]))


def _decoded(array: np.ndarray[Any, Any], details: Mapping[str, Any]) -> np.ndarray[Any, Any]:
    scale, zero_point = details["quantization"]
    if not scale:
        return array
    return np.asarray(((array.astype(np.float32) - zero_point) * scale).astype(np.float32))


def _decided(output: np.ndarray[Any, Any], rule: Mapping[str, Any], names: list[str]) -> list[Any]:
    threshold = rule.get("above")
    if threshold is None:
        return _named(output.argmax(axis=-1).tolist(), names)
    if output.ndim == 1 or output.shape[-1] == 1:
        return _named((output > threshold).astype(int).reshape(len(output), -1)[:, 0].tolist(), names)
    said = (output > threshold).reshape(len(output), -1)
    return [_named(np.flatnonzero(row).tolist(), names) for row in said]


def _named(numbers: list[Any], names: list[str]) -> list[Any]:
    return [
        _named(each, names) if isinstance(each, list) else (names[each] if each < len(names) else each)
        for each in numbers
    ]


def _one_line(failure: Exception) -> str:
    return " ".join(str(failure).split())[:300]
