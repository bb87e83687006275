"""What many architectures have in common: a single input, an output, a loss, an optimizer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import keras_tuner


def single_input(
    input_shape: Sequence[int], name: str, *, sizes: Sequence[int] = (), expected: str = ""
) -> tuple[int, ...]:
    """Returns the shape of a model's only input.

    Args:
        input_shape: Shape of one sample, as the model was given it.
        name: What messages call the model, e.g. `the CNN`.
        sizes: How many dimensions it may have. Default: any number.
        expected: What such a shape looks like, for messages.

    Raises:
        ValueError: There are several inputs, or the shape has another number of dimensions.
    """
    if isinstance(input_shape, Mapping):
        raise ValueError(f"{name} has one input; received {', '.join(map(str, input_shape))}")
    if sizes and len(input_shape) not in sizes:
        raise ValueError(f"{name} reads {expected}; received the shape {tuple(input_shape)}")
    return tuple(input_shape)


def predict(x: Any, classes: int | None, outputs: int = 1, *, l2: float = 0.0) -> Any:
    """Adds the layer `predictions`: `(batch, classes)` probabilities, or `(batch, outputs)` numbers.

    Args:
        x: Features, `(batch, features)`.
        classes: Number of classes; None for regression.
        outputs: Numbers to predict a sample, for regression. Default: 1.
        l2: Of the kernel. Default: none.
    """
    return keras.layers.Dense(
        outputs if classes is None else classes,
        activation=None if classes is None else "softmax",
        kernel_regularizer=keras.regularizers.L2(l2) if l2 else None,
        dtype="float32",  # even under mixed precision: softmax and errors need it
        name="predictions",
    )(x)


def compile_model(
    model: keras.Model,
    hp: keras_tuner.HyperParameters,
    classes: int | None,
    *,
    one_hot: bool = False,
    rates: tuple[float, float, float] = (1e-4, 1e-2, 1e-3),
) -> None:
    """Compiles a model whose output is `predictions`; declares `optimizer` and `learning_rate`.

    Args:
        model: Not compiled yet.
        hp: Receives the two hyperparameters.
        classes: Number of classes; None for regression.
        one_hot: Whether the targets are one-hot rows instead of class numbers. Default: False.
        rates: Least, largest and default learning rate. Default: 1e-4, 1e-2 and 1e-3.
    """
    optimizer = keras.optimizers.get(hp.Choice("optimizer", ["adam", "rmsprop", "sgd"]))
    low, high, default = rates
    optimizer.learning_rate = hp.Float("learning_rate", low, high, sampling="log", default=default)
    if classes is None:
        model.compile(optimizer, "mean_squared_error", metrics=["mean_absolute_error"])
    else:
        loss = f"{'' if one_hot else 'sparse_'}categorical_crossentropy"
        model.compile(optimizer, loss, metrics=["accuracy"])
