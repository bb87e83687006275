"""What MLflow lacks of a study, sent later."""

from __future__ import annotations

from dataclasses import dataclass

from hpsearch import champion, wiring
from hpsearch.experiment import Experiment
from hpsearch.opening import record_of
from hpsearch.plan import trial_spec
from hpsearch.retelling import retell
from hpsearch.retention import Retention
from hpsearch.study import Study
from hpsearch.tracking.store import resolve
from hpsearch.trial import TrialSpec
from hpsearch.trial_view import TrialView


@dataclass(frozen=True)
class SyncReport:
    """What `sync` found missing, and what became of it."""

    place: str
    """The address, without secrets."""
    missing: tuple[int, ...]
    """Trials of which not everything was there."""
    there: int
    """How many trials were there already."""
    version: str | None
    """Of the registered champion; None if there is no champion yet, or it could not be registered."""
    unsent: tuple[str, ...]
    """What could not be sent, a line each."""


def sync(study: Study, *, uri: str | None = None) -> SyncReport:
    """Sends to MLflow whatever is not there of a study: after an outage, a killed search, a lost database.

    Nothing is run, and nothing is recorded twice.

    Args:
        study: A study that no process searches now.
        uri: Where to. Default: what its experiment says.

    Raises:
        StudyError: A process searches it, which sends everything itself.
        TrackingError: The store cannot be reached or written.
    """
    state, folder = study.state, study.files
    experiment = Experiment.load(study.folder / "experiment.yaml")
    if uri is not None:
        tracking = experiment.tracking.model_copy(update={"uri": uri})
        experiment = experiment.model_copy(update={"tracking": tracking})

    def spec_of(trial: TrialView) -> TrialSpec:
        return trial_spec(folder, experiment.search.seed, trial.number, trial.params, attempt=trial.attempts)

    told = Retention(folder, experiment.checkpoints, study.objectives).told
    with folder.lock(), wiring.tracker(experiment) as tracker:
        tracker.open_study(record_of(experiment, folder, study.facts))
        _, _, missing = retell(
            study.optuna.get_trials(deepcopy=False), study.objectives, spec_of, tracker, told
        )
        for trial in study.trials:
            if not trial.finished:
                tracker.interrupt_trial(trial.number)
        version = champion.register(study, folder, tracker)
        tracker.log_files(folder.report_files())
        tracker.finish_study(interrupted=state != "finished")
        unsent = tuple(tracker.close())
    there = sum(trial.finished for trial in study.trials) - len(missing)
    return SyncReport(resolve(experiment.tracking.uri).shown, missing, there, version, unsent)
