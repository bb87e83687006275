"""The settings that a model is compiled with, given to a model that its `build` has compiled."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hpsearch.errors import ModelError, fault
from hpsearch.models.compiled import compiled_with, compiles_its_own_way, inner_optimizer, recompile
from hpsearch.training.losses import changed_loss
from hpsearch.training.optimizers import (
    ATTRIBUTES,
    make_optimizer,
    optimizer_name,
    rate_of,
    require_one,
    set_attributes,
    set_rate,
    take_over_rate,
)
from hpsearch.training.schedules import arguments_of, make_schedule

if TYPE_CHECKING:
    import keras

    from hpsearch.experiment_training import TrainingSection
    from hpsearch.training.schedules import Pace
    from hpsearch.trial import Value


RATE_SETTINGS = ("learning_rate", "schedule", "warmup_epochs")


def apply_settings(
    model: keras.Model,
    training: TrainingSection,
    values: Mapping[str, Value],
    *,
    declared: Mapping[str, Value],
    pace: Pace,
) -> None:
    """Gives a compiled model the trial's settings; all else it was compiled with stays.

    A new optimizer takes over the learning rate that the model set on purpose, one that is not its
    old optimizer's default.

    Args:
        model: Compiled and not yet trained.
        training: Gives the loss, the steps per execution, and arguments of optimizer and schedule.
        values: Settings by name, as `settings_to_give` returns them.
        declared: What the model declared, and has compiled with.
        pace: How long the trial trains.

    Raises:
        ModelError: The model, its optimizer or its loss cannot have a setting.
    """
    current = inner_optimizer(model.optimizer)
    optimizer = _new_optimizer(model, training, values, declared) or current
    if values.keys() & {*RATE_SETTINGS, *ATTRIBUTES}:
        require_one(optimizer)
    set_attributes(optimizer, {name: float(values[name]) for name in ATTRIBUTES if name in values})
    _set_rate(optimizer, training, values, declared, pace)
    changes: dict[str, Any] = {}
    if training.loss is not None or "label_smoothing" in values:
        smoothing = values.get("label_smoothing")
        loss = changed_loss(model, training.loss, None if smoothing is None else float(smoothing))
        if loss is not compiled_with(model)["loss"]:
            changes["loss"] = loss
    if optimizer is not current:
        changes["optimizer"] = optimizer
    elif current is not model.optimizer and training.dtype_policy and not compiles_its_own_way(model):
        changes["optimizer"] = model.optimizer  # with its loss scaling, which a saved model then keeps
    if changes:
        recompile(model, "optimizer" if "optimizer" in changes else "loss", **changes)
    if training.steps_per_execution is not None:
        # Not compiled with it: a saved model would predict as many batches in one, slowly traced graph.
        steps = training.steps_per_execution
        model.steps_per_execution = pace.steps_in(1, "steps_per_execution") if steps == "epoch" else steps


def _new_optimizer(
    model: keras.Model,
    training: TrainingSection,
    values: Mapping[str, Value],
    declared: Mapping[str, Value],
) -> Any:
    """Returns the optimizer that the trial asks for; None if the model has it."""
    name = values.get("optimizer", declared.get("optimizer"))
    if name is None:
        return None
    name, given = str(name), training.optimizer
    arguments: dict[str, Any] = {}
    if isinstance(given, Mapping) and given["name"].lower() == name.lower():
        arguments = {key: value for key, value in given.items() if key != "name"}
    if not arguments and ("optimizer" not in values or name.lower() == optimizer_name(model)):
        return None
    made = make_optimizer(name, arguments)
    take_over_rate(made, inner_optimizer(model.optimizer))
    return made


def _set_rate(
    optimizer: Any,
    training: TrainingSection,
    values: Mapping[str, Value],
    declared: Mapping[str, Value],
    pace: Pace,
) -> None:
    """Sets the learning rate, or the schedule that begins with it."""
    rate, name = values.get("learning_rate"), values.get("schedule")
    warmup_epochs = float(values.get("warmup_epochs", 0))
    if name is None and not warmup_epochs:
        if rate is not None:
            _require_number(optimizer, "learning_rate")
            set_rate(optimizer, float(rate))
        return
    if name is None:
        _require_number(optimizer, "warmup_epochs")
    known = (rate, rate_of(optimizer), declared.get("learning_rate"))
    start = next((float(each) for each in known if each is not None), None)
    if start is None:
        raise ModelError(
            fault(
                "schedule",
                "the model follows a schedule of its own, so where this one begins is not known",
                expected="`learning_rate` beside it",
                received=type(optimizer._learning_rate).__name__,
            )
        )
    arguments = arguments_of(training.schedule, name)
    schedule = make_schedule(str(name or "constant"), arguments, start, warmup_epochs, pace)
    if schedule is None:
        set_rate(optimizer, start)
    else:
        optimizer.learning_rate = schedule


def _require_number(optimizer: Any, where: str) -> None:
    if rate_of(optimizer) is None:
        raise ModelError(
            fault(
                where,
                "the model's optimizer follows a schedule",
                expected="an optimizer compiled with a number",
                received=type(optimizer._learning_rate).__name__,
                advice='Let the model build its schedule from hp.Float("learning_rate", ...), or write '
                "`training.schedule`, which takes its place.",
            )
        )
