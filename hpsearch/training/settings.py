"""Optimizer, learning rate, batch size and epochs: searchable and settable for every model.

For each of the four, the first that applies:

1. `search.space.<name>` is given: searched. What the model declares under that name is overridden;
   if it declares nothing, a hyperparameter is declared for it here.
2. `training.<name>` is written in the experiment: fixed, also where the model declares the name.
3. The model declares the name: searched as it says.
4. What the model compiled with; for batch size and epochs the defaults of `training`.
"""

from __future__ import annotations

from inspect import signature
from typing import TYPE_CHECKING, Any

from hpsearch.errors import ModelError, fault
from hpsearch.trial import Value

if TYPE_CHECKING:
    import keras

    from hpsearch.experiment import Experiment
    from hpsearch.training.hyperparameters import TrialHyperParameters

NAMES = ("optimizer", "learning_rate", "batch_size", "epochs")
OPTIMIZERS = ("adam", "adamw", "rmsprop", "sgd")


def fixed_settings(experiment: Experiment) -> dict[str, Value]:
    """Returns the settings the experiment fixes (case 2), by name."""
    training = experiment.training
    return {
        name: getattr(training, name)
        for name in NAMES
        if name in training.model_fields_set
        and getattr(training, name) is not None
        and name not in experiment.search.space
    }


def declare_settings(
    experiment: Experiment, hp: TrialHyperParameters, model: keras.Model, *, skip: frozenset[str]
) -> None:
    """Declares the settings that the experiment searches and the model did not declare (case 1).

    The ranges are starting points; `search.space` narrows or replaces them.

    Args:
        experiment: Its `search.space` and `training` are read.
        hp: Receives the hyperparameters.
        model: Compiled; gives the default of optimizer and learning rate.
        skip: Names that the user's own fit will declare.
    """
    training = experiment.training
    for name in NAMES:
        if name not in experiment.search.space or name in hp.values or name in skip:
            continue
        if name == "optimizer":
            current = optimizer_name(model) if model.compiled else OPTIMIZERS[0]
            values = list(dict.fromkeys([*OPTIMIZERS, current]))
            hp.Choice(name, values, default=current)
        elif name == "learning_rate":
            rate = compiled_rate(model) if model.compiled else None
            hp.Float(name, 1e-4, 1e-2, sampling="log", default=_inside(rate or 1e-3, 1e-4, 1e-2))
        elif name == "batch_size":
            hp.Int(name, 16, 256, step=2, sampling="log", default=_power(training.batch_size, 16, 256))
        else:
            hp.Int(name, 5, 50, default=int(_inside(training.epochs, 5, 50)))


def apply_settings(model: keras.Model, *, optimizer: str | None, learning_rate: float | None) -> None:
    """Gives a compiled model another optimizer or learning rate; all else it was compiled with stays.

    A new optimizer takes over the learning rate that the model set on purpose, one that is not its
    old optimizer's default.

    Args:
        model: Compiled and not yet trained.
        optimizer: Keras's name of it, or None to keep the model's.
        learning_rate: Or None to keep it.

    Raises:
        ModelError: There is no such optimizer, the model compiles in its own way, or its learning
            rate follows a schedule.
    """
    import keras

    if optimizer is not None and optimizer.lower() != optimizer_name(model):
        replacement = _optimizer(optimizer)
        if learning_rate is None:
            learning_rate = _chosen_rate(model)
        if learning_rate is not None:
            replacement.learning_rate = learning_rate
        _recompile(model, replacement)
    elif learning_rate is not None:
        inner = inner_optimizer(model.optimizer)
        if isinstance(inner._learning_rate, keras.optimizers.schedules.LearningRateSchedule):
            raise ModelError(
                fault(
                    "learning_rate",
                    "the model's optimizer follows a schedule",
                    expected="an optimizer compiled with a number",
                    received=type(inner._learning_rate).__name__,
                    advice='Let the model build its schedule from hp.Float("learning_rate", ...).',
                )
            )
        inner.learning_rate = learning_rate


def optimizer_name(model: keras.Model) -> str:
    """Returns Keras's name of the optimizer that a model was compiled with, e.g. `adam`."""
    return type(inner_optimizer(model.optimizer)).__name__.lower()


def compiled_rate(model: keras.Model) -> float | None:
    """Returns the learning rate a model was compiled with; None if it follows a schedule."""
    rate = inner_optimizer(model.optimizer)._learning_rate
    return float(rate.numpy()) if hasattr(rate, "numpy") else None


def _chosen_rate(model: keras.Model) -> Any:
    """Returns the learning rate or schedule that the model set on purpose, or None."""
    inner = inner_optimizer(model.optimizer)
    rate = compiled_rate(model)
    if rate is None:
        return inner._learning_rate
    default = float(type(inner)().learning_rate.numpy())
    return None if rate == default else rate


def inner_optimizer(optimizer: Any) -> Any:
    """Returns the optimizer itself, which mixed precision wraps."""
    return getattr(optimizer, "inner_optimizer", optimizer)


def _optimizer(name: str) -> Any:
    import keras

    try:
        return keras.optimizers.get(name)
    except ValueError as failure:
        raise ModelError(
            fault(
                "optimizer",
                "Keras has no such optimizer",
                expected=", ".join(OPTIMIZERS) + " or another name known to `keras.optimizers.get`",
                received=name,
            )
        ) from failure


def _recompile(model: keras.Model, optimizer: Any) -> None:
    import keras

    # The objects themselves, not `get_compile_config()`: that cannot copy a user's own loss or metric.
    compiled = getattr(model, "_compile_config", None)
    overridden = type(model).compile is not keras.Model.compile
    if compiled is None or (overridden and "optimizer" not in signature(type(model).compile).parameters):
        raise ModelError(
            fault(
                "optimizer",
                f"`{type(model).__name__}.compile` is the model's own, its optimizer cannot be replaced",
                advice='Let the model declare hp.Choice("optimizer", ...) itself.',
            )
        )
    # Keras's compile, because an overriding one takes other arguments; what it added stays.
    scaled = inner_optimizer(model.optimizer) is not model.optimizer
    keras.Model.compile(model, **{**compiled.config, "optimizer": optimizer}, auto_scale_loss=scaled)


def _inside(value: float, low: float, high: float) -> float:
    return min(max(value, low), high)


def _power(value: int, low: int, high: int) -> int:
    """Returns the power of two nearest to `value`, from `low` to `high`."""
    powers = [1 << bits for bits in range(low.bit_length() - 1, high.bit_length())]
    return min(powers, key=lambda power: abs(power - value))
