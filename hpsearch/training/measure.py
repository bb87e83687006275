"""One pass over a split: the loss, what the model compiles with, and every prediction.

Keras's `evaluate` gives the metrics and `predict` the predictions, each with a pass of its own and about
50 ms to start it; here one small graph gives both, with the numbers of `evaluate`; on torch, one
pass without a graph.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import keras
import numpy as np

from hpsearch.models.stateful import fixed_batch, reset_states
from hpsearch.training.distribution import devices
from hpsearch.training.loops import take_apart_with
from hpsearch.training.mirrored import divided
from hpsearch.training.placed import fits_device, placed
from hpsearch.training.scan import scanned_forward, scanned_test, scans

if TYPE_CHECKING:
    from hpsearch.datasets import Split

Returned = TypeVar("Returned")
Measured = tuple[dict[str, float], Any]
"""Metrics as `evaluate` names them, and the outputs for all rows in the structure the model returns."""


def measure(model: keras.Model, split: Split, batch_size: int) -> Callable[[], Measured]:
    """Makes ready to measure a compiled model on a split as often as needed.

    Args:
        model: Compiled.
        split: The rows, in whose order the outputs come; `arranged` for a stateful model.
        batch_size: Rows a step. A loss that compares the rows of a batch depends on it; a stateful model
            has its own.

    Returns:
        A function without arguments that measures the model as it is then.
    """
    batch_size = fixed_batch(model) or batch_size
    step = _test_step(model)
    if not _is_plain(model):
        return _from_rest(model, _twice(model, split, batch_size))
    if _graph_fits(model):
        outputs = _pass(model, lambda batch: step(batch)[0], split, batch_size)
    elif scans(model, split):
        outputs = scanned_test(model, step, split, batch_size)
    elif keras.backend.backend() == "torch":
        outputs = _eagerly(model, lambda batch: step(batch)[0], split, batch_size)
    else:
        return _from_rest(model, _twice(model, split, batch_size))

    def once() -> Measured:
        model.reset_metrics()
        predicted = outputs()
        return _floats(model.get_metrics_result()), predicted

    return _from_rest(model, once)


def forward(model: keras.Model, split: Split, batch_size: int) -> Callable[[], Any]:
    """Makes ready to compute a model's outputs for a split as often as needed, compiled or not.

    Returns:
        A function without arguments that returns the outputs of the model as it is then.
    """
    batch_size = fixed_batch(model) or batch_size
    if _graph_fits(model):
        run = _pass(model, lambda batch: model(batch[0], training=False), split, batch_size)
    elif scans(model, split):
        run = scanned_forward(model, split, batch_size)
    else:
        rows = _InOrder((split.x,), len(split), batch_size)
        return _from_rest(model, lambda: model.predict(rows, verbose=0))
    return _from_rest(model, run)


def _from_rest(model: keras.Model, run: Callable[[], Returned]) -> Callable[[], Returned]:
    """Has a stateful model begin in its initial state, and leaves it in that."""
    if fixed_batch(model) is None:
        return run

    def rested() -> Returned:
        reset_states(model)
        try:
            return run()
        finally:
            reset_states(model)

    return rested


def _graph_fits(model: keras.Model) -> bool:
    return keras.backend.backend() == "tensorflow" and not getattr(model, "run_eagerly", False)


def _is_plain(model: keras.Model) -> bool:
    """Whether an evaluation step is Keras's own, so that every metric is in `model.metrics`."""
    names = ("test_step", "compute_metrics", "get_metrics_result")
    return all(getattr(type(model), name) is getattr(keras.Model, name) for name in names)


def _twice(model: keras.Model, split: Split, batch_size: int) -> Callable[[], Measured]:
    """The ordinary way, in two passes."""
    outputs = forward(model, split, batch_size)

    def run() -> Measured:
        rows = _InOrder(_parts(split), len(split), batch_size)
        logs = model.evaluate(rows, verbose=0, return_dict=True)
        return _floats(logs), outputs()

    return run


class _InOrder(keras.utils.PyDataset):  # type: ignore[misc]  # Keras has no types
    """Rows in their order, a batch at a time: those that are on disk stay there."""

    def __init__(self, parts: tuple[Any, ...], rows: int, batch_size: int) -> None:
        super().__init__()
        self._parts = parts
        self._rows = rows
        self._batch_size = batch_size

    def __len__(self) -> int:
        return -(-self._rows // self._batch_size)

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        start = index * self._batch_size
        return _cut(self._parts, start, start + self._batch_size)


def _test_step(model: keras.Model) -> Callable[..., tuple[Any, Any]]:
    """Returns Keras's own `test_step` that returns beside its result the predictions it keeps to itself."""

    def step(*given: Any) -> tuple[Any, Any]:
        seen: list[Any] = []
        compute_metrics = model.compute_metrics

        def look(x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> Any:
            seen.append(y_pred)
            return compute_metrics(x, y, y_pred, sample_weight=sample_weight)

        model.compute_metrics = look  # `test_step` hands the predictions to it; only while tracing
        try:
            returned = model.test_step(*given)
        finally:
            del model.compute_metrics
        return seen[0], returned

    return step


def _pass(model: keras.Model, step: Callable[[Any], Any], split: Split, batch_size: int) -> Callable[[], Any]:
    """Makes ready to run `step` over all rows; returns what gives its outputs, joined."""
    import tensorflow as tf

    def spec(array: Any) -> Any:
        return tf.TensorSpec((None, *array.shape[1:]), array.dtype)

    example = _mapped(spec, next(_batches(split, 1)))
    traced = tf.function(divided(model, step), autograph=False).get_concrete_function(example)
    count = devices(model)
    if count == 1 and fits_device(split):
        return _whole_pass(traced, split, batch_size)

    def run(batch: Any) -> Any:
        return traced(*keras.tree.flatten(_mapped(tf.convert_to_tensor, batch)))

    return lambda: _joined([run(batch) for batch in _batches(split, batch_size, count)])


def _eagerly(
    model: keras.Model, step: Callable[[Any], Any], split: Split, batch_size: int
) -> Callable[[], Any]:
    """Runs `step` over all rows on torch, without gradients; returns what gives its outputs, joined."""
    import torch

    def run() -> Any:
        model.eval()
        with torch.no_grad():
            batches = (_mapped(keras.ops.convert_to_tensor, each) for each in _batches(split, batch_size))
            return _joined([step(batch) for batch in batches])

    return run


def _whole_pass(step: Any, split: Split, batch_size: int) -> Callable[[], Any]:
    """Runs a traced step over all rows in one call of the backend."""
    import tensorflow as tf

    rows = keras.tree.flatten(placed(split))
    total = len(split)
    outputs = keras.tree.flatten(step.structured_outputs)

    def whole() -> Any:
        def body(start: Any, number: Any, *collected: Any) -> Any:
            results = keras.tree.flatten(step(*(array[start : start + batch_size] for array in rows)))
            written = (each.write(number, result) for each, result in zip(collected, results, strict=True))
            return start + batch_size, number + 1, *written

        collect = [
            tf.TensorArray(output.dtype, 0, dynamic_size=True, element_shape=output.shape, infer_shape=False)
            for output in outputs
        ]
        ended = tf.while_loop(lambda start, *_: start < total, body, [0, 0, *collect], parallel_iterations=1)
        return [each.concat() for each in ended[2:]]

    graph = tf.function(whole, autograph=False).get_concrete_function()
    to_numpy = keras.ops.convert_to_numpy

    def once() -> Any:
        return keras.tree.pack_sequence_as(step.structured_outputs, [to_numpy(each) for each in graph()])

    take_apart_with(once, graph)
    return once


def _batches(split: Split, batch_size: int, least: int = 1) -> Iterator[Any]:
    """Yields all rows; fewer than `least` (one a device) that would be left go with those before."""
    rows, start = len(split), 0
    while start < rows:
        stop = start + max(batch_size, least)
        stop = rows if rows - stop < least else stop
        yield _cut(_parts(split), start, stop)
        start = stop


def _parts(split: Split) -> tuple[Any, ...]:
    return (split.x, split.y) if split.sample_weight is None else (split.x, split.y, split.sample_weight)


def _cut(parts: tuple[Any, ...], start: int, stop: int) -> tuple[Any, ...]:
    return tuple(_mapped(partial(_rows, start=start, stop=stop), part) for part in parts)


def _rows(array: Any, start: int, stop: int) -> Any:
    """Cuts rows out, and casts float64 to Keras's float as `fit` does."""
    rows = array[start:stop]
    return rows.astype(keras.config.floatx()) if rows.dtype == np.float64 else rows


def _mapped(function: Callable[[Any], Any], arrays: Any) -> Any:
    if isinstance(arrays, Mapping):
        return {name: _mapped(function, array) for name, array in arrays.items()}
    if isinstance(arrays, tuple):
        return tuple(_mapped(function, array) for array in arrays)
    return function(arrays)


def _joined(outputs: list[Any]) -> Any:
    """Puts the batches' outputs together."""
    return keras.tree.map_structure(
        lambda *batches: np.concatenate([keras.ops.convert_to_numpy(batch) for batch in batches]), *outputs
    )


def _floats(logs: Mapping[str, Any]) -> dict[str, float]:
    return {name: float(value) for name, value in logs.items()}
