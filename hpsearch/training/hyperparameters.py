"""`keras_tuner.HyperParameters` whose values are decided elsewhere, at the moment a model declares them.

hp = TrialHyperParameters(chooser(spec.params, channel))
model = hypermodel.build(hp)   # every hp.Int, hp.Choice, ... asks `choose`
hp.values                      # exactly what the trial used
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import keras_tuner

from hpsearch.space import Parameter
from hpsearch.trial import Value

if TYPE_CHECKING:
    from hpsearch.channel import Channel
    from hpsearch.experiment import Experiment

Choose = Callable[[Parameter], Value]
"""Decides the value of a hyperparameter that was just declared."""


class TrialHyperParameters(keras_tuner.HyperParameters):  # type: ignore[misc]
    """Hyperparameters of one trial; each value comes from `choose` when its name is first declared.

    A hyperparameter whose conditions do not hold returns None and is never asked for. The first
    declaration of a name wins, as in Keras Tuner.

    Args:
        choose: Called once for every active hyperparameter, with what was declared.

    Attributes:
        values: What the trial uses, by name.
        declared: Every hyperparameter in the order of declaration, those that are not active included.
        refusal: What `choose` raised, or None; it is the driver's word, not a fault of the model.
    """

    def __init__(self, choose: Choose) -> None:
        super().__init__()
        self._choose = choose
        self.declared: list[Parameter] = []
        self.refusal: Exception | None = None

    # Keras Tuner sends Int, Float, Choice, Boolean and Fixed here, after it has resolved name_scope,
    # conditional_scope and parent_name; a name with the same conditions comes only once.
    def _register(self, hyperparameter: Any, overwrite: bool = False) -> Value | None:
        hp = type(hyperparameter).from_config(hyperparameter.get_config())
        self._validate_name(hp.name)
        parameter = Parameter.from_config(type(hp).__name__, hp.get_config())
        self._hps[hp.name].append(hp)
        self._space.append(hp)
        self.declared.append(parameter)
        if not self.is_active(hp):
            return None
        if overwrite or hp.name not in self.values:
            self.values[hp.name] = self._decided(parameter)
        value: Value = self.values[hp.name]
        return value

    def _decided(self, parameter: Parameter) -> Value:
        try:
            value = self._choose(parameter)
        except Exception as refusal:
            self.refusal = refusal
            raise
        return _as_declared(parameter, value)


def chooser(params: Mapping[str, Value], channel: Channel) -> Choose:
    """Returns a `choose` that takes values from `params` and asks the driver for all others."""

    def choose(parameter: Parameter) -> Value:
        return params[parameter.name] if parameter.name in params else channel.suggest(parameter)

    return choose


def at_defaults(parameter: Parameter) -> Value:
    """A `choose` that takes every default."""
    return parameter.default


def overridden(experiment: Experiment, parameter: Parameter) -> Parameter:
    """Returns what an experiment makes of a hyperparameter the model declares.

    Raises:
        SpaceError: The override does not fit.
    """
    override = experiment.search.space.get(parameter.name)
    if override is None:
        return parameter
    return override.apply(parameter, f"{experiment.where}: search.space.{parameter.name}")


def _as_declared(parameter: Parameter, value: Value) -> Value:
    """A number typed by hand or read from a file (`1`, `32.0`) becomes the type the model declared."""
    if isinstance(value, bool | str):
        return value
    if parameter.kind == "float":
        return float(value)
    if parameter.kind == "int" and float(value).is_integer():
        return int(value)
    return value
