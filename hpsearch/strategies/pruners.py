"""Optuna's pruners by name; they stop trials whose first objective falls behind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import optuna
from optuna.pruners import BasePruner

from hpsearch.errors import StrategyError, fault
from hpsearch.strategies import Context, options

PRUNERS: Mapping[str, Callable[..., BasePruner]] = {
    "none": optuna.pruners.NopPruner,
    "median": optuna.pruners.MedianPruner,
    "percentile": optuna.pruners.PercentilePruner,
    "successive_halving": optuna.pruners.SuccessiveHalvingPruner,
    "hyperband": optuna.pruners.HyperbandPruner,
    "patient": optuna.pruners.PatientPruner,
    "threshold": optuna.pruners.ThresholdPruner,
    "wilcoxon": optuna.pruners.WilcoxonPruner,
}

DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "percentile": {"percentile": 25.0},
    "patient": {"wrapped_pruner": "median", "patience": 3},
}
"""Where Optuna has none. Hyperband's `max_resource` is the epochs of the search."""


def create_pruner(spec: str | Mapping[str, Any] | None, context: Context) -> BasePruner:
    """Creates the pruner an experiment asks for.

    Args:
        spec: A name, or `{name: median, n_startup_trials: 3}`. Default: none.
        context: The search's objectives and epochs.

    Raises:
        StrategyError: It is unknown, has no such option, or there are several objectives.
    """
    where = f"{context.where}.pruner"
    name, given = options.named(spec, "none", where)
    if name != "none" and len(context.directions) > 1:
        message = fault(
            where,
            "trials cannot be pruned when there are several objectives",
            received=name,
            advice="Leave the pruner out, or keep one objective.",
        )
        raise StrategyError(message)
    return _create(name, given, context, where)


def _create(name: str, given: Mapping[str, Any], context: Context, where: str) -> BasePruner:
    constructor = options.known(name, PRUNERS, where, "pruner")
    given = {**DEFAULTS.get(name, {}), **given}
    inner = given.pop("wrapped_pruner", None) if name == "patient" else None
    options.check(options.of(constructor), given, where, f"pruner `{name}`")
    if name == "threshold" and given.get("lower") is None and given.get("upper") is None:
        advice = f"For example `pruner: {{name: threshold, {_bound(context)}}}`."
        raise StrategyError(fault(where, "a threshold needs `lower` or `upper`", advice=advice))
    if name == "hyperband":
        given.setdefault("max_resource", context.epochs)
    if name == "patient":
        inner_name, inner_given = options.named(inner, "none", f"{where}.wrapped_pruner")
        wrapped = _create(inner_name, inner_given, context, f"{where}.wrapped_pruner")
        given["wrapped_pruner"] = None if inner_name == "none" else wrapped
    pruner: BasePruner = options.construct(constructor, given, where)
    return pruner


def _bound(context: Context) -> str:
    return "lower: 0.5" if context.directions[0] == "maximize" else "upper: 10.0"
