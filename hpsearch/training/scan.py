"""On JAX: all batches of a split in one call of the backend, by `jax.lax.scan`.

The steps are Keras's own, from state and batch to state: what they compute is what `fit` and `evaluate`
compute. The rows that do not fill a batch take one step more.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from numpy.typing import NDArray

from hpsearch.training.placed import fits_device, placed

if TYPE_CHECKING:
    from hpsearch.datasets import Split

State = tuple[list[Any], ...]
"""Variables or their values, in the order in which Keras's steps take them: those that are trained, those
that are not, the optimizer's where there is training, the metrics' where there are metrics."""


def scans(model: keras.Model, split: Split) -> bool:
    """Whether a model's steps can be scanned: on JAX, compiled, over rows that fit the device."""
    return (
        keras.backend.backend() == "jax"
        and not getattr(model, "run_eagerly", False)
        and bool(getattr(model, "jit_compile", False))
        and fits_device(split)
    )


def traced_outputs(model: keras.Model, batch: Split) -> Any:
    """Traces a call of a built model; returns its outputs, without their values."""
    import jax

    weights = _values(_variables(model))
    return jax.eval_shape(lambda *given: model.stateless_call(*given)[0], *weights, placed(batch)[0])


def traced_steps(model: keras.Model, batch: Split) -> tuple[Any, Any]:
    """Traces a step of training and one of testing; returns their logs, without their values."""
    import jax

    data = placed(batch)
    model._symbolic_build(data_batch=data)
    weights, metrics = _values(_variables(model)), _values((model.metrics_variables,))
    optimizer = _values((model.optimizer.variables,))
    trained, _ = jax.eval_shape(model.train_step, (*weights, *optimizer, *metrics), data)
    tested, _ = jax.eval_shape(model.test_step, (*weights, *metrics), data)
    return trained, tested


def scanned_training(
    model: keras.Model, split: Split, batch_size: int
) -> Callable[[NDArray[Any]], dict[str, float]] | None:
    """Makes ready to train a compiled model epoch by epoch.

    Returns:
        A function of an epoch's order, all of the same length, that returns the metrics of training; None
        where the model trains in its own way.
    """
    if type(model).train_step is not keras.Model.train_step:
        return None
    rows = placed(split)
    model._symbolic_build(data_batch=keras.tree.map_structure(lambda part: part[:batch_size], rows))

    def step(state: State, batch: Any) -> tuple[Any, State]:
        return (), model.train_step(state, batch)[1]

    def variables() -> State:
        return (*_variables(model), model.optimizer.variables, model.metrics_variables)

    scan = _Scan(step, rows, batch_size)

    def train_epoch(order: NDArray[Any]) -> dict[str, float]:
        model.reset_metrics()
        scan(variables(), order.astype(np.int32))
        return {name: float(value) for name, value in model.get_metrics_result().items()}

    return train_epoch


def scanned_test(
    model: keras.Model, step: Callable[..., tuple[Any, Any]], split: Split, batch_size: int
) -> Callable[[], Any]:
    """Makes ready to test a compiled model on all rows: its metrics are updated, its outputs returned.

    Args:
        model: Compiled.
        step: From state and batch to predictions and what `model.test_step` returns.
        split: The rows, in whose order the outputs come.
        batch_size: Rows a step.
    """
    rows = placed(split)
    model._symbolic_build(data_batch=keras.tree.map_structure(lambda part: part[:batch_size], rows))

    def one(state: State, batch: Any) -> tuple[Any, State]:
        outputs, (_, after) = step(state, batch)
        return outputs, after

    scan, order = _Scan(one, rows, batch_size), np.arange(len(split), dtype=np.int32)
    return lambda: _numpy(scan((*_variables(model), model.metrics_variables), order))


def scanned_forward(model: keras.Model, split: Split, batch_size: int) -> Callable[[], Any]:
    """Makes ready to compute a model's outputs for all rows, in their order."""

    def step(state: State, batch: Any) -> tuple[Any, State]:
        outputs, others = model.predict_step(state, batch)
        return outputs, (state[0], others)

    scan, order = _Scan(step, placed(split)[:1], batch_size), np.arange(len(split), dtype=np.int32)
    return lambda: _numpy(scan(_variables(model), order))


class _Scan:
    """A step over the batches of an order, compiled when it is first called.

    Args:
        step: From state and batch to outputs with as many rows, and the state after it.
        rows: Arrays on the device, in the structure of a batch.
        batch_size: Rows a step.
    """

    def __init__(self, step: Callable[[State, Any], tuple[Any, State]], rows: Any, batch_size: int) -> None:
        self._step = step
        self._rows = rows
        self._batch_size = batch_size
        self._compiled: Any = None

    def __call__(self, variables: State, order: NDArray[np.int32]) -> Any:
        """Takes the steps, gives the variables their new values, returns the outputs of all rows in order.

        Args:
            variables: Whose values are the state.
            order: Numbers of rows; as many in every call.
        """
        import jax

        given = _values(variables), self._rows, order
        if self._compiled is None:  # its memory is that of the values before it
            self._compiled = jax.jit(self._run, donate_argnums=0).lower(*given).compile()
        outputs, state = self._compiled(*given)
        for part, values in zip(variables, state, strict=True):
            for variable, value in zip(part, values, strict=True):
                variable.assign(value)
        return outputs

    def _run(self, state: Any, rows: Any, order: Any) -> tuple[Any, Any]:
        import jax

        def body(state: Any, batch: Any) -> tuple[Any, Any]:
            taken = jax.tree.map(lambda part: part[batch], rows)
            outputs, after = self._step(state, taken)
            return tuple(list(part) for part in after), outputs

        whole = len(order) // self._batch_size * self._batch_size
        parts = []
        if whole:
            state, outputs = jax.lax.scan(body, state, order[:whole].reshape(-1, self._batch_size))
            parts.append(jax.tree.map(lambda each: each.reshape(whole, *each.shape[2:]), outputs))
        if whole < len(order):
            state, outputs = body(state, order[whole:])
            parts.append(outputs)
        return jax.tree.map(lambda *each: jax.numpy.concatenate(each), *parts), state


def _variables(model: keras.Model) -> State:
    return (model.trainable_variables, model.non_trainable_variables)


def _values(variables: State) -> State:
    return tuple([each.value for each in part] for part in variables)


def _numpy(outputs: Any) -> Any:
    return keras.tree.map_structure(np.array, outputs)
