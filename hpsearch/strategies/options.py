"""Options of samplers and pruners, checked against the constructors they are for."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Mapping
from typing import Any, TypeVar

from optuna.exceptions import ExperimentalWarning

from hpsearch.errors import StrategyError, did_you_mean, fault
from hpsearch.experiment_search import StrategySection
from hpsearch.strategies import Context

T = TypeVar("T")

_PLAIN = {"int": int, "float": float, "bool": bool, "str": str, "None": type(None)}
_IN_WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}

_WITHHELD = {"seed", "constraints_func", "warn_independent_sampling", "warn_asynchronous_seeding"}
"""What the search itself decides."""

_DEPRECATED = {"restart_strategy", "inc_popsize", "consider_prior", "prior_weight", "consider_magic_clip"}
_DEPRECATED |= {"consider_endpoints", "gamma", "weights"}


def named(spec: str | Mapping[str, Any] | None, default: str, where: str) -> tuple[str, dict[str, Any]]:
    """Splits `median`, or `{name: median, n_startup_trials: 3}`, into a name and options.

    Raises:
        StrategyError: It is neither.
    """
    if spec is None:
        return default, {}
    if isinstance(spec, str):
        return spec, {}
    if isinstance(spec, Mapping) and isinstance(spec.get("name"), str):
        return spec["name"], {key: value for key, value in spec.items() if key != "name"}
    message = fault(where, "no name", expected="a name, or `{name: ..., option: ...}`", received=repr(spec))
    raise StrategyError(message)


def known(name: str, names: Mapping[str, T], where: str, what: str) -> T:
    """Returns what `name` stands for.

    Raises:
        StrategyError: It is not among `names`.
    """
    if name not in names:
        expected = "one of " + ", ".join(f"`{each}`" for each in names)
        advice = did_you_mean(name, names)
        raise StrategyError(fault(where, f"unknown {what}", expected=expected, received=name, advice=advice))
    return names[name]


def of(constructor: Any) -> dict[str, tuple[type, ...]]:
    """Returns the options of a constructor that a file can give, with the types each may have."""
    found = {}
    for name, parameter in inspect.signature(constructor).parameters.items():
        annotation = parameter.annotation
        text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
        types = [_PLAIN.get(part.strip()) for part in text.split("|")]
        if name not in _WITHHELD | _DEPRECATED and None not in types:
            found[name] = tuple(kind for kind in types if kind is not None)
    return found


def check(allowed: Mapping[str, tuple[type, ...]], given: Mapping[str, Any], where: str, what: str) -> None:
    """Checks names and types of options.

    Raises:
        StrategyError: An option is unknown or has the wrong type.
    """
    for name, value in given.items():
        if name not in allowed:
            expected = "one of " + ", ".join(f"`{each}`" for each in allowed) if allowed else "none"
            message = fault(
                f"{where}.{name}",
                f"{what} has no such option",
                expected=expected,
                advice=did_you_mean(name, allowed),
            )
            raise StrategyError(message)
        types = allowed[name]
        fits = isinstance(value, types) or (float in types and isinstance(value, int))
        if not fits or (isinstance(value, bool) and bool not in types):
            expected = " or ".join(_IN_WORDS[kind] for kind in types if kind in _IN_WORDS)
            raise StrategyError(
                fault(f"{where}.{name}", "wrong type", expected=expected, received=repr(value))
            )


def construct(constructor: Any, given: Mapping[str, Any], where: str) -> Any:
    """Calls a constructor whose options were checked.

    Raises:
        StrategyError: It refuses their values.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            return constructor(**given)
    except (TypeError, ValueError) as error:
        raise StrategyError(fault(where, str(error).rstrip("."), received=repr(dict(given)))) from error


def refuse_several_objectives(what: str, where: str, context: Context, advice: str) -> None:
    """Refuses more than one objective.

    Args:
        what: Has one, e.g. ``sampler `cmaes` ``.
        where: It is named.
        context: Of the search.
        advice: What else there is.

    Raises:
        StrategyError: There are several.
    """
    if len(context.directions) > 1:
        received = f"{len(context.directions)} objectives"
        raise StrategyError(fault(where, f"{what} has one objective", received=received, advice=advice))


def refuse_sampler(section: StrategySection, context: Context) -> None:
    """Refuses a `sampler` where the strategy is one itself.

    Raises:
        StrategyError: There is one.
    """
    if section.sampler is not None:
        message = fault(
            f"{context.where}.sampler",
            f"strategy `{section.name}` has no choice of samplers",
            received=repr(section.sampler),
            advice="Use `name: optuna` to choose one.",
        )
        raise StrategyError(message)
