"""An experiment becomes a study with its sampler, an executor, a tracker and the function to run.

The command line and Python use the same functions; `wiring.py` makes the parts.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from hpsearch import champion, wiring
from hpsearch.analysis.updates import ReportUpdates
from hpsearch.checking import CheckReport, check_on
from hpsearch.companion import Companion
from hpsearch.disk import is_full
from hpsearch.driver import Search
from hpsearch.errors import ExportError, SearchError, fault
from hpsearch.executors import Executor
from hpsearch.experiment import Experiment
from hpsearch.exporting import export_jobs, exported_trial, refusal
from hpsearch.files import write_text
from hpsearch.listener import Listener, Together
from hpsearch.opening import open_optuna, record_of
from hpsearch.plan import End, Plan
from hpsearch.policies import policies
from hpsearch.retention import Retention
from hpsearch.study import STUDY_FACTS, Study
from hpsearch.study_folder import StudyFolder, find_study
from hpsearch.tracking import Tracker
from hpsearch.trial import ExportResult, Failure, FailureKind

if TYPE_CHECKING:
    from optuna.study import Study as OptunaStudy


def search(experiment: Experiment, *, listener: Listener | None = None, wait: bool = False) -> Study:
    """Searches: runs the trials that are still to run, then selects, tests, exports and registers the best.

    The same experiment, searched again, continues its study; with nothing left to do it only looks.

    Args:
        experiment: What to search.
        listener: Sees the search as it goes. Default: nothing is shown.
        wait: Whether to wait for a process that searches the same study now. Default: it is an error.

    Returns:
        The study as it stands afterwards. Its `state` is `interrupted` after a Ctrl-C.

    Raises:
        UsageError: Something in the experiment is wrong; no trial was run.
        SearchError: Too many trials failed in a row, or none gave a model.
        ExportError: The best model's exported file disagrees with Keras.
    """
    listener = listener or Listener()
    folder = StudyFolder(Path(experiment.workdir).absolute() / experiment.name)
    with wiring.named(experiment):
        wiring.check_names(experiment)
        folder.create()

    def on_wait(holder: str) -> None:
        listener.on_message(f"{holder} is searching the study {folder.name}; waiting for it to end.")

    if wait and folder.is_locked():
        with folder.lock(on_wait):
            pass
    if _is_done(experiment, folder):
        return Study(folder)
    try:
        with folder.lock(on_wait if wait else None):
            _search(experiment, folder, listener)
    except OSError as error:
        if not is_full(error):
            raise
        what = "there is no room left on the disk"
        advice = "Make room and run the same command again: it continues."
        raise SearchError(fault(f"study {folder.name}", what, received=str(error), advice=advice)) from error
    return Study(folder)


def _search(experiment: Experiment, folder: StudyFolder, listener: Listener) -> None:
    with wiring.workers(experiment) as executor, wiring.tracker(experiment) as tracker:
        report = check_on(executor, experiment, folder.path / "probe.txt")
        study = open_optuna(experiment, folder, report, listener)
        with wiring.named(experiment):
            tracker.open_study(record_of(experiment, folder, study.user_attrs[STUDY_FACTS]))
        write_text(folder.path / "experiment.yaml", experiment.to_yaml())
        if experiment.search.strategy.name == "auto":
            listener.on_message(f"Strategy: {report.strategy.summary}.")
        for warning in report.warnings:
            listener.on_message(warning)
        end = None
        updates = ReportUpdates(folder, tracker) if experiment.tracking.report else None
        companion = Companion(experiment, folder, report, executor, listener.on_message)
        watching = Together(listener, companion, *([updates] if updates else []))
        try:
            plan = _plan(experiment, folder, report)
            exhausted, schedule = report.strategy.exhausted, report.strategy.schedule
            settled = _settled(experiment, report)
            with closing(companion):
                driver = Search(
                    plan, study, executor, tracker, watching, exhausted, schedule, settled=settled
                )
                end = driver.run()
            if end is End.EXHAUSTED:
                listener.on_message("Every combination of the space has been tried.")
            if end in (End.PATIENCE, End.IMPROVEMENT):
                listener.on_message(_gave_up(end, study, experiment, report))
            if end is not End.INTERRUPTED:
                _crown(experiment, folder, report, executor, tracker, listener)
                if updates:
                    _report(updates, folder, listener)
        finally:
            if updates:
                updates.stop()
            tracker.finish_study(interrupted=end in (None, End.INTERRUPTED))
            if unsent := tracker.close():
                what = ", ".join(unsent[:3]) + (f" and {len(unsent) - 3} more" if unsent[3:] else "")
                listener.on_message(f"Not sent to MLflow: {what}. `hpsearch sync` sends it later.")


def export_model(
    study: Study,
    *,
    trial: int | None = None,
    fmt: str = "float32",
    output: str | Path | None = None,
    integer_io: bool | None = None,
) -> ExportResult:
    """Exports a trial's model to a file that was loaded, run and compared with Keras on real samples.

    Args:
        study: A study whose search has ended, so that test samples exist.
        trial: Its number. Default: the champion.
        fmt: As in `export.formats`: `float32`, `int8` (LiteRT), `keras`, ...
        output: The file to write. Default: in the study's folder.
        integer_io: As in `export.integer_io`. Default: what the experiment says.

    Raises:
        StudyError: The study has no champion yet, or no such trial with a model.
        UsageError: There is no such format, or the file has another ending.
        ExportError: The file is not right; none was written.
    """
    outcome = export_models(study, {fmt: output}, trial=trial, integer_io=integer_io)[fmt]
    if isinstance(outcome, ExportResult):
        return outcome
    raise ExportError(refusal(study.name, exported_trial(study, trial), {fmt: outcome}))


def export_models(
    study: Study,
    outputs: Mapping[str, str | Path | None],
    *,
    trial: int | None = None,
    integer_io: bool | None = None,
) -> dict[str, ExportResult | Failure]:
    """Exports a trial's model to several formats; see `export_model`.

    Args:
        study: A study whose search has ended.
        outputs: The file to write, by format; None: in the study's folder.
        trial: Its number. Default: the champion.
        integer_io: As in `export.integer_io`. Default: what the experiment says.

    Returns:
        What came of each.
    """
    experiment = Experiment.load(study.folder / "experiment.yaml")
    if integer_io is not None:
        section = experiment.export.model_copy(update={"integer_io": integer_io})
        experiment = experiment.model_copy(update={"export": section})
    jobs = export_jobs(study, experiment, outputs, trial=trial)
    training = experiment.training.model_copy(update={"backend": "tensorflow"})  # which exports
    experiment = experiment.model_copy(update={"training": training})
    outcomes: dict[str, ExportResult | Failure] = {}
    # On any machine, whatever the search ran on.
    with wiring.workers(experiment, slots=1, gpus_per_trial=1, trials_per_gpu=1) as executor:
        for job in jobs:
            outcome = champion.run_job(executor, job, log=study.files.champion / "export.txt")
            if not isinstance(outcome, ExportResult | Failure):
                outcome = Failure(FailureKind.ERROR, type(outcome).__name__)
            outcomes[job.format] = outcome
    return outcomes


def open_study(name: str | None = None, workdir: str | Path = "runs") -> Study:
    """Opens a study for reading.

    Args:
        name: Its name, or its folder. Default: the study that changed last.
        workdir: Where studies are kept.

    Raises:
        StudyError: There is none.
    """
    return Study(find_study(name, Path(workdir)))


def _is_done(experiment: Experiment, folder: StudyFolder) -> bool:
    """Whether the study holds all that the experiment asks for, so that no worker need be started."""
    if not folder.champion_file.exists() or folder.is_locked():
        return False
    study = Study(folder)
    champion = study.champion or {}
    exported = {each["format"] for each in champion["exports"] if Path(each["path"]).exists()}
    asked = {key: value for key, value in study.facts["asked"].items() if key != "data.digest"}
    return (
        study.state == "finished"
        and study.facts.get("select", "best") == experiment.evaluation.select
        and experiment.search.trials is not None
        and len(study.trials) >= experiment.search.trials
        and champion.get("version") is not None
        and exported >= set(experiment.export.formats)
        and asked == json.loads(json.dumps(experiment.identity()))
    )


def _plan(experiment: Experiment, folder: StudyFolder, report: CheckReport) -> Plan:
    budget = experiment.search
    return Plan(
        folder=folder,
        where=experiment.where,
        objectives=report.objectives,
        overrides=budget.space,
        seed=budget.seed,
        trials=budget.trials,
        timeout_s=budget.timeout_s,
        max_failures_in_a_row=budget.max_failures_in_a_row,
        on_failure=policies(budget.on_failure),
        trial_timeout_s=experiment.resources.trial_timeout_s,
        silence_timeout_s=experiment.resources.silence_timeout_s,
        checkpoints=experiment.checkpoints,
        champion=(Study(folder).champion or {}).get("trial"),
        prunes=report.strategy.prunes,
        one_build_at_a_time=report.space.size() is not None,
        total_epochs=budget.total_epochs,
        total_compute_s=budget.total_compute_s,
        patience=budget.patience,
    )


def _settled(experiment: Experiment, report: CheckReport) -> Callable[[OptunaStudy], bool]:
    """Returns what says whether too little improvement is expected for a further trial."""
    least = experiment.search.min_improvement
    if least is None:
        return lambda _: False
    from hpsearch.strategies.expectation import Expectation

    expectation = Expectation(report.space, report.epochs)
    return lambda study: expectation.is_settled(study, least)


def _gave_up(end: End, study: OptunaStudy, experiment: Experiment, report: CheckReport) -> str:
    from hpsearch.strategies.expectation import Expectation

    limits = experiment.search
    gain = Expectation(report.space, report.epochs).improvement(study)
    expected = (
        f"The most promising point is expected to better `{report.objectives[0].metric}` by {gain or 0:.2g}"
    )
    if end is End.IMPROVEMENT:
        return f"{expected}, less than `min_improvement` {limits.min_improvement:g}, so no more begin."
    text = f"None of the last {limits.patience} trials was better than the best, so no more begin."
    return text if gain is None else f"{text} {expected}."


def _crown(
    experiment: Experiment,
    folder: StudyFolder,
    report: CheckReport,
    executor: Executor,
    tracker: Tracker,
    listener: Listener,
) -> None:
    study = Study(folder)
    if not study.best:
        what = "no trial was completed" + (" that meets the constraints" if study.infeasible else "")
        advice = "`hpsearch trials` shows why."
        raise SearchError(fault(f"study {folder.name}", f"{what}, so there is no best model", advice=advice))
    listener.on_message("Testing, exporting and registering the best model ...")
    champion.crown(experiment, study, folder, report.probe.data, executor, tracker)
    number = study.selected.number
    Retention(folder, experiment.checkpoints, study.objectives, number).add(*study.trials)


def _report(updates: ReportUpdates, folder: StudyFolder, listener: Listener) -> None:
    listener.on_message("Writing the report ...")
    if updates.finish() is None:
        advice = f"`hpsearch report {folder.path}` says why."
        listener.on_message(f"The report could not be written. {advice}")
