"""An experiment becomes a study with its sampler, an executor, a tracker and the function to run.

The one place that wires; the command line and Python use the same functions.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpsearch import champion, datasets, executors, models, strategies
from hpsearch.driver import End, Plan, Search
from hpsearch.errors import ExportError, HpsearchError, SearchError, StudyError, UsageError, fault
from hpsearch.executors import Executor
from hpsearch.experiment import Experiment
from hpsearch.files import write_text
from hpsearch.jobs import perform, warm_up
from hpsearch.listener import Listener
from hpsearch.objective import Objective, resolve
from hpsearch.space import Space, check_overrides
from hpsearch.strategies import Context, Strategy
from hpsearch.study import STUDY_FACTS, Study, StudyFolder, find_study, open_storage
from hpsearch.tracking import StudyRecord, Tracker
from hpsearch.trial import Export, ExportResult, Failure, Probe, ProbeResult

if TYPE_CHECKING:
    from optuna.study import Study as OptunaStudy


@dataclass(frozen=True)
class CheckReport:
    """What validating an experiment and building its model once have shown."""

    probe: ProbeResult
    space: Space
    """What is searched: what the model declares, with the experiment's overrides."""
    objectives: tuple[Objective, ...]
    strategy: Strategy
    warnings: tuple[str, ...]


def search(experiment: Experiment, *, listener: Listener | None = None) -> Study:
    """Searches: runs the trials that are still to run, then selects, tests, exports and registers the best.

    The same experiment, searched again, continues its study; with nothing left to do it only looks.

    Args:
        experiment: What to search.
        listener: Sees the search as it goes. Default: nothing is shown.

    Returns:
        The study as it stands afterwards. Its `state` is `interrupted` after a Ctrl-C.

    Raises:
        UsageError: Something in the experiment is wrong; no trial was run.
        SearchError: Too many trials failed in a row, or none gave a model.
        ExportError: The best model's exported file disagrees with Keras.
    """
    listener = listener or Listener()
    folder = StudyFolder(Path(experiment.workdir).absolute() / experiment.name)
    with _named(experiment):
        _check_names(experiment)
        folder.create()
    if _is_done(experiment, folder):
        return Study(folder)
    with folder.lock(), _workers(experiment) as executor, _tracker(experiment) as tracker:
        report = _check(experiment, executor, folder.path / "probe.txt")
        study = _open(experiment, folder, report)
        with _named(experiment):
            tracker.open_study(_record(experiment, folder, report, study))
        write_text(folder.path / "experiment.yaml", experiment.to_yaml())
        for warning in report.warnings:
            listener.on_message(warning)
        end = None
        try:
            plan = _plan(experiment, folder, report)
            end = Search(plan, study, executor, tracker, listener, report.strategy.exhausted).run()
            if end is End.EXHAUSTED:
                listener.on_message("Every combination of the space has been tried.")
            if end is not End.INTERRUPTED:
                _crown(experiment, folder, report, executor, tracker, listener)
        finally:
            tracker.finish_study(interrupted=end in (None, End.INTERRUPTED))
            for line in tracker.close():
                listener.on_message(f"Not sent to the tracking server yet: {line}")
    return Study(folder)


def check(experiment: Experiment) -> CheckReport:
    """Validates an experiment and builds its model once, without training.

    Raises:
        UsageError: Something in the experiment is wrong.
    """
    with _named(experiment):
        _check_names(experiment)
    with tempfile.TemporaryDirectory() as folder, _workers(experiment, slots=1) as executor:
        return _check(experiment, executor, Path(folder) / "probe.txt")


def export_model(
    study: Study, *, trial: int | None = None, fmt: str = "float32", output: str | Path | None = None
) -> ExportResult:
    """Exports a trial's model, run in the interpreter and compared with Keras on real samples.

    Args:
        study: A study whose search has ended, so that test samples exist.
        trial: Its number. Default: the champion.
        fmt: `float32`.
        output: The file to write. Default: in the study's folder.

    Raises:
        StudyError: The study has no champion yet, or no such trial with a model.
        ExportError: The file is not right; none was written.
    """
    record = study.champion
    if record is None:
        what = "nothing to export yet: the search has not ended"
        raise StudyError(fault(f"study {study.name}", what, advice="Run it to its end: `hpsearch run`."))
    number = record["trial"] if trial is None else trial
    folder = StudyFolder(study.folder)
    model = folder.trial(number) / "model.keras"
    if not model.exists():
        raise StudyError(
            fault(
                f"study {study.name}",
                f"trial {number} left no model",
                expected="one of " + ", ".join(str(t.number) for t in study.ranking[:10]),
                received=number,
            )
        )
    default = folder.champion / f"{study.name}-{number:04d}-{fmt}.tflite"
    experiment = Experiment.load(study.folder / "experiment.yaml")
    job = Export(
        model=str(model),
        samples=record["samples"],
        target=str(Path(output).absolute() if output else default),
        format=fmt,
        tolerance=experiment.export.tolerance,
        task=study.facts["data"]["task"],
        class_names=tuple(study.facts["data"]["class_names"]),
    )
    with _workers(experiment, slots=1, gpus_per_trial=1, trials_per_gpu=1) as executor:  # on any machine
        outcome = champion.run_job(executor, job, log=folder.champion / "export.txt")
    if isinstance(outcome, ExportResult):
        return outcome
    cause = outcome.cause if isinstance(outcome, Failure) else type(outcome).__name__
    what = f"trial {number} could not be exported as {fmt}, so no file was written"
    raise ExportError(fault(f"study {study.name}", what, received=cause))


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
        and experiment.search.trials is not None
        and len(study.trials) >= experiment.search.trials
        and champion["version"] is not None
        and exported >= set(experiment.export.formats)
        and asked == json.loads(json.dumps(experiment.identity()))
    )


@contextmanager
def _workers(experiment: Experiment, **changes: int) -> Iterator[Executor]:
    """Starts the workers that `resources`, with some changes, describe."""
    resources = experiment.resources.model_copy(update=changes)
    with _named(experiment):
        executor = executors.create(resources, warm_up=warm_up)
    with closing(executor):
        executor.start(partial(perform, experiment))
        yield executor


@contextmanager
def _tracker(experiment: Experiment) -> Iterator[Tracker]:
    from hpsearch.tracking.mlflow import MlflowTracker

    with _named(experiment):
        tracker = MlflowTracker(experiment.tracking.uri, experiment.tracking.experiment or experiment.name)
    with closing(tracker):
        yield tracker


@contextmanager
def _named(experiment: Experiment) -> Iterator[None]:
    """Puts the experiment's file in front of what is wrong with it."""
    try:
        yield
    except UsageError as error:
        raise type(error)(f"{experiment.where}: {error}") from None


def _check_names(experiment: Experiment) -> None:
    """Finds a misspelt model or data set before a worker is started."""
    models.check_name(experiment.model)
    datasets.check_name(experiment.data)


def _check(experiment: Experiment, executor: Executor, log: Path) -> CheckReport:
    probe = champion.run_job(executor, Probe(folder=str(log.parent)), log=log)
    if isinstance(probe, Failure):
        raise _error(experiment, probe)
    if not isinstance(probe, ProbeResult):
        raise TypeError(f"a probe returned {type(probe).__name__}")
    overrides = {
        name: override
        for name, override in experiment.search.space.items()
        if name in probe.space.names or not probe.any_metric  # else it may be declared in the user's `fit`
    }
    space = check_overrides(probe.space, overrides, f"{experiment.where}: search.space")
    objectives = tuple(
        resolve(section, probe.metrics, any_metric=probe.any_metric, where=f"{experiment.where}: objective")
        for section in experiment.objective
    )
    context = Context(
        space=space,
        directions=tuple(objective.direction for objective in objectives),
        seed=experiment.search.seed,
        epochs=_most_epochs(experiment, space),
        where=f"{experiment.where}: search.strategy",
    )
    strategy = strategies.create(experiment.search.strategy, context)
    warnings = (*(o.warning for o in objectives if o.warning), *strategy.warnings)
    return CheckReport(probe, space, objectives, strategy, warnings)


def _most_epochs(experiment: Experiment, space: Space) -> int:
    searched = [p.values or (p.high or p.default,) for p in space.parameters if p.name == "epochs"]
    return max((int(value) for values in searched for value in values), default=experiment.training.epochs)


def _error(experiment: Experiment, failure: Failure) -> HpsearchError:
    if failure.usage:
        prefix = "" if failure.cause.startswith(experiment.where) else f"{experiment.where}: "
        return UsageError(prefix + failure.cause)
    return SearchError(fault(experiment.where, f"{failure.kind}: {failure.cause}", advice=failure.detail))


def _open(experiment: Experiment, folder: StudyFolder, report: CheckReport) -> OptunaStudy:
    """Creates the study, or takes it up if what it searches has not changed."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        storage=open_storage(folder),
        study_name=folder.name,
        directions=[objective.direction for objective in report.objectives],
        sampler=report.strategy.sampler,
        pruner=report.strategy.pruner,
        load_if_exists=True,
    )
    data = report.probe.data
    asked = experiment.identity() | {"data.digest": data.digest}
    facts = study.user_attrs.get(STUDY_FACTS)
    if facts is None:
        facts = {
            "id": uuid.uuid4().hex,
            "asked": asked,
            "objectives": {objective.metric: objective.direction for objective in report.objectives},
            "data": asdict(data),
            "versions": dict(report.probe.versions),
            "space": report.space.to_json(),
        }
        study.set_user_attr(STUDY_FACTS, json.loads(json.dumps(facts)))
    else:
        _compare(folder, facts["asked"], json.loads(json.dumps(asked)), experiment.where)
    return study


def _compare(folder: StudyFolder, before: Mapping[str, Any], now: Mapping[str, Any], where: str) -> None:
    changed = [key for key in sorted({*before, *now}) if before.get(key) != now.get(key)]
    if changed:
        key = changed[0]
        others = f" (and {', '.join(changed[1:4])})" if changed[1:] else ""
        raise StudyError(
            fault(
                f"{where}: {key}",
                f"has changed since the study {folder.name} began{others}, so its trials cannot be compared",
                expected=repr(before.get(key)),
                received=repr(now.get(key)),
                advice=f"Change it back, give the search another `name`, or delete {folder.path}.",
            )
        )


def _record(
    experiment: Experiment, folder: StudyFolder, report: CheckReport, study: OptunaStudy
) -> StudyRecord:
    return StudyRecord(
        name=experiment.name,
        id=study.user_attrs[STUDY_FACTS]["id"],
        folder=str(folder.path),
        experiment=experiment.to_yaml(),
        strategy=report.strategy.summary,
        objectives={objective.metric: objective.direction for objective in report.objectives},
        settings=experiment.settings(),
        data=report.probe.data,
        versions=report.probe.versions,
        git_commit=_git_commit(),
        space=report.space.to_json(),
    )


def _git_commit() -> str | None:
    """Returns the commit of the working folder, with `-dirty` for uncommitted changes; None outside git."""
    command = ["git", "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None


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
        trial_timeout_s=experiment.resources.trial_timeout_s,
        prunes=report.strategy.prunes,
        one_build_at_a_time=report.space.size() is not None,
    )


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
        what = "no trial was completed, so there is no best model"
        raise SearchError(fault(f"study {folder.name}", what, advice="`hpsearch trials` shows why."))
    listener.on_message("Testing, exporting and registering the best model ...")
    champion.crown(experiment, study, folder, report.probe.data, executor, tracker)
