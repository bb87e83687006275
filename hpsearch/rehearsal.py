"""What can be tried of a search without training: models at random points, and the default one's export."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field

from hpsearch.experiment import Experiment
from hpsearch.exporting import export_job, file_name
from hpsearch.region import failing_region
from hpsearch.study_folder import StudyFolder
from hpsearch.trial import (
    SAMPLES_FILE,
    Build,
    DataSummary,
    Evaluation,
    Failure,
    Job,
    Outcome,
    Survey,
    SurveyResult,
)

POINTS = 20


@dataclass(frozen=True)
class Look:
    """What looking at a space and at the export of its default model has shown."""

    builds: tuple[Build, ...] = ()
    exports: Mapping[str, str | None] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


Steps = Generator[Job, Outcome | None, Look]


def look(
    experiment: Experiment, data: DataSummary, folder: StudyFolder, *, points: int, limit_s: float
) -> Steps:
    """Builds the model at random points of its space, and tries the export of the default one.

    Args:
        experiment: What is searched.
        data: What it is trained on.
        folder: Empty; the jobs write there.
        points: How many random points to build.
        limit_s: No build begins later, in seconds.

    Yields:
        Jobs, each when the outcome of the one before has been sent.

    Returns:
        What they showed; their failures are something to know, no errors.
    """
    place = folder.trial(0)
    place.mkdir(parents=True)
    survey = yield Survey(points, limit_s, str(place))
    if not isinstance(survey, SurveyResult):
        return Look(notes=(f"The space could not be looked at: {cause_of(survey)}",))
    exports: dict[str, str | None] = {}
    if survey.model is not None:
        exports = yield from _exports(experiment, data, folder)
    where = failing_region(survey.builds)
    notes = (f"The model does not build {where}.",) if where else ()
    return Look(survey.builds, exports, notes)


def through(steps: Steps, run: Callable[[Job], Outcome]) -> Look:
    """Takes all steps of a look, one after the other."""
    outcome: Outcome | None = None
    while True:
        try:
            job = steps.send(outcome)
        except StopIteration as end:
            seen: Look = end.value
            return seen
        outcome = run(job)


def _exports(
    experiment: Experiment, data: DataSummary, folder: StudyFolder
) -> Generator[Job, Outcome | None, dict[str, str | None]]:
    """Exports the untrained model; what it decides means nothing yet, so a quantized file is not judged."""
    formats = experiment.export.formats
    if not formats:
        return {}
    unjudged = {"min_agreement": -math.inf, "max_loss": math.inf, "measure": False}
    experiment = experiment.model_copy(update={"export": experiment.export.model_copy(update=unjudged)})
    folder.champion.mkdir()
    tested = yield Evaluation(trial=0, model=str(folder.model(0)), folder=str(folder.champion))
    if isinstance(tested, Failure):
        return dict.fromkeys(formats, tested.cause)
    found: dict[str, str | None] = {}
    for fmt in formats:
        target = folder.champion / file_name(folder.name, 0, fmt)
        samples = str(folder.champion / SAMPLES_FILE)
        outcome = yield export_job(experiment, folder, data, 0, samples, target, fmt)
        found[fmt] = outcome.cause if isinstance(outcome, Failure) else None
    return found


def cause_of(outcome: Outcome | None) -> str:
    """Says in a line why a job did not give what it should."""
    return f"{outcome.kind}: {outcome.cause}" if isinstance(outcome, Failure) else type(outcome).__name__
