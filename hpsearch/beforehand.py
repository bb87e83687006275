"""Before a search: its experiment is checked in a worker, which stays for what else is to be looked at."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from hpsearch import champion, wiring
from hpsearch.checking import CheckReport, check_on, error_of
from hpsearch.executors.placement import environments
from hpsearch.experiment import Experiment
from hpsearch.outlook import Pace, Preflight, longest_s, memory_notes
from hpsearch.plan import trial_spec
from hpsearch.rehearsal import POINTS, cause_of, look, through
from hpsearch.space import default_point
from hpsearch.study_folder import StudyFolder
from hpsearch.trial import Epoch, Failure, Job, Outcome, Result

LIMIT_S = 60.0
"""How long the builds, and the epochs that are timed, may take."""


def check(experiment: Experiment) -> CheckReport:
    """Validates an experiment and builds its model once, without training.

    Raises:
        UsageError: Something in the experiment is wrong.
    """
    with checked(experiment) as (report, _):
        return report


@contextmanager
def checked(experiment: Experiment) -> Iterator[tuple[CheckReport, Callable[..., Outcome]]]:
    """Checks an experiment and keeps the worker that did, for what else is to be done there once.

    Yields:
        What was found, and a function that runs a job and returns its outcome; it takes `on_epoch` and
        `timeout_s` as `champion.run_job` does, and a `Failure` is raised.

    Raises:
        UsageError: Something in the experiment is wrong.
        SearchError: A job failed.
    """
    with _checked(experiment) as (report, run):

        def succeed(job: Job, **more: Any) -> Outcome:
            outcome = run(job, **more)
            if isinstance(outcome, Failure):
                raise error_of(experiment, outcome)
            return outcome

        yield report, succeed


@contextmanager
def _checked(experiment: Experiment) -> Iterator[tuple[CheckReport, Callable[..., Outcome]]]:
    """As `checked`, but a `Failure` is returned."""
    with wiring.named(experiment):
        wiring.check_names(experiment)
    with tempfile.TemporaryDirectory() as folder, wiring.workers(experiment, slots=1) as executor:
        log = Path(folder) / "log.txt"

        def run(job: Job, **more: Any) -> Outcome:
            return champion.run_job(executor, job, log=log, **more)

        yield check_on(executor, experiment, log), run


def preflight(experiment: Experiment, *, points: int = POINTS, limit_s: float = LIMIT_S) -> Preflight:
    """Checks an experiment, builds its model at random points, times two epochs, tries the export.

    Args:
        experiment: What will be searched.
        points: How many random points to build.
        limit_s: How long the builds, and the epochs, may take; in seconds.

    Raises:
        UsageError: Something in the experiment is wrong.
    """
    with tempfile.TemporaryDirectory() as name, _checked(experiment) as (report, run):
        folder = StudyFolder(Path(name))
        seen = through(look(experiment, report.probe.data, folder, points=points, limit_s=limit_s), run)
        pace, why = _pace(experiment, report, run, folder, limit_s)
    slots = _slots(experiment)
    search_s = None if pace is None else longest_s(experiment, report, pace, slots)
    memory = memory_notes(seen.builds, slots, experiment.resources.trials_per_gpu)
    return Preflight(report, seen.builds, pace, seen.exports, slots, search_s, (*seen.notes, *why, *memory))


def _pace(
    experiment: Experiment,
    report: CheckReport,
    run: Callable[..., Outcome],
    folder: StudyFolder,
    limit_s: float,
) -> tuple[Pace | None, tuple[str, ...]]:
    """Trains the default model for two epochs, the first of which compiles; or says why not."""
    if report.probe.any_metric:
        return None, ("The model trains in a `fit` of its own, which is not timed.",)
    spec = trial_spec(folder, experiment.search.seed, 1, default_point(report.space))
    spec = replace(spec, pause_after=2, part=next(iter(experiment.evaluation.parts), None))
    ended_s: list[float] = []

    def on_epoch(epoch: Epoch) -> None:
        ended_s.append(epoch.ended_at_s)

    result = run(spec, on_epoch=on_epoch, timeout_s=limit_s)
    if not isinstance(result, Result):
        return None, (f"The time of an epoch could not be looked at: {cause_of(result)}",)
    epoch_s = ended_s[1] - ended_s[0] if len(ended_s) > 1 else result.duration_s
    return Pace(epoch_s, max(0.0, result.duration_s - len(ended_s) * epoch_s)), ()


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
