"""The rows that an export is made and judged with, beside the test evaluation.

samples.npz          test rows: an array for each input of the model, by its name
truth.npz            what is true of them: class numbers or amounts, for each output by its name
calibration.npz      training rows, as the samples: integer files take the ranges of their numbers from them
preprocessing.json   the Keras layers before the model, if a table's columns went through some
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from hpsearch.datasets.text import vocabulary_of
from hpsearch.files import whole, write_text
from hpsearch.models.stateful import fixed_batch
from hpsearch.training.lanes import arranged
from hpsearch.training.outputs import class_numbers, targets_of
from hpsearch.trial import CALIBRATION_FILE, ONLY_OUTPUT, PREPROCESSING_FILE, SAMPLES_FILE, TRUTH_FILE

if TYPE_CHECKING:
    from hpsearch.datasets import Data, Split
    from hpsearch.datasets.data import Array

TEST_ROWS = 1024
TRAINING_ROWS = 200
"""TensorFlow's guides name 100 to 500; more hardly move the ranges."""
MOST_BYTES = 32 * 2**20
"""Of one array of samples; of large pictures there are fewer rows."""


def write_samples(folder: Path, model: keras.Model, data: Data) -> None:
    """Writes the files.

    Args:
        folder: Where to.
        model: Its inputs' names and types are read.
        data: Gives the rows: of the test split the first ones, of the training split some by chance. A
            stateful model's are in the order in which it sees them.
    """
    write_rows(folder, model, data, data.test, TEST_ROWS)
    before = data.preprocessing
    if isinstance(before, keras.Model) and not vocabulary_of(before):  # a vocabulary is a file of its own
        write_text(folder / PREPROCESSING_FILE, before.to_json(indent=2))


def write_rows(folder: Path, model: keras.Model, data: Data, split: Split, most: int) -> None:
    """Writes the files but for the preprocessing.

    Args:
        folder: Where to.
        model: Its inputs' names and types are read.
        data: The split is of it; gives the training rows.
        split: The samples are its first rows.
        most: How many at most.
    """
    judged, train = arranged(model, split), arranged(model, data.train)
    count = _rows(judged, most)
    _write(folder / SAMPLES_FILE, samples_of(model, judged, count))
    _write(folder / TRUTH_FILE, _truth(data, judged.select(slice(count))))
    drawn = np.arange(_rows(train, TRAINING_ROWS))
    if fixed_batch(model) is None:  # else their order counts
        drawn = np.sort(np.random.default_rng(0).permutation(len(train))[: len(drawn)])
    _write(folder / CALIBRATION_FILE, samples_of(model, train.select(drawn), len(drawn)))


def samples_of(model: keras.Model, split: Split, count: int) -> dict[str, Any]:
    """Returns the first rows of a split as the model takes them: by input name, in the input's type.

    Args:
        model: Its inputs' names and types are read.
        split: The rows.
        count: How many at most.
    """
    rows = split.take(slice(count)).x
    inputs = getattr(model, "inputs", None)
    if not inputs:  # a subclassed model: its inputs have no names
        return dict(rows) if isinstance(rows, Mapping) else {"input_0": rows}
    if not isinstance(rows, Mapping):
        rows = {inputs[0].name: rows}
    names = _names(model, inputs)
    return {tensor.name: rows[names[tensor.name]].astype(tensor.dtype) for tensor in inputs}


def _names(model: keras.Model, inputs: list[Any]) -> dict[str, str]:
    """Returns for each input tensor's name the key under which the model takes its rows."""
    keyed = getattr(model, "_inputs_struct", None)  # what the user wrote: `keras.Model({"key": tensor}, ...)`
    names = {tensor.name: tensor.name for tensor in inputs}
    if isinstance(keyed, Mapping):
        names |= {tensor.name: key for key, tensor in keyed.items()}
    return names


def _truth(data: Data, split: Split) -> dict[str, Array]:
    """Returns class numbers, or amounts as floats; nothing of rows with several classes each."""
    found = {}
    y = split.y
    for target in targets_of(data):
        array = y[target.name] if isinstance(y, Mapping) and target.name else y
        array = np.asarray(next(iter(array.values())) if isinstance(array, Mapping) else array)
        if target.task == "classification":
            found[target.name or ONLY_OUTPUT] = class_numbers(array)
        elif target.task == "regression":
            found[target.name or ONLY_OUTPUT] = array.astype(np.float32)
    return found


def _rows(split: Split, most: int) -> int:
    """Returns how many rows to keep: fewer of what is large."""
    size = max(np.dtype(array.dtype).itemsize * int(np.prod(array.shape[1:])) for _, array in split.arrays())
    return min(most, max(64, MOST_BYTES // max(size, 1)), len(split))


def _write(target: Path, arrays: Mapping[str, Array]) -> None:
    with whole(target) as path:
        np.savez(path, **arrays)  # type: ignore[arg-type]
