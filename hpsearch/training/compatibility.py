"""Do model and data fit together? One small batch shows it, before any trial."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras

from hpsearch.datasets.data import Arrays, Data, Split
from hpsearch.errors import ModelError, fault
from hpsearch.references import summary
from hpsearch.training.scan import scans, traced_outputs, traced_steps

_ROWS = 8
# Keras's losses that compare element by element: a target of another shape would be broadcast silently.
_ELEMENTWISE = {
    "meansquarederror", "mse", "meanabsoluteerror", "mae", "meanabsolutepercentageerror", "mape",
    "meansquaredlogarithmicerror", "msle", "huber", "logcosh", "poisson", "binarycrossentropy", "bce",
    "binaryfocalcrossentropy", "hinge", "squaredhinge",
}  # fmt: skip


def first_rows(model: keras.Model, data: Data) -> Split:
    """Returns the first training rows: as many as the model's batch has, if that is fixed, or 8."""
    shape = getattr(model, "input_shape", None)
    fixed = shape[0] if isinstance(shape, tuple) and shape and isinstance(shape[0], int) else _ROWS
    return data.train.take(slice(0, min(fixed, len(data.train))))


def try_input(model: keras.Model, batch: Split, *, where: str) -> Any:
    """Calls the model once; afterwards it is built.

    Args:
        model: Of any kind.
        batch: A few rows.
        where: Names the model, for messages.

    Returns:
        Its outputs.

    Raises:
        ModelError: It does not accept the input.
    """
    try:
        if model.built and scans(model, batch):
            return traced_outputs(model, batch)
        return model(keras.tree.map_structure(keras.ops.convert_to_tensor, batch.x), training=False)
    except Exception as failure:
        accepted = getattr(model, "input_shape", None)
        raise ModelError(
            fault(
                where,
                "it does not accept the data's input",
                expected=str(accepted) if accepted else None,
                received=f"{_shapes(batch.x)}: {summary(failure)}",
                advice="Build it for `input_shape`; a constructor or function with that argument gets it.",
            )
        ) from failure


def try_step(model: keras.Model, data: Data, batch: Split, outputs: Any, *, where: str) -> tuple[str, ...]:
    """Does one step of training and of testing with a model that is thrown away afterwards.

    On JAX the steps are traced only: it is there that they fail, and to compile operation by operation takes
    10 to 20 s for a small model.

    Args:
        model: Compiled; its weights change.
        data: Whose `batch` it is.
        batch: A few rows.
        outputs: Of `try_input`.
        where: Names the model, for messages.

    Returns:
        The metrics that the model itself reports, e.g. `loss`, `accuracy`, `val_loss`, `val_accuracy`.

    Raises:
        ModelError: Its output does not fit the target, or a metric fails.
    """
    _check_output(model, data, batch, outputs, where)
    try:
        if scans(model, batch):
            trained, tested = traced_steps(model, batch)
        else:
            model.run_eagerly = True  # no graph is traced for one batch, and errors name the user's line
            tested = model.test_on_batch(batch.x, batch.y, batch.sample_weight, return_dict=True)
            trained = model.train_on_batch(batch.x, batch.y, batch.sample_weight, return_dict=True)
    except Exception as failure:
        raise ModelError(
            fault(
                where,
                "it cannot be trained on the data",
                expected=f"an output and metrics for the target {_shapes(batch.y)}",
                received=f"{_shapes(outputs)}: {summary(failure)}",
                advice=_advice(model, data),
            )
        ) from failure
    return (*trained, *(f"val_{name}" for name in tested))


def _check_output(model: keras.Model, data: Data, batch: Split, outputs: Any, where: str) -> None:
    """Finds what Keras would train on without a word; only for its own losses, a user's may mean it."""
    loss = _loss_name(model)
    if loss is None or isinstance(batch.y, Mapping) or not hasattr(outputs, "shape"):
        return
    output, target = tuple(outputs.shape[1:]), tuple(batch.y.shape[1:])
    if loss == "sparsecategoricalcrossentropy" and data.classes and output[-1:] < (data.classes,):
        raise ModelError(
            fault(
                where,
                "its output has too few classes",
                expected=f"{data.classes} ({', '.join(data.class_names[:12])})",
                received=f"an output of shape {(None, *output)}",
            )
        )
    if loss in _ELEMENTWISE and _squeezed(output) != _squeezed(target):
        raise ModelError(
            fault(
                where,
                f"its output does not fit the target under the loss `{model.loss}`",
                expected=f"shape {(None, *target)}",
                received=f"shape {(None, *output)}",
            )
        )


def _loss_name(model: keras.Model) -> str | None:
    loss = getattr(model, "loss", None)
    if isinstance(loss, keras.losses.Loss):
        own = type(loss)
    elif callable(loss):
        own = loss
    else:
        return loss.replace("_", "").lower() if isinstance(loss, str) else None
    return own.__name__.replace("_", "").lower() if own.__module__.startswith("keras.") else None


def _squeezed(shape: tuple[int, ...]) -> tuple[int, ...]:
    return shape[:-1] if shape and shape[-1] == 1 else shape


def _advice(model: keras.Model, data: Data) -> str | None:
    loss = _loss_name(model)
    y = data.train.y
    if isinstance(y, Mapping) or data.task != "classification":
        return None
    if loss == "categoricalcrossentropy" and y.ndim == 1:
        return "The targets are class numbers: use `sparse_categorical_crossentropy`, or give one-hot rows."
    if loss == "sparsecategoricalcrossentropy" and y.ndim == 2:
        return "The targets are one-hot rows: use `categorical_crossentropy`."
    return None


def _shapes(arrays: Arrays | Any) -> str:
    if isinstance(arrays, Mapping):
        return ", ".join(f"{name}: {_shapes(array)}" for name, array in arrays.items())
    if isinstance(arrays, list | tuple):
        return ", ".join(_shapes(array) for array in arrays)
    return str((None, *arrays.shape[1:]))
