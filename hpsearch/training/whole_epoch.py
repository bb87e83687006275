"""A whole epoch in one call of the backend: the rows lie on the device, the order of the epoch is the input.

`model.fit` goes back to Python between any two steps, which costs a small model more than the step itself.
Here Keras's own `train_step` runs in a loop of the graph; what it computes is what `fit` computes, to the bit
on a CPU. It holds whatever a compiled model does: losses, metrics, sample weights, any optimizer. Callbacks
see epochs, not batches, as with `steps_per_execution`. On JAX `scan.py` makes the loop; torch has no graph,
and takes `fit`.

    train_epoch = whole_epoch(model, split, batch_size)  # None where it cannot be done
    train_epoch(order)                                   # the metrics of training
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import keras
from numpy.typing import NDArray

from hpsearch.training.distribution import devices
from hpsearch.training.loops import take_apart_with
from hpsearch.training.placed import fits_device, placed
from hpsearch.training.scan import scanned_training, scans

if TYPE_CHECKING:
    from hpsearch.datasets import Split
    from hpsearch.training.feed import Shuffled

TrainEpoch = Callable[[NDArray[Any]], dict[str, float]]
"""Trains on the rows of an order, `(rows,)`, and returns the metrics as `fit` names them."""


def whole_epoch(model: keras.Model, split: Split, batch_size: int) -> TrainEpoch | None:
    """Makes ready to train a compiled model epoch by epoch.

    Args:
        model: Compiled.
        split: The rows to train on.
        batch_size: Rows a step; the last step of an epoch may have fewer.

    Returns:
        A function of an epoch's order; None where the rows do not fit the device, or the model runs in its
        own way.
    """
    if scans(model, split):
        return scanned_training(model, split, batch_size)
    if model.run_eagerly or not fits_device(split) or devices(model) > 1:
        return None
    if keras.backend.backend() != "tensorflow":
        return None
    import tensorflow as tf

    rows = placed(split)
    model._symbolic_build(data_batch=keras.tree.map_structure(lambda part: part[:batch_size], rows))
    step: Any = model.train_step
    if model.jit_compile:
        step = tf.function(step, jit_compile=True, reduce_retracing=True)

    def train(order: Any) -> Any:
        total = tf.shape(order)[0]

        def body(start: Any) -> Any:
            batch = order[start : start + batch_size]
            step(keras.tree.map_structure(lambda part: tf.gather(part, batch), rows))
            return start + batch_size

        tf.while_loop(lambda start: start < total, body, [0], parallel_iterations=1)
        return model.get_metrics_result()

    # A concrete function is traced once, and never again behind our back.
    graph = tf.function(train, autograph=False).get_concrete_function(tf.TensorSpec((None,), tf.int32))

    def train_epoch(order: NDArray[Any]) -> dict[str, float]:
        model.reset_metrics()
        logs = graph(tf.constant(order, tf.int32))
        return {name: float(value) for name, value in logs.items()}

    take_apart_with(train_epoch, graph)
    return train_epoch


def train_by_epochs(
    model: keras.Model,
    train_epoch: TrainEpoch,
    source: Shuffled,
    *,
    initial_epoch: int,
    epochs: int,
    callbacks: Sequence[keras.callbacks.Callback],
) -> None:
    """Trains as `model.fit(source, ...)` does, each epoch in one call.

    Args:
        model: That of `train_epoch`.
        train_epoch: Trains one epoch.
        source: Gives the order of an epoch's rows.
        initial_epoch: Where to begin, from 0.
        epochs: Where to end.
        callbacks: See the beginning and the end of the training and of each epoch.
    """
    watching = keras.callbacks.CallbackList(
        list(callbacks), model=model, verbose=0, epochs=epochs, steps=len(source)
    )
    model.stop_training = False
    watching.on_train_begin()
    for epoch in range(initial_epoch, epochs):
        watching.on_epoch_begin(epoch)
        logs = train_epoch(source.order)
        watching.on_epoch_end(epoch, logs)
        if model.stop_training:
            break
    watching.on_train_end()
