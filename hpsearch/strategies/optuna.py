"""`optuna`: any of Optuna's samplers with any of its pruners."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import Any

import optuna
from optuna.pruners import NopPruner
from optuna.samplers import BaseSampler, RandomSampler

from hpsearch.errors import StrategyError, fault
from hpsearch.experiment_search import StrategySection
from hpsearch.strategies import Context, Strategy, options
from hpsearch.strategies.distinct import DistinctSampler
from hpsearch.strategies.penalty import PenalisingSampler
from hpsearch.strategies.pruners import create_pruner

SAMPLERS: Mapping[str, Callable[..., BaseSampler]] = {
    "tpe": optuna.samplers.TPESampler,
    "gp": optuna.samplers.GPSampler,
    "cmaes": optuna.samplers.CmaEsSampler,
    "nsgaii": optuna.samplers.NSGAIISampler,
    "nsgaiii": optuna.samplers.NSGAIIISampler,
    "qmc": optuna.samplers.QMCSampler,
    "random": RandomSampler,
}

_GREEDY = {"tpe", "gp"}
"""They propose the most promising point, and must be told of those that fail."""

_KNOW_CONSTRAINTS = {"tpe", "gp", "nsgaii", "nsgaiii"}
"""They learn from how far a trial is beyond a constraint; others are shown the worst value instead."""

_NEEDS = {"gp": ("torch", "pip install 'hpsearch[gp]'"), "cmaes": ("cmaes", "pip install cmaes")}


def create(section: StrategySection, context: Context) -> Strategy:
    """Creates the strategy: `sampler` (default tpe) and `pruner` (default none), as in

        sampler: {name: tpe, n_startup_trials: 20}
        pruner: median

    Raises:
        StrategyError: One of them is unknown, lacks such an option, a package, or does not fit the space
            or the objectives.
    """
    options.check({}, section.options, f"{context.where}.options", "strategy `optuna`")
    name, sampler, warnings = create_sampler(section.sampler, "tpe", context)
    pruner = create_pruner(section.pruner, context)
    pruned = "" if isinstance(pruner, NopPruner) else f", {options.named(section.pruner, '', '')[0]} pruner"
    return Strategy(sampler, pruner, f"optuna: {name}{pruned}", warnings)


def create_sampler(
    spec: str | Mapping[str, Any] | None, default: str, context: Context, *, pauses: bool = False
) -> tuple[str, DistinctSampler, tuple[str, ...]]:
    """Creates one of Optuna's samplers, wrapped as every strategy's is.

    Args:
        spec: Its name, or a mapping with `name` and options.
        default: Its name if there is no `spec`.
        context: Of the search.
        pauses: Whether trials pause, and may never go on. Default: all are trained to their end.

    Returns:
        Its name, the sampler, and warnings.

    Raises:
        StrategyError: It is unknown, lacks such an option, a package, or does not fit the space or the
            objectives.
    """
    where = f"{context.where}.sampler"
    name, given = options.named(spec, default, where)
    constructor = options.known(name, SAMPLERS, where, "sampler")
    options.check(options.of(constructor), given, where, f"sampler `{name}`")
    _check_installed(name, where)
    warnings = _check_cmaes(context, where) if name == "cmaes" else ()

    def factory(seed: int) -> BaseSampler:
        sampler = constructor(**{**_settings(name, given, seed, context), **given})
        if name not in _GREEDY and not context.constrained and not (pauses and len(context.directions) > 1):
            return sampler
        return PenalisingSampler(sampler, knows_constraints=name in _KNOW_CONSTRAINTS)

    sampler = DistinctSampler(factory, context.seed)
    options.construct(lambda **_: sampler.probe(), given, where)
    return name, sampler, warnings


def _settings(name: str, given: Mapping[str, Any], seed: int, context: Context) -> dict[str, Any]:
    """Returns what each sampler is given unless the experiment says otherwise."""
    match name:
        case "tpe":
            # Hyperparameters that appear together are modelled together, those of a branch too.
            together = len(context.directions) == 1 and not {"group", "multivariate"} & given.keys()
            return {"seed": seed, **({"group": True} if together else {})}
        case "qmc":
            # One sequence for all trials: its scrambling must not depend on the trial.
            return {
                "seed": context.seed,
                "scramble": True,
                "independent_sampler": RandomSampler(seed),
                "warn_independent_sampling": False,
            }
        case "gp" | "cmaes":
            return {"seed": seed, "warn_independent_sampling": False}
        case _:
            return {"seed": seed}


def _check_installed(name: str, where: str) -> None:
    package, install = _NEEDS.get(name, ("optuna", ""))
    if find_spec(package) is None:
        message = fault(where, f"sampler `{name}` needs the package `{package}`", advice=f"Run `{install}`.")
        raise StrategyError(message)


def _check_cmaes(context: Context, where: str) -> tuple[str, ...]:
    options.refuse_several_objectives("sampler `cmaes`", where, context, "Use `tpe` or `nsgaii`.")
    parameters = [p for p in context.space.parameters if p.size != 1]
    numeric = [p for p in parameters if p.kind in ("int", "float")]
    if not numeric:
        message = fault(
            where,
            "sampler `cmaes` needs at least one numeric range",
            received=", ".join(f"`{p.name}` ({p.kind})" for p in parameters) or "no hyperparameters",
            advice="Use `tpe`.",
        )
        raise StrategyError(message)
    others = [f"`{p.name}`" for p in parameters if p not in numeric]
    if not others:
        return ()
    return (f"{where}: `cmaes` optimises numeric ranges only; drawn at random: {', '.join(others)}.",)
