"""Everything that can be wrong before a trial: the experiment against a model that is built once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hpsearch import backends, champion, strategies
from hpsearch.constraints import check_constraints
from hpsearch.deploy_metrics import is_of_deployment, wanted
from hpsearch.errors import ExperimentError, HpsearchError, SearchError, StrategyError, UsageError, fault
from hpsearch.executors import Executor
from hpsearch.experiment import Experiment
from hpsearch.objective import Objective, resolve
from hpsearch.space import Point, Space, check_overrides, check_points, default_point
from hpsearch.strategies import Budget, Context, Strategy
from hpsearch.trial import Failure, Probe, ProbeResult


@dataclass(frozen=True)
class CheckReport:
    """What validating an experiment and building its model once have shown."""

    probe: ProbeResult
    space: Space
    """What is searched: what the model declares, with the experiment's overrides."""
    objectives: tuple[Objective, ...]
    strategy: Strategy
    warnings: tuple[str, ...]
    epochs: int
    """The most that a trial can run; or its parts, if it has several."""


def check_on(executor: Executor, experiment: Experiment, log: Path) -> CheckReport:
    """Has a worker build the model once, and checks all that depends on what this shows.

    Raises:
        UsageError: Something in the experiment is wrong.
        SearchError: The worker failed.
    """
    probe = champion.run_job(executor, Probe(folder=str(log.parent)), log=log)
    if isinstance(probe, Failure):
        raise error_of(experiment, probe)
    if not isinstance(probe, ProbeResult):
        raise TypeError(f"a probe returned {type(probe).__name__}")
    overrides = {
        name: override
        for name, override in experiment.search.space.items()
        if name in probe.space.names or not probe.any_metric  # else it may be declared in the user's `fit`
    }
    space = check_overrides(probe.space, overrides, f"{experiment.where}: search.space")
    known = (*probe.metrics, *probe.of_deployment)
    objectives = tuple(
        resolve(section, known, any_metric=probe.any_metric, where=f"{experiment.where}: objective")
        for section in experiment.objective
    )
    limits = experiment.search
    epochs, total_epochs = most_epochs(experiment, space), limits.total_epochs
    if parts := len(experiment.evaluation.parts):  # then a trial is reported and pruned by parts
        total_epochs = None if total_epochs is None else max(1, total_epochs // epochs)
        epochs = parts
        _check_selection(experiment)
        _check_judged_by_parts(experiment)
    check_constraints(experiment, known, any_metric=probe.any_metric)
    _check_improvement(experiment, space)
    context = Context(
        space=space,
        directions=tuple(objective.direction for objective in objectives),
        seed=experiment.search.seed,
        epochs=epochs,
        parts=parts or 1,
        budget=Budget(limits.trials, total_epochs, limits.timeout_s, limits.total_compute_s),
        constrained=bool(experiment.search.constraints),
        per_epoch=not all(is_of_deployment(objective.metric) for objective in objectives),
        resumes=not probe.any_metric,
        guests=_guests(experiment, space, objectives),
        start=_start(experiment, space, any_name=probe.any_metric),
        where=f"{experiment.where}: search.strategy",
    )
    strategy = strategies.create(experiment.search.strategy, context)
    stops = strategy.prunes or strategy.schedule is not None
    if stops and len(objectives) == 1 and not context.per_epoch:
        raise _stopped_by_nothing(context.where, objectives[0].metric)
    asked = backends.not_read(experiment.training.backend)
    warnings = (*(o.warning for o in objectives if o.warning), *strategy.warnings, *asked)
    if strategy.schedule is not None and probe.any_metric:
        what = "the model trains in a `fit` of its own: a trial that is promoted begins anew"
        warnings = (*warnings, f"{experiment.where}: search.strategy: {what}.")
    return CheckReport(probe, space, objectives, strategy, warnings, context.epochs)


def _guests(experiment: Experiment, space: Space, objectives: tuple[Objective, ...]) -> tuple[Point, ...]:
    """Returns the good points of earlier studies."""
    if not experiment.search.warm_start:
        return ()
    from hpsearch.strategies.earlier import good_points

    names, where = experiment.search.warm_start, f"{experiment.where}: search.warm_start"
    return good_points(names, Path(experiment.workdir), space, objectives, where)


def _start(experiment: Experiment, space: Space, *, any_name: bool) -> tuple[Point, ...]:
    """Returns the points to try first."""
    search = experiment.search
    points = check_points(space, search.start or (), f"{experiment.where}: search.start", any_name=any_name)
    return (default_point(space), *points) if search.defaults_first else points


def _check_selection(experiment: Experiment) -> None:
    """Refuses a selection among trials by a rule that does not hold for them, or whose models are gone.

    Raises:
        ExperimentError: It is not possible.
    """
    if experiment.evaluation.select == "best":
        return
    where = f"{experiment.where}: evaluation.select"
    if len(experiment.objective) > 1:
        what = "the rule of one standard error is for one objective"
        raise ExperimentError(fault(where, what, expected="best", received=experiment.evaluation.select))
    if not experiment.checkpoints.keeps_all:
        what = "the model of a trial that is not the best may be deleted before it is selected"
        advice = "Leave `checkpoints.keep` and `checkpoints.max_size_mib` out."
        raise ExperimentError(fault(where, what, received=experiment.evaluation.select, advice=advice))


def _check_judged_by_parts(experiment: Experiment) -> None:
    """Refuses what is known of one model where a trial trains several.

    Raises:
        ExperimentError: The experiment asks for it.
    """
    asked = [*(experiment.search.constraints or ()), *sorted(wanted(experiment))]
    if asked:
        what = "constraints and metrics of what is deployed are of one model, and a trial here trains several"
        advice = "Leave out `folds` and `repeats`, or these."
        raise ExperimentError(
            fault(f"{experiment.where}: evaluation", what, received=", ".join(asked), advice=advice)
        )


def _check_improvement(experiment: Experiment, space: Space) -> None:
    """Refuses to expect what no process can.

    Raises:
        ExperimentError: The experiment asks for it.
    """
    if experiment.search.min_improvement is None:
        return
    where = f"{experiment.where}: search.min_improvement"
    if len(experiment.objective) > 1:
        names = ", ".join(each.metric for each in experiment.objective)
        advice = "`patience` counts the trials since the Pareto front's last step."
        what = "how much a trial may improve is a number of one objective"
        raise ExperimentError(fault(where, what, expected="one objective", received=names, advice=advice))
    if not space.parameters:
        what = "there is no hyperparameter that could improve anything"
        raise ExperimentError(fault(where, what, advice="Leave it out."))


def _stopped_by_nothing(where: str, metric: str) -> StrategyError:
    return StrategyError(
        fault(
            where,
            "trials are stopped early by the objective after each epoch",
            expected="an objective that epochs report, e.g. `val_loss`",
            received=f"{metric}, which is known only of a whole trial",
            advice="Let no trial be stopped early, or make this metric a constraint.",
        )
    )


def most_epochs(experiment: Experiment, space: Space) -> int:
    """Returns the most epochs that one training can run."""
    searched = [p.values or (p.high or p.default,) for p in space.parameters if p.name == "epochs"]
    return max((int(value) for values in searched for value in values), default=experiment.training.epochs)


def error_of(experiment: Experiment, failure: Failure) -> HpsearchError:
    """Returns a job's failure as what is raised."""
    if failure.usage:
        prefix = "" if failure.cause.startswith(experiment.where) else f"{experiment.where}: "
        return UsageError(prefix + failure.cause)
    return SearchError(fault(experiment.where, f"{failure.kind}: {failure.cause}", advice=failure.detail))
