"""How a trial trains: settings that can be fixed or searched for every model, whatever it declares.

For each of `NAMES`, the first that applies:

1. `search.space.<name>` is given: searched. What the model declares under that name is overridden;
   if it declares nothing, a hyperparameter is declared for it here.
2. `training.<name>` is written in the experiment: fixed, also where the model declares the name.
3. The model declares the name: searched as it says.
4. What the model compiled with; for batch size and epochs the defaults of `training`.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from typing import TYPE_CHECKING, get_args

from pydantic import ValidationError

from hpsearch.errors import ModelError, SpaceError, fault
from hpsearch.experiment_errors import Origin, explain
from hpsearch.experiment_training import ScheduleName, TrainingSection
from hpsearch.models.compiled import inner_optimizer
from hpsearch.training.losses import changed_loss
from hpsearch.training.optimizers import (
    compiled_value,
    has_momentum,
    is_known,
    make_optimizer,
    optimizer_name,
    require_momentum,
)
from hpsearch.trial import Value

if TYPE_CHECKING:
    import keras
    import keras_tuner

    from hpsearch.experiment import Experiment
    from hpsearch.training.hyperparameters import TrialHyperParameters

COMPILED = (
    "optimizer",
    "learning_rate",
    "schedule",
    "warmup_epochs",
    "momentum",
    "weight_decay",
    "clip_norm",
    "clip_value",
    "label_smoothing",
)
"""Settings that a model is compiled with."""

NAMES = (*COMPILED, "batch_size", "epochs")

OPTIMIZERS = ("adam", "adamw", "rmsprop", "sgd")
_RANGES = {
    "learning_rate": (1e-4, 1e-2, 1e-3, "log"),
    "warmup_epochs": (0.0, 5.0, 0.0, "linear"),
    "momentum": (0.5, 0.99, 0.9, "linear"),
    "weight_decay": (1e-6, 1e-2, 1e-4, "log"),
    "clip_norm": (0.1, 10.0, 1.0, "log"),
    "clip_value": (0.05, 5.0, 0.5, "log"),
    "label_smoothing": (0.0, 0.2, 0.0, "linear"),
}
"""Least, largest, default and scale where a model says nothing; `search.space` narrows or replaces them."""


def fixed_settings(experiment: Experiment) -> dict[str, Value]:
    """Returns the settings the experiment fixes (case 2), by name: of optimizer and schedule the name."""
    training = experiment.training
    given = {
        name: getattr(training, name)
        for name in NAMES
        if name in training.model_fields_set and name not in experiment.search.space
    }
    if isinstance(given.get("optimizer"), dict):
        given["optimizer"] = given["optimizer"]["name"]
    if given.get("schedule") is not None:
        given["schedule"] = given["schedule"].name
    return {name: value for name, value in given.items() if value is not None}


def declare_settings(
    experiment: Experiment, hp: TrialHyperParameters, model: keras.Model, *, skip: frozenset[str]
) -> None:
    """Declares the settings that the experiment searches and the model did not declare (case 1).

    Args:
        experiment: Its `search.space` and `training` are read.
        hp: Receives the hyperparameters.
        model: Compiled, unless only batch size and epochs are searched; gives the defaults.
        skip: Names that the user's own fit will declare.

    Raises:
        SpaceError: `search.space` has values for a setting that it cannot take.
        ModelError: No optimizer or loss of the search can have the setting.
    """
    training = experiment.training
    for name in NAMES:
        if name not in experiment.search.space or name in hp.values or name in skip:
            continue
        _check_values(experiment, name)
        if name == "optimizer":
            current = optimizer_name(model)
            hp.Choice(name, list(dict.fromkeys([*OPTIMIZERS, current])), default=current)
        elif name == "schedule":
            hp.Choice(name, list(get_args(ScheduleName)))
        elif name == "batch_size":
            hp.Int(name, 16, 256, step=2, sampling="log", default=_power(training.batch_size, 16, 256))
        elif name == "epochs":
            hp.Int(name, 5, 50, default=int(_inside(training.epochs, 5, 50)))
        elif name == "momentum":
            _declare_momentum(experiment, hp, model)
        else:
            if name == "label_smoothing":
                changed_loss(model, training.loss, _RANGES[name][1])  # can it be smoothed?
            _declare_number(hp, model, name)


def settings_to_give(
    experiment: Experiment, hp: TrialHyperParameters, *, declared: Container[str]
) -> dict[str, Value]:
    """Returns the settings to give the model: fixed or chosen, and not those that it declared in `build`.

    A fixed momentum is left out where the search chose an optimizer that has none.
    """
    fixed = fixed_settings(experiment)
    values = {**fixed, **hp.values}
    names = _searched_optimizers(experiment, hp)
    if "momentum" in fixed and any(map(has_momentum, names)) and not has_momentum(str(values["optimizer"])):
        del values["momentum"]
    return {name: values[name] for name in NAMES if name in values and name not in declared}


def check_settings(
    experiment: Experiment, hypermodel: keras_tuner.HyperModel, *, compiled: bool, skip: frozenset[str]
) -> None:
    """Refuses what cannot work, also where only some trials would have it.

    Args:
        experiment: Its `training` and `search.space` are read.
        hypermodel: `per_step_schedules = False` says that its `fit` trains in stages of their own rates.
        compiled: Whether `build` compiles the model.
        skip: Names that the model declares itself.

    Raises:
        ModelError: The model is not compiled, or a schedule cannot work with the rest.
    """
    space, training = experiment.search.space, experiment.training
    given = fixed_settings(experiment).keys() | space.keys()
    wanted = [name for name in COMPILED if name in given and name not in skip]
    others = [name for name in ("loss", "steps_per_execution") if getattr(training, name) is not None]
    if not compiled and (wanted or others):
        raise ModelError(
            fault(
                (wanted + others)[0],
                "cannot be set, as `build` does not compile the model",
                expected="`model.compile(optimizer=..., loss=...)` in build",
            )
        )
    schedules: Iterable[object] = (training.schedule.name,) if training.schedule else ()
    if "schedule" in space:
        schedules = space["schedule"].values or ()
    _check_schedules(
        tuple(map(str, schedules)) if "schedule" in wanted else (),
        warm="warmup_epochs" in wanted and bool("warmup_epochs" in space or training.warmup_epochs),
        per_step=getattr(hypermodel, "per_step_schedules", True),
    )


def _check_schedules(schedules: Sequence[str], *, warm: bool, per_step: bool) -> None:
    if warm and "plateau" in schedules:
        raise ModelError(
            fault(
                "warmup_epochs",
                "`plateau` sets the learning rate after an epoch, a warm-up before every step",
                expected="`constant`, `exponential` or `cosine` with `warmup_epochs`",
                received="schedule=plateau",
            )
        )
    found = [name for name in schedules if name in ("exponential", "cosine")] + ["warmup_epochs"] * warm
    if found and not per_step:
        raise ModelError(
            fault(
                "schedule",
                "the model trains in stages, each with a learning rate of its own",
                expected="`constant` or `plateau`, and no `warmup_epochs`",
                received=", ".join(found),
            )
        )


def _declare_number(hp: TrialHyperParameters, model: keras.Model, name: str) -> None:
    low, high, default, sampling = _RANGES[name]
    compiled = None if name in ("warmup_epochs", "label_smoothing") else compiled_value(model, name)
    hp.Float(name, low, high, sampling=sampling, default=_inside(compiled or default, low, high))


def _declare_momentum(experiment: Experiment, hp: TrialHyperParameters, model: keras.Model) -> None:
    """Declares a momentum for the optimizers that have it: no other trial has the hyperparameter."""
    names = _searched_optimizers(experiment, hp)
    if names and all(map(is_known, names)):
        having = [name for name in names if has_momentum(name)] or [require_momentum(names[0])]
        with hp.conditional_scope("optimizer", having):
            _declare_number(hp, model, "momentum")
    elif (fixed := fixed_settings(experiment).get("optimizer")) is not None:
        require_momentum(str(fixed))
        _declare_number(hp, model, "momentum")
    elif hasattr(inner_optimizer(model.optimizer), "momentum"):  # else another branch of `build` may have it
        _declare_number(hp, model, "momentum")


def _searched_optimizers(experiment: Experiment, hp: TrialHyperParameters) -> tuple[str, ...]:
    """Returns the names that the hyperparameter `optimizer` may have; none if there is no such."""
    override = experiment.search.space.get("optimizer")
    found = [parameter for parameter in hp.declared if parameter.name == "optimizer"]
    if not found or "optimizer" in fixed_settings(experiment):
        return ()
    values = (override.values if override else None) or [
        value for parameter in found for value in parameter.values or (parameter.default,)
    ]
    return tuple(map(str, values))


def _check_values(experiment: Experiment, name: str) -> None:
    """Checks what `search.space` lists as `training` checks a fixed value."""
    override = experiment.search.space[name]
    for value in (*(override.values or ()), override.low, override.high):
        if value is None:
            continue
        try:
            TrainingSection.model_validate({name: value})
        except ValidationError as error:
            where = Origin(f"{experiment.where}: search.space")
            raise SpaceError(explain(error, TrainingSection, where, given={})) from None
        if name == "optimizer":
            make_optimizer(str(value), {})


def _inside(value: float, low: float, high: float) -> float:
    return min(max(value, low), high)


def _power(value: int, low: int, high: int) -> int:
    """Returns the power of two nearest to `value`, from `low` to `high`."""
    powers = [1 << bits for bits in range(low.bit_length() - 1, high.bit_length())]
    return min(powers, key=lambda power: abs(power - value))
