"""`training.distribute: data`: one trial on several devices, each taking its part of every batch.

    set_up                  makes the devices, before TensorFlow computes anything
    scope                   a model is built and compiled in it: each device has a copy of the variables
    mirrored.distributed    `fit` runs in it

Keras divides the batches; TensorFlow's `MirroredStrategy` adds up the gradients.
"""

from __future__ import annotations

from contextlib import nullcontext
from functools import cache
from typing import TYPE_CHECKING, Any

from hpsearch.errors import UsageError, fault

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    import keras

    from hpsearch.experiment import Experiment

_WHERE = "training.distribute"


def set_up(experiment: Experiment) -> None:
    """Makes this process ready for an experiment that distributes: checks its GPUs or divides its CPU.

    Args:
        experiment: Its `training.distribute` and `resources` are read.

    Raises:
        UsageError: There are not two devices, or TensorFlow has computed already in this process, which
            settles its devices.
    """
    if experiment.training.distribute is None:
        return
    steps = experiment.training.steps_per_execution
    if steps not in (None, 1):
        raise UsageError(
            fault(
                "training.steps_per_execution",
                "Keras takes one step at a time on several devices",
                expected="1, or none given",
                received=steps,
            )
        )
    names = _devices(experiment)
    if names[0].startswith("CPU"):
        _divide_cpu(len(names))


def scope(experiment: Experiment) -> AbstractContextManager[Any]:
    """Returns the context in which a model must be built and compiled, after `clear_session`.

    Raises:
        UsageError: As `set_up`.
    """
    if experiment.training.distribute is None:
        return nullcontext()
    set_up(experiment)
    scope: AbstractContextManager[Any] = _strategy(_devices(experiment)).scope()
    return scope


def on_one_device(experiment: Experiment) -> Experiment:
    """Returns an experiment whose models are built as if it did not distribute."""
    training = experiment.training.model_copy(update={"distribute": None})
    return experiment.model_copy(update={"training": training})


def devices(model: keras.Model) -> int:
    """Returns on how many devices a model trains."""
    strategy = getattr(model, "distribute_strategy", None)  # TensorFlow's models only
    return 1 if strategy is None else int(strategy.num_replicas_in_sync)


def _devices(experiment: Experiment) -> tuple[str, ...]:
    """Names the devices of a trial: its GPUs, or without any the parts of its CPU."""
    import tensorflow as tf

    resources = experiment.resources
    gpus = len(tf.config.list_physical_devices("GPU"))
    on_gpus = gpus > 0 or resources.gpus_per_trial > 1
    key = "gpus_per_trial" if on_gpus else "cores_per_trial"
    count = resources.gpus_per_trial if on_gpus else resources.cores
    if count < 2:
        raise UsageError(
            fault(
                _WHERE,
                f"a trial has one {'GPU' if on_gpus else 'core'} to train on",
                expected=f"`resources.{key}` from 2",
                received=count,
            )
        )
    if on_gpus and gpus < count:
        raise UsageError(
            fault(
                "resources.gpus_per_trial",
                "TensorFlow sees fewer GPUs than a trial is to train on",
                expected=f"at least {count}",
                received=gpus,
            )
        )
    return tuple(f"{'GPU' if on_gpus else 'CPU'}:{number}" for number in range(count))


def _divide_cpu(count: int) -> None:
    """Makes logical devices of the CPU; they share its threads and its memory."""
    import tensorflow as tf

    parts = [tf.config.LogicalDeviceConfiguration()] * count
    try:
        tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], parts)
    except RuntimeError:  # it has begun to compute
        received = len(tf.config.list_logical_devices("CPU"))
        if received < count:
            raise UsageError(
                fault(
                    _WHERE,
                    "TensorFlow has computed in this process already, so its devices can no longer change",
                    expected=f"{count} logical CPUs",
                    received=received,
                    advice="Use `resources.executor: local`, or call hpsearch before anything else.",
                )
            ) from None


@cache
def _strategy(names: tuple[str, ...]) -> Any:
    import tensorflow as tf

    return tf.distribute.MirroredStrategy(list(names))
