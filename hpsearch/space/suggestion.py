"""One hyperparameter, sampled by Optuna: its label and distribution in the study, and the way back.

In the study a hyperparameter is called what the user calls it, and its value is the user's, except where
Optuna cannot express it:

    declared                                      in the study
    units: 16, 32, 64, 128 (log with a step)      units#index: 0 .. 3
    momentum: 0.1 .. 0.9 (reverse_log)            momentum#mirrored: 0.1 .. 0.9 (log), low + high - value
    lr, declared differently under two parents    lr, and lr|optimizer=sgd

`trial_values` undoes this from the study alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from hpsearch.errors import SearchError
from hpsearch.space.parameter import Parameter, Value

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.study import Study
    from optuna.trial import FrozenTrial, Trial

RECODED = "hpsearch:value:"
"""Prefix of the trial's user attributes that hold name and value where label or value are not the user's."""

_FIRST_USE: WeakKeyDictionary[Study, dict[str, BaseDistribution]] = WeakKeyDictionary()
"""The distribution each label had first, of studies in use: it never changes, and reading all is dear."""

_MAX_LABEL = 480
"""Characters; a relational storage keeps at most 512, with `RECODED` before it."""


class SpaceExhausted(SearchError):  # noqa: N818  it ends a search, it is no fault
    """A finite space holds no further combination; no fault of the trial that was asking."""


@dataclass(frozen=True)
class _Code:
    """How the values of one hyperparameter are written in the study."""

    suffix: str
    distribution: BaseDistribution
    parameter: Parameter

    def encode(self, value: Value) -> Any:
        """Returns the stored form of the value closest to `value`."""
        match self.suffix:
            case "#index":
                return self.parameter.index(value)
            case "#mirrored":
                return self._mirror(self.parameter.nearest(value))
            case _:
                return self.parameter.nearest(value)

    def decode(self, stored: Any) -> Value:
        """Returns the user's value of a stored one; never outside what was declared."""
        match self.suffix:
            case "#index":
                return self.parameter.at(stored)
            case "#mirrored":
                return self.parameter.nearest(self._mirror(stored))
            case _:
                return self.parameter.nearest(stored)

    def _mirror(self, value: Any) -> Any:
        return (self.parameter.low or 0) + (self.parameter.high or 0) - value


def suggest(trial: Trial, parameter: Parameter) -> Value:
    """Chooses the value of a hyperparameter by the study's sampler, and stores it in the trial.

    A value the trial has already (it was interrupted and runs again) is returned again.

    Args:
        trial: A running trial, from `study.ask()` or `optuna.trial.Trial(study, trial_id)`.
        parameter: What the model declares, overrides applied.

    Returns:
        The value, of the declared type, inside the declared range.

    Raises:
        SpaceExhausted: Every combination that begins like this trial was tried.
    """
    code = _code(parameter)
    label = _label(trial, parameter, code)
    stored = _draw(trial, label, code.distribution)
    value = code.decode(stored)
    if label != parameter.name or code.suffix:
        trial.set_user_attr(RECODED + label, {"name": parameter.name, "value": value})
    return value


def trial_values(trial: FrozenTrial | Trial) -> dict[str, Value]:
    """Returns the values a trial has so far, by the user's names, in the order they were chosen."""
    from optuna.distributions import FloatDistribution

    values: dict[str, Value] = {}
    recoded, distributions = trial.user_attrs, trial.distributions
    for label, stored in trial.params.items():
        if RECODED + label in recoded:
            record = recoded[RECODED + label]
            values[record["name"]] = record["value"]
            continue
        distribution = distributions[label]
        if isinstance(distribution, FloatDistribution) and distribution.step is not None:
            d = distribution
            stored = Parameter(label, "float", d.low, low=d.low, high=d.high, step=d.step).nearest(stored)
        values[label] = stored
    return values


def encoded(parameter: Parameter, value: Value) -> dict[str, Any]:
    """Returns a proposed value as the study would store it, under every label it could have there."""
    code = _code(parameter)
    return dict.fromkeys(_labels(parameter, code), code.encode(value))


def _code(parameter: Parameter) -> _Code:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if parameter.low is None or parameter.high is None:
        choices = parameter.grid or ()
        if len(set(choices)) < len(choices):  # Optuna cannot tell 1 from True, or from 1.0
            return _Code("#index", IntDistribution(0, len(choices) - 1), parameter)
        return _Code("", CategoricalDistribution(choices), parameter)
    low, high, step, size = parameter.low, parameter.high, parameter.step, parameter.size
    last = high if step is None or size is None else parameter.at(size - 1)
    if step is not None and (parameter.sampling != "linear" or not _divides(step, low, last)):
        return _Code("#index", IntDistribution(0, (size or 1) - 1), parameter)
    suffix = "#mirrored" if parameter.sampling == "reverse_log" else ""
    log = parameter.sampling != "linear"
    if parameter.kind == "int":
        return _Code(suffix, IntDistribution(int(low), int(last), log=log, step=int(step or 1)), parameter)
    return _Code(suffix, FloatDistribution(low, float(last), log=log, step=step), parameter)


def _divides(step: float, low: float, high: Value) -> bool:
    """Returns whether Optuna will count the steps as we do; it would cut a range that rounding made odd."""
    return (Decimal(repr(high)) - Decimal(repr(low))) % Decimal(repr(step)) == 0


def _labels(parameter: Parameter, code: _Code) -> Iterator[str]:
    """Yields the labels a hyperparameter may have: its name, with its conditions, with its domain."""
    yield _shortened(parameter.name + code.suffix)
    given = "".join(f"|{c.name}={','.join(map(str, c.values))}" for c in parameter.conditions)
    if given:
        yield _shortened(parameter.name + given + code.suffix)
    yield _shortened(f"{parameter.name}{given}|{_domain(code.distribution)}{code.suffix}")


def _label(trial: Trial, parameter: Parameter, code: _Code) -> str:
    """Returns the first label that the study does not use for something else.

    Optuna lets the range of a number change from trial to trial under one label, nothing else. Under
    parents that range is another hyperparameter's, so there it must be equal.
    """
    from optuna.distributions import CategoricalDistribution

    new = code.distribution
    labels = tuple(_labels(parameter, code))
    for label in labels[:-1]:
        old = _known(trial, label)
        if old is None or old == new:
            return label
        may_move = not isinstance(new, CategoricalDistribution) and type(old) is type(new)
        if may_move and _is_log(old) == _is_log(new) and (label != labels[0] or not parameter.conditions):
            return label
    return labels[-1]


def _known(trial: Trial, label: str) -> BaseDistribution | None:
    """Returns the distribution `label` has in this trial, or else had first in the study."""
    own = trial.distributions.get(label)
    if own is not None:
        return own
    first_use = _FIRST_USE.setdefault(trial.study, {})
    if label not in first_use:
        users = (t for t in trial.study.get_trials(deepcopy=False) if label in t.distributions)
        user = next(users, None)
        if user is None:
            return None
        first_use[label] = user.distributions[label]
    return first_use[label]


def _draw(trial: Trial, label: str, distribution: BaseDistribution) -> Any:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    d = distribution
    if isinstance(d, IntDistribution):
        return trial.suggest_int(label, d.low, d.high, step=d.step, log=d.log)
    if isinstance(d, FloatDistribution):
        return trial.suggest_float(label, d.low, d.high, step=d.step, log=d.log)
    if isinstance(d, CategoricalDistribution):
        return trial.suggest_categorical(label, d.choices)
    raise TypeError(f"unexpected distribution {d!r}")


def _is_log(distribution: BaseDistribution) -> bool:
    return bool(getattr(distribution, "log", False))


def _domain(distribution: BaseDistribution) -> str:
    """Names what must not change under one label."""
    from optuna.distributions import CategoricalDistribution, IntDistribution

    if isinstance(distribution, CategoricalDistribution):
        return ",".join(map(repr, distribution.choices))
    kind = "int" if isinstance(distribution, IntDistribution) else "float"
    return f"{kind} log" if _is_log(distribution) else kind


def _shortened(label: str) -> str:
    if len(label) <= _MAX_LABEL:
        return label
    digest = hashlib.sha256(label.encode()).hexdigest()[:16]
    return f"{label[: _MAX_LABEL - 17]}~{digest}"
