"""Training a model of several devices so that its numbers are those of one.

They are the same but for rounding and the random numbers of dropout and noise, also where the devices' parts
of a batch differ in size. Keras 3.15 divides the batches; what it leaves undone is done here.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import keras

from hpsearch.errors import ModelError, fault
from hpsearch.models.compiled import inner_optimizer
from hpsearch.models.stateful import fixed_batch
from hpsearch.training.distribution import devices

_SUM = "_all_reduce_sum_gradients"
"""Method of a Keras optimizer: adds up the gradients of the devices."""


@contextmanager
def distributed(model: keras.Model) -> Iterator[None]:
    """Has a model of several devices train as it would on one; does nothing to a model of one.

    A train step of the user's own is left alone: it must scale its loss as `tf.distribute` asks. So is what
    each device counts by itself: the valid steps of masked sequences, and sample weights where a loss divides
    by their sum. A loop around `train_on_batch` gains nothing: Keras gives each device the whole batch.

    Raises:
        ModelError: It is stateful, runs eagerly, or its optimizer cannot be distributed.
    """
    if devices(model) == 1:
        yield
        return
    _check(model)
    if model.steps_per_execution != 1:
        print("hpsearch: steps_per_execution=1, as Keras needs on several devices", file=sys.stderr)
        model.steps_per_execution = 1
    synchronized: list[Any] = []
    mended: dict[str, Any] = {"_maybe_symbolic_build": partial(_build, model, synchronized)}
    if type(model).train_step is keras.Model.train_step:
        mended["train_step"] = partial(_train_step, model)
    vars(model).update(mended)  # not as attributes, which Keras would track
    try:
        yield
    finally:
        for name in mended:
            vars(model).pop(name)
        if getattr(model, "optimizer", None) is not None:
            vars(inner_optimizer(model.optimizer)).pop(_SUM, None)
        for layer in synchronized:
            layer.synchronized = False  # the saved model is that of one device


def divided(model: keras.Model, step: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Has each device do a step with its part of a batch, in a graph; `step` itself for a model of one.

    Args:
        model: It stands, and so do the metrics it compiles with.
        step: From a batch, arrays in any structure, to outputs with as many rows.
    """
    if (count := devices(model)) == 1:
        return step
    import tensorflow as tf

    strategy = model.distribute_strategy

    def own(batch: Any) -> Any:
        number = tf.distribute.get_replica_context().replica_id_in_sync_group

        def cut(array: Any) -> Any:
            rows = tf.shape(array)[0]
            return array[rows * number // count : rows * (number + 1) // count]

        with tf.device("CPU:0"):  # so that a device is sent its rows only
            part = keras.tree.map_structure(cut, batch)
        return step(part)

    def joined(batch: Any) -> Any:
        outputs = strategy.run(own, args=(batch,))
        return keras.tree.map_structure(
            lambda parts: tf.concat(strategy.experimental_local_results(parts), axis=0), outputs
        )

    return joined


def _check(model: keras.Model) -> None:
    """Refuses what several devices cannot train.

    Which rows meet which state would depend on them. Keras fails on a device's empty part of a batch where it
    traces no graph, and `MirroredStrategy` on an optimizer that decides at each step whether to update.
    """
    optimizer = inner_optimizer(getattr(model, "optimizer", None))
    settings = ("gradient_accumulation_steps", "ema_overwrite_frequency")
    refused = {
        "a stateful model": fixed_batch(model) is not None,
        "a model with `run_eagerly`": model.run_eagerly,
        **{f"an optimizer with `{name}`": getattr(optimizer, name, None) is not None for name in settings},
    }
    for what, present in refused.items():
        if present:
            raise ModelError(
                fault(
                    "training.distribute",
                    f"{what} cannot train on several devices",
                    advice="Change the model, or remove `training.distribute`.",
                )
            )


def _build(model: keras.Model, synchronized: list[Any], iterator: Any = None, data_batch: Any = None) -> None:
    """Builds a model as Keras would before it trains or is evaluated, with a batch as an example.

    Keras takes the mean of the devices' parts as its example, which must be of one size then; this takes
    the shape of the first's. And only a model that stands shows its layers.
    """
    strategy = model.distribute_strategy

    def like(value: Any) -> keras.KerasTensor:
        part = strategy.experimental_local_results(value)[0]
        return keras.KerasTensor((None, *part.shape[1:]), part.dtype)

    for _, _, batches in iterator or ():
        data_batch = keras.tree.map_structure(like, next(batches))
        break
    with strategy.scope():
        model._symbolic_build(data_batch=data_batch)
    synchronized += _synchronize(model)


def _synchronize(model: keras.Model) -> list[Any]:
    """Has batch normalisation see the whole batch; returns the layers that saw their device's part.

    Else each device would have moving averages of its own rows, and the first's would be saved.
    """
    layers = [
        layer
        for layer in model._flatten_layers()
        if isinstance(layer, keras.layers.BatchNormalization) and not layer.synchronized
    ]
    for layer in layers:
        layer.synchronized = True
    return layers


def _train_step(model: keras.Model, data: Any) -> dict[str, Any]:
    """Keras's `train_step`, run by each device with its part of a batch, but for two things.

    Each part counts by its rows; Keras lets all count the same, be it one row beside two, or none beside one.
    And the optimizer is given the gradients of the whole batch; Keras has it clip each device's, look for an
    overflow (in mixed precision) in the first's, and only then add them up.
    """
    import tensorflow as tf

    x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
    context = tf.distribute.get_replica_context()
    rows = tf.shape(next(array for array in keras.tree.flatten(x) if array is not None))[0]
    parts = context.num_replicas_in_sync  # Keras divides a part's mean by their number
    with tf.GradientTape() as tape:
        y_pred = model(x, training=True) if model._call_has_training_arg else model(x)
        loss = model._compute_loss(x=x, y=y, y_pred=y_pred, sample_weight=sample_weight, training=True)
        if not _is_sum(model):
            loss = tf.where(rows > 0, loss, tf.zeros_like(loss))  # the mean of nothing is NaN
        model._loss_tracker.update_state(loss * parts, sample_weight=rows)
        if not _is_sum(model):
            counted = tf.cast(rows, tf.float32)
            share = counted * parts / context.all_reduce("SUM", counted)
            loss = loss * tf.cast(share, loss.dtype)
        scaled = model.optimizer.scale_loss(loss)
    variables = model.trainable_weights
    if variables:
        gradients = _summed(tape.gradient(scaled, variables))
        vars(inner_optimizer(model.optimizer))[_SUM] = lambda pairs: pairs
        model.optimizer.apply_gradients(zip(gradients, variables, strict=True))
    metrics: dict[str, Any] = model.compute_metrics(x, y, y_pred, sample_weight=sample_weight)
    return metrics


def _is_sum(model: keras.Model) -> bool:
    """Whether the loss is a sum over the rows, to which each part adds its own."""
    return any(getattr(loss, "reduction", None) == "sum" for loss in keras.tree.flatten(model.loss))


def _summed(gradients: list[Any]) -> list[Any]:
    """Adds up the devices' gradients; None stands for a variable that the loss does not depend on."""
    import tensorflow as tf

    found = [gradient for gradient in gradients if gradient is not None]
    summed = iter(tf.distribute.get_replica_context().all_reduce("SUM", found) if found else ())
    return [None if gradient is None else next(summed) for gradient in gradients]
