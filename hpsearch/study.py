"""A study on disk: its folder, its lock, its storage, and the view that people and commands read.

<workdir>/<study>/
    study.journal      the Optuna study: append-only, one JSON document a line
    study.lock         held by the driver while it runs; names its process
    experiment.yaml    what was asked for
    code.diff          what of the user's code was not committed, where there is git
    preflight.json     what was found out about the space and the export while the search ran
    champion.json      the trial that was selected, its test metrics and exported files
    champion/          what the test evaluation wrote; the exported files
    trials/0007/       what one trial needs to go on, and what it left
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from hpsearch.errors import ModelError, StudyError, did_you_mean, fault
from hpsearch.one_standard_error import simplest_within_one_error
from hpsearch.ranking import pareto_front, rank
from hpsearch.trial import MODEL_FILE
from hpsearch.trial_view import TrialView, view_trial

if TYPE_CHECKING:
    import pandas as pd
    from optuna.study import Study as OptunaStudy

    from hpsearch.conditions import Condition

STUDY_FACTS = "hpsearch"
"""User attribute of the Optuna study: what a search must find unchanged when it goes on."""


@dataclass(frozen=True)
class StudyFolder:
    """Where a study keeps its files."""

    path: Path

    @property
    def name(self) -> str:
        """The study's name."""
        return self.path.name

    @property
    def journal(self) -> Path:
        """The Optuna study's file."""
        return self.path / "study.journal"

    @property
    def code_diff(self) -> Path:
        """What of the user's code was not committed."""
        return self.path / "code.diff"

    @property
    def preflight(self) -> Path:
        """What its pre-flight found."""
        return self.path / "preflight.json"

    @property
    def champion_file(self) -> Path:
        """What was selected."""
        return self.path / "champion.json"

    @property
    def champion(self) -> Path:
        """Folder of the test evaluation and the exported files."""
        return self.path / "champion"

    @property
    def report(self) -> Path:
        """The page of the report; its pictures are beside it."""
        return self.path / "report" / "report.html"

    def trial(self, number: int) -> Path:
        """Folder of one trial."""
        return self.path / "trials" / f"{number:04d}"

    def model(self, number: int) -> Path:
        """The model of one trial's best epoch."""
        return self.trial(number) / MODEL_FILE

    def create(self) -> None:
        """Makes the folder.

        Raises:
            StudyError: It cannot be written.
        """
        try:
            (self.path / "trials").mkdir(parents=True, exist_ok=True)
            self.champion.mkdir(exist_ok=True)
            probe = self.path / f".write-test-{os.getpid()}"
            probe.write_bytes(b"")
            probe.unlink()
        except OSError as error:
            raise StudyError(
                fault(
                    "workdir",
                    f"cannot write to {self.path}",
                    expected="a folder that can be created and written",
                    received=f"{type(error).__name__}: {error.strerror}",
                    advice="Name another with `--workdir`.",
                )
            ) from None

    @contextmanager
    def lock(self, on_wait: Callable[[str], None] | None = None) -> Iterator[None]:
        """Holds the study for one driver; the kernel gives it back however the driver ends.

        Args:
            on_wait: Called once with the name of the process that holds it, which is then waited for.
                Default: it is an error that another process holds it.

        Raises:
            StudyError: Another process holds it.
        """
        with open(self.path / "study.lock", "a+", encoding="utf-8") as file:
            if not _locks(file):
                file.seek(0)
                holder = file.read().strip() or "another process"
                if on_wait is None:
                    raise StudyError(
                        fault(
                            f"study {self.name}",
                            "is being searched by another process",
                            received=holder,
                            advice="Wait for it (`--wait`), stop it, or give this search another `name`.",
                        )
                    )
                on_wait(holder)
                while not _locks(file):
                    time.sleep(0.5)
            file.truncate(0)
            file.write(f"pid {os.getpid()} on {socket.gethostname()}")
            file.flush()
            yield

    def is_locked(self) -> bool:
        """Whether a driver is at work."""
        try:
            with open(self.path / "study.lock", encoding="utf-8") as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True
        return False


def _locks(file: IO[str]) -> bool:
    """Tries to lock a file, for half a second: who only looks whether it is locked has it for an instant."""
    for attempt in range(10):
        if attempt:
            time.sleep(0.05)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue
        return True
    return False


class Study:
    """A study as it stands on disk, for reading: `hpsearch.open_study("digits_mlp").best[0].params`."""

    def __init__(self, folder: StudyFolder) -> None:
        self._folder = folder

    @property
    def name(self) -> str:
        """The study's name."""
        return self._folder.name

    @property
    def folder(self) -> Path:
        """Where its files are."""
        return self._folder.path

    @property
    def files(self) -> StudyFolder:
        """Which file is where."""
        return self._folder

    @cached_property
    def optuna(self) -> OptunaStudy:
        """The Optuna study, for reading: `optuna.visualization` takes it."""
        import optuna
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend

        storage = JournalStorage(JournalFileBackend(str(self._folder.journal)))
        try:
            return optuna.load_study(study_name=self.name, storage=storage)
        except KeyError:
            what = "has no trials yet: its search is just beginning, or never began"
            raise StudyError(fault(f"study {self.name}", what)) from None

    @cached_property
    def facts(self) -> Mapping[str, Any]:
        """What was recorded when the study began: objectives, experiment, data, versions."""
        facts: Mapping[str, Any] = self.optuna.user_attrs.get(STUDY_FACTS, {"objectives": {}})
        return facts

    @property
    def objectives(self) -> Mapping[str, str]:
        """Direction (`minimize` or `maximize`) by metric; the first leads."""
        objectives: Mapping[str, str] = self.facts["objectives"]
        return objectives

    @property
    def experiment(self) -> str:
        """The experiment as YAML."""
        return (self.folder / "experiment.yaml").read_text(encoding="utf-8")

    @cached_property
    def trials(self) -> tuple[TrialView, ...]:
        """All trials, by number."""
        metrics = tuple(self.objectives)
        return tuple(view_trial(trial, metrics) for trial in self.optuna.get_trials(deepcopy=False))

    def trials_dataframe(self) -> pd.DataFrame:
        """Returns a row for each trial, by its number.

        Columns: `state`, `params.<name>` for each hyperparameter, `metrics.<name>` for each metric of the
        best epoch (of several parts the mean, with `metrics.<name>_std` and `metrics.<name>_se`), `epochs`,
        `best_epoch`, `duration_s`, `started_at`, `attempts`, `feasible`, `failure` (its kind) and `cause`.
        What a trial does not have is missing.
        """
        from hpsearch.trials_dataframe import trials_dataframe

        return trials_dataframe(self.trials)

    @property
    def ranking(self) -> tuple[TrialView, ...]:
        """Complete trials, best first; with several objectives the Pareto front comes first.

        Those that break a constraint come last.
        """
        return rank(self.trials, self.objectives)

    @property
    def infeasible(self) -> tuple[TrialView, ...]:
        """Trials that break a constraint, by number."""
        return tuple(trial for trial in self.trials if trial.broken)

    @property
    def best(self) -> tuple[TrialView, ...]:
        """The best trial; with several objectives those of the Pareto front, by the first one.

        Only of trials that break no constraint.
        """
        ranking = self.ranking
        return ranking[: len(pareto_front(ranking, self.objectives))] if ranking else ()

    def best_at(self, *conditions: str | Condition) -> TrialView:
        """Returns the best trial, by the first objective, of those that meet some conditions.

        Args:
            conditions: On metrics, hyperparameters, `parameters`, `epochs`, ...: `tflite_size_kib<=100`.

        Raises:
            UsageError: One is no condition, or on what no trial has.
            StudyError: No complete and feasible trial meets them.

        Example:
            >>> study.best_at("tflite_size_kib<=100", "optimizer=adam").number
            7
        """
        from hpsearch.conditions import Condition

        asked = tuple(Condition.parse(c) if isinstance(c, str) else c for c in conditions)
        for each in asked:
            each.check(self.trials)
        direction = next(iter(self.objectives.values()))
        met = [t for t in self.ranking if t.feasible and all(each.holds(t) for each in asked)]
        if not met:
            raise StudyError(
                fault(
                    f"study {self.name}",
                    "no trial that is complete and feasible meets the conditions",
                    expected=" and ".join(map(str, asked)) or None,
                    advice="`hpsearch trials` shows what there is.",
                )
            )
        best = max if direction == "maximize" else min
        return best(met, key=lambda trial: trial.values[0])

    @property
    def selected(self) -> TrialView:
        """The trial to test and export: the first of `best`, or what `evaluation.select` says.

        Raises:
            StudyError: No trial is complete.
        """
        ranking = self.ranking
        if not ranking:
            raise StudyError(fault(f"study {self.name}", "no trial is complete, so none can be selected"))
        if self.facts.get("select") == "one_standard_error":
            return simplest_within_one_error(ranking, next(iter(self.objectives)))
        return ranking[0]

    @property
    def champion(self) -> Mapping[str, Any] | None:
        """What was selected, tested and exported, with absolute paths; None before.

        Keys: `trial`, `values` (of the objectives), `test` (metrics), `model`, `samples`, `exports` (a
        dictionary an `ExportResult`), `registered_as`, `version`.
        """
        try:
            record = json.loads(self._folder.champion_file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        exports = [each | {"path": str(self.folder / each["path"])} for each in record["exports"]]
        places = {key: str(self.folder / record[key]) for key in ("model", "samples")}
        champion: Mapping[str, Any] = record | places | {"exports": exports}
        return champion

    def model_file(self, trial: int) -> Path:
        """Returns the `.keras` file of a trial's best epoch.

        Raises:
            StudyError: There is no such trial, or it left no model.
        """
        file = self._folder.model(trial)
        if not file.exists():
            there = [t.number for t in self.ranking if self._folder.model(t.number).exists()]
            raise StudyError(
                fault(
                    f"study {self.name}",
                    f"trial {trial} left no model",
                    expected="one of " + ", ".join(map(str, there[:10])) if there else None,
                    received=trial,
                )
            )
        return file

    def load_model(
        self,
        trial: int | None = None,
        *,
        compile: bool = True,
        custom_objects: Mapping[str, Any] | None = None,
    ) -> Any:
        """Loads a trial's model, with the weights of its best epoch, never running code inside its file.

        The layers, losses and metrics that the experiment's model refers to are known to Keras then.

        Args:
            trial: Its number. Default: the champion.
            compile: Whether to compile it as it was trained. Default: True.
            custom_objects: Classes and functions by name, of a model that was given from Python and did not
                register them. Default: none.

        Returns:
            A `keras.Model`.

        Raises:
            StudyError: The study has no champion yet, or no such trial with a model.
            ModelError: Keras cannot load it.
        """
        from hpsearch.experiment import Experiment
        from hpsearch.models import load_saved, register_custom_objects

        if trial is None:
            if (champion := self.champion) is None:
                what = "has no champion yet: its search has not ended"
                raise StudyError(fault(f"study {self.name}", what, advice="Name a `trial`."))
            trial = int(champion["trial"])
        file = self.model_file(trial)
        with suppress(ModelError):  # a model given from Python is not there later; most need no class of it
            register_custom_objects(Experiment.load(self.folder / "experiment.yaml").model)
        return load_saved(str(file), compile=compile, custom_objects=custom_objects)

    @property
    def state(self) -> str:
        """`running`, `finished` or `interrupted`."""
        if self._folder.is_locked():
            return "running"
        return "finished" if self.has_ended else "interrupted"

    @property
    def has_ended(self) -> bool:
        """Whether every trial has, and the selected one is the champion."""
        champion = self.champion
        if champion is None or not self.ranking or not all(trial.finished for trial in self.trials):
            return False
        return champion["trial"] in {self.selected.number, *(trial.number for trial in self.best[1:])}


def find_study(name: str | None, workdir: Path) -> StudyFolder:
    """Finds a study by name, by its folder, or the one that changed last.

    Raises:
        StudyError: There is none.
    """
    if name is not None and Path(name).is_dir() and (Path(name) / "study.journal").exists():
        return StudyFolder(Path(name).resolve())
    found = {p.parent.name: p for p in sorted(workdir.glob("*/study.journal"))}
    if name is None and found:
        return StudyFolder(max(found.values(), key=lambda p: p.stat().st_mtime).parent.resolve())
    if name is not None and name in found:
        return StudyFolder(found[name].parent.resolve())
    what = "no study has been started here" if name is None else f"there is no study `{name}`"
    advice = did_you_mean(name or "", found) or "Start one with `hpsearch run FILE`, or name its `--workdir`."
    raise StudyError(
        fault(
            f"workdir {workdir}",
            what,
            expected=f"one of {', '.join(found)}" if found else None,
            advice=advice,
        )
    )
