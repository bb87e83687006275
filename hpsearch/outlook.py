"""What a search will meet, before time is spent on it: points that do not build, memory, time, export."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import psutil

from hpsearch.assemble import checked
from hpsearch.checking import CheckReport, most_epochs
from hpsearch.errors import HpsearchError
from hpsearch.executors.placement import environments, visible_gpus
from hpsearch.experiment import Experiment
from hpsearch.exporting import export_job, file_name
from hpsearch.gpu_memory import measure
from hpsearch.plan import trial_spec
from hpsearch.space import Value, default_point
from hpsearch.study import StudyFolder
from hpsearch.trial import SAMPLES_FILE, Build, Epoch, Evaluation, Outcome, Result, Survey, SurveyResult
from hpsearch.writing import MIB, number, size

POINTS = 20
LIMIT_S = 60.0
"""How long the builds, and the epochs that are timed, may take."""
MOST_VALUES = 4
"""More values than this are no region but chance."""


@dataclass(frozen=True)
class Pace:
    """How long training takes with default values, alone on its cores or GPU."""

    epoch_s: float
    """One epoch, once everything is compiled."""
    around_s: float
    """Everything else of a trial: building, compiling, saving."""


@dataclass(frozen=True)
class Preflight:
    """What was found.

    Attributes:
        report: As of `hpsearch.check`.
        builds: The model at its defaults, then at random points.
        pace: None if it could not be timed; `notes` then say why.
        exports: By format of the experiment's `export`, why the untrained default model cannot be exported
            to it; None if it can.
        slots: Trials at a time.
        search_s: What the search is expected to take at most, in seconds; None if that is not known.
        notes: What a person should know, a sentence each.
    """

    report: CheckReport
    builds: tuple[Build, ...]
    pace: Pace | None = None
    exports: Mapping[str, str | None] = field(default_factory=dict)
    slots: int = 1
    search_s: float | None = None
    notes: tuple[str, ...] = ()

    @property
    def refused(self) -> tuple[Build, ...]:
        """The points that do not build."""
        return tuple(build for build in self.builds if build.cause is not None)

    @property
    def built(self) -> tuple[Build, ...]:
        """The points that do."""
        return tuple(build for build in self.builds if build.cause is None)


def preflight(experiment: Experiment, *, points: int = POINTS, limit_s: float = LIMIT_S) -> Preflight:
    """Checks an experiment, builds its model at random points, times two epochs, tries the export.

    Args:
        experiment: What will be searched.
        points: How many random points to build.
        limit_s: How long the builds, and the epochs, may take; in seconds.

    Raises:
        UsageError: Something in the experiment is wrong.
    """
    notes: list[str] = []
    with tempfile.TemporaryDirectory() as name, checked(experiment) as (report, run):
        folder = StudyFolder(Path(name))
        place = folder.trial(0)
        place.mkdir(parents=True)
        survey = _attempt(notes, "The space", run, Survey(points, limit_s, str(place)))
        builds = survey.builds if isinstance(survey, SurveyResult) else ()
        saved = isinstance(survey, SurveyResult) and survey.model is not None
        exports = _exports(experiment, report, run, folder) if saved else {}
        pace = _pace(experiment, report, run, folder, limit_s, notes)
    slots = _slots(experiment)
    search_s = None if pace is None else _search_s(experiment, report, pace, slots)
    notes += _memory_notes(builds, slots, experiment.resources.trials_per_gpu)
    if where := failing_region(builds):
        notes.append(f"The model does not build {where}.")
    return Preflight(report, builds, pace, exports, slots, search_s, tuple(notes))


def _attempt(
    notes: list[str], what: str, run: Callable[..., Outcome], *job: object, **more: object
) -> Outcome | None:
    """Runs a job; its failure is something to know, no error."""
    try:
        return run(*job, **more)
    except HpsearchError as error:
        notes.append(f"{what} could not be looked at: {error}")
        return None


def _pace(
    experiment: Experiment,
    report: CheckReport,
    run: Callable[..., Outcome],
    folder: StudyFolder,
    limit_s: float,
    notes: list[str],
) -> Pace | None:
    """Trains the default model for two epochs: the first compiles."""
    if report.probe.any_metric:
        notes.append("The model trains in a `fit` of its own, which is not timed.")
        return None
    spec = trial_spec(folder, experiment.search.seed, 1, default_point(report.space))
    spec = replace(spec, pause_after=2, part=next(iter(experiment.evaluation.parts), None))
    ended_s: list[float] = []

    def on_epoch(epoch: Epoch) -> None:
        ended_s.append(epoch.ended_at_s)

    result = _attempt(notes, "The time of an epoch", run, spec, on_epoch=on_epoch, timeout_s=limit_s)
    if not isinstance(result, Result):
        return None
    epoch_s = ended_s[1] - ended_s[0] if len(ended_s) > 1 else result.duration_s
    return Pace(epoch_s, max(0.0, result.duration_s - len(ended_s) * epoch_s))


def _exports(
    experiment: Experiment, report: CheckReport, run: Callable[..., Outcome], folder: StudyFolder
) -> dict[str, str | None]:
    """Exports the untrained model; what it decides means nothing yet, so a quantized file is not judged."""
    unjudged = {"min_agreement": -math.inf, "max_loss": math.inf, "measure": False}
    experiment = experiment.model_copy(update={"export": experiment.export.model_copy(update=unjudged)})
    evaluation = Evaluation(trial=0, model=str(folder.model(0)), folder=str(folder.champion))
    found: dict[str, str | None] = {}
    for fmt in experiment.export.formats:
        target = folder.champion / file_name(folder.name, 0, fmt)
        try:
            if not found:
                folder.champion.mkdir()
                run(evaluation)
            samples = str(folder.champion / SAMPLES_FILE)
            run(export_job(experiment, folder, report.probe.data, 0, samples, target, fmt))
            found[fmt] = None
        except HpsearchError as error:
            found[fmt] = str(error)
    return found


def _slots(experiment: Experiment) -> int:
    """Counts the trials at a time; on a Ray cluster, which is not asked, those that are named."""
    wanted = experiment.resources
    if wanted.executor != "local":
        return wanted.slots or 1
    return len(
        environments(
            wanted.slots,
            wanted.cores_per_trial,
            gpus_per_trial=wanted.gpus_per_trial,
            trials_per_gpu=wanted.trials_per_gpu,
        )
    )


def _search_s(experiment: Experiment, report: CheckReport, pace: Pace, slots: int) -> float | None:
    """Estimates a search none of whose trials ends early: each runs the most epochs that it can."""
    budget = experiment.search
    epochs, trainings = most_epochs(experiment, report.space), len(experiment.evaluation.parts) or 1
    training_s = pace.around_s + epochs * pace.epoch_s
    trials = [count for count in (budget.trials, report.space.size()) if count is not None]
    limits_s = [budget.timeout_s] if budget.timeout_s is not None else []
    if trials:
        limits_s.append(math.ceil(min(trials) / slots) * trainings * training_s)
    if budget.total_compute_s is not None:
        limits_s.append(budget.total_compute_s / slots)
    if budget.total_epochs is not None:
        limits_s.append(budget.total_epochs / epochs / slots * training_s)
    return min(limits_s, default=None)


def _memory_notes(builds: Sequence[Build], slots: int, trials_per_gpu: int) -> list[str]:
    """Says if the largest model will not fit beside its like."""
    needed_bytes = max((build.memory_bytes for build in builds), default=0)
    if visible_gpus():
        free = [gpu.free_mib * MIB for gpu in measure()]
        given_bytes, where = (min(free) // trials_per_gpu if free else None), "of its GPU"
    else:
        given_bytes, where = psutil.virtual_memory().available // slots, "of this machine"
    if given_bytes is None or needed_bytes <= given_bytes:
        return []
    return [
        f"The largest model needs about {size(needed_bytes)} to train; a trial's part {where} is "
        f"{size(given_bytes)}."
    ]


def failing_region(builds: Sequence[Build]) -> str | None:
    """Names the hyperparameter that tells the points that do not build from those that do, if one does."""
    failing = [build.params for build in builds if build.cause is not None]
    working = [build.params for build in builds if build.cause is None]
    names = dict.fromkeys(name for params in failing for name in params)
    for name in names if working else ():
        bad = [params[name] for params in failing if name in params]
        good = [params[name] for params in working if name in params]
        if len(bad) < len(failing) or not good:
            continue
        failed, worked = _numbers(bad), _numbers(good)
        if failed and worked and min(failed) > max(worked):
            return f"where `{name}` is {number(min(failed))} or more"
        if failed and worked and max(failed) < min(worked):
            return f"where `{name}` is {number(max(failed))} or less"
        if not set(bad) & set(good) and len(set(bad)) <= MOST_VALUES:
            return f"where `{name}` is {' or '.join(dict.fromkeys(map(number, bad)))}"
    return None


def _numbers(values: Sequence[Value]) -> list[int | float]:
    """Returns the values if all are numbers, nothing otherwise."""
    found = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    return found if len(found) == len(values) else []
