"""How the learning rate changes: before every step by a schedule of Keras, or after an epoch on a plateau."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import keras
from keras.optimizers import schedules

from hpsearch.deploy_metrics import epoch_objectives
from hpsearch.errors import ModelError, ObjectiveError, fault
from hpsearch.models.compiled import inner_optimizer
from hpsearch.objective import infer_direction, resolve

if TYPE_CHECKING:
    from hpsearch.experiment import Experiment
    from hpsearch.experiment_training import ScheduleSection

RATE = "learning_rate"
"""The metric of an epoch."""

LEFT_AT_THE_END = 0.01
"""Of the learning rate, by `exponential` unless it is told otherwise."""

_PATIENCE = 3
"""Keras's 10 would seldom be reached: we train 10 epochs unless told otherwise."""


@dataclass(frozen=True)
class Pace:
    """How long a trial trains.

    Attributes:
        steps: Of an epoch; None where the user's fit chooses the batch size itself.
        epochs: Of the training; None where the user's fit chooses them itself.
    """

    steps: int | None
    epochs: int | None

    def steps_in(self, epochs: float, where: str) -> int:
        """Returns how many steps so many epochs take, at least one.

        Raises:
            ModelError: It is not known; `where` is the setting that needs it.
        """
        return max(1, round(epochs * self._known(self.steps, "batch_size", where)))

    def epochs_for(self, where: str) -> int:
        """Returns the epochs of the training.

        Raises:
            ModelError: They are not known; `where` is the setting that needs them.
        """
        return self._known(self.epochs, "epochs", where)

    @staticmethod
    def _known(count: int | None, chosen: str, where: str) -> int:
        if count is None:
            raise ModelError(
                fault(
                    where,
                    f"how many steps there will be is not known: the model's own `fit` chooses `{chosen}`",
                    advice=f"Write `training.{chosen}`, and let `fit` take it from its keywords.",
                )
            )
        return count


def make_schedule(
    name: str, arguments: Mapping[str, Any], rate: float, warmup_epochs: float, pace: Pace
) -> Any:
    """Makes a schedule of the learning rate.

    Args:
        name: `constant`, `exponential`, `cosine`, or `plateau`, which `make_plateau` makes, too.
        arguments: As in `ScheduleSection`.
        rate: Where it begins, or where the warm-up ends.
        warmup_epochs: During which the rate rises linearly from 0.
        pace: How long the trial trains.

    Returns:
        A `keras.optimizers.schedules.LearningRateSchedule`; None where the rate itself stays.

    Raises:
        ModelError: The number of steps is not known.
    """
    warmup = pace.steps_in(warmup_epochs, "warmup_epochs") if warmup_epochs else 0
    if name in ("constant", "plateau"):
        return schedules.PolynomialDecay(0.0, warmup, end_learning_rate=rate) if warmup else None
    # In whole steps, as the warm-up is: few steps an epoch would make a difference.
    left = max(1.0, pace.epochs_for("schedule") - warmup / pace.steps_in(1, "schedule"))
    if name == "exponential":
        epochs = arguments.get("decay_epochs", 1.0)
        decay = {
            "decay_steps": pace.steps_in(epochs, "schedule"),
            "decay_rate": arguments.get("decay_rate", LEFT_AT_THE_END ** (epochs / left)),
            "staircase": arguments.get("staircase", False),
        }
        if warmup:
            return WarmExponentialDecay(rate, **decay, warmup_steps=warmup)
        return schedules.ExponentialDecay(rate, **decay)
    return schedules.CosineDecay(
        0.0 if warmup else rate,
        pace.steps_in(arguments.get("decay_epochs", left), "schedule"),
        alpha=arguments.get("alpha", 0.0),
        warmup_target=rate if warmup else None,
        warmup_steps=warmup,
    )


def follows_schedule(model: keras.Model) -> bool:
    """Whether the learning rate of a model's optimizer changes before every step."""
    optimizer = inner_optimizer(getattr(model, "optimizer", None))
    return isinstance(getattr(optimizer, "_learning_rate", None), schedules.LearningRateSchedule)


def arguments_of(section: ScheduleSection | None, name: object) -> dict[str, Any]:
    """Returns the arguments that `training.schedule` has for the schedule called `name`."""
    return section.arguments() if section is not None and section.name == name else {}


def make_plateau(experiment: Experiment) -> keras.callbacks.ReduceLROnPlateau:
    """Makes the callback that reduces the learning rate when a metric no longer improves.

    Args:
        experiment: The first objective that epochs report is watched, unless `training.schedule` says
            otherwise.

    Raises:
        ObjectiveError: Whether the metric is to fall or to rise is not known.
    """
    arguments = arguments_of(experiment.training.schedule, "plateau")
    lead = epoch_objectives(experiment)[0]
    metric = arguments.get("monitor", lead.metric)
    direction = infer_direction(metric) if metric != lead.metric else resolve(lead).direction
    mode = arguments.get("mode") or {"minimize": "min", "maximize": "max", None: None}[direction]
    if mode is None:
        raise ObjectiveError(
            fault(
                "training.schedule.monitor",
                f"whether `{metric}` is better when larger or smaller is not known",
                expected="a `mode`, `min` or `max`, beside it",
            )
        )
    return keras.callbacks.ReduceLROnPlateau(
        **{"patience": _PATIENCE, **arguments, "monitor": metric, "mode": mode}
    )


class LearningRateLog(keras.callbacks.Callback):  # type: ignore[misc]  # Keras has no types
    """Adds the learning rate at an epoch's end to its metrics, as Keras's own callbacks do.

    It comes before `Watch`, which takes the metrics in.
    """

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:  # noqa: ARG002
        """Adds `learning_rate`, unless the model has a metric of that name."""
        if logs is not None:
            rate = keras.ops.convert_to_numpy(self.model.optimizer.learning_rate)
            logs.setdefault(RATE, float(rate))


@keras.saving.register_keras_serializable("hpsearch")
class WarmExponentialDecay(schedules.ExponentialDecay):  # type: ignore[misc]  # Keras has no types
    """Keras's `ExponentialDecay` after a linear rise from 0, for which Keras has none.

    Args:
        initial_learning_rate: At the end of the rise.
        decay_steps: As in Keras, from the end of the rise.
        decay_rate: As in Keras.
        staircase: As in Keras.
        warmup_steps: Of the rise.
        name: As in Keras.
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: int,
        decay_rate: float,
        staircase: bool = False,
        warmup_steps: int = 1,
        name: str = "WarmExponentialDecay",
    ) -> None:
        super().__init__(initial_learning_rate, decay_steps, decay_rate, staircase, name)
        self.warmup_steps = warmup_steps

    def __call__(self, step: Any) -> Any:
        """Returns the learning rate before a step."""
        decayed = super().__call__(keras.ops.maximum(step - self.warmup_steps, 0))
        return decayed * keras.ops.minimum(keras.ops.cast(step, decayed.dtype) / self.warmup_steps, 1.0)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments."""
        return {**super().get_config(), "warmup_steps": self.warmup_steps}

    def cooled(self) -> keras.optimizers.schedules.ExponentialDecay:
        """Returns Keras's own schedule that is equal from the end of the rise on."""
        skipped = self.decay_rate ** (-self.warmup_steps / self.decay_steps)
        return schedules.ExponentialDecay(
            self.initial_learning_rate * skipped, self.decay_steps, self.decay_rate, self.staircase
        )


@contextmanager
def portable(model: keras.Model) -> Iterator[None]:
    """Has a model save itself with Keras's own schedule in place of ours, to be loaded without hpsearch."""
    optimizer = inner_optimizer(getattr(model, "optimizer", None))
    schedule = getattr(optimizer, "_learning_rate", None)
    if not isinstance(schedule, WarmExponentialDecay):
        yield
        return
    optimizer.learning_rate = schedule.cooled()
    try:
        yield
    finally:
        optimizer.learning_rate = schedule
