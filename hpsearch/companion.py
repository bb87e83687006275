"""The pre-flight of a search that runs: made beside it, by a process that takes only what no other wants.

A search that is over in seconds needs none, and one that runs for a week should not learn at its end that its
model cannot be exported. So what `hpsearch check` looks at is looked at once it has run for a while; an epoch
need not be timed, for there are those of real trials.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Mapping

from hpsearch import wiring
from hpsearch.checking import CheckReport
from hpsearch.executors import Executor
from hpsearch.experiment import Experiment
from hpsearch.files import write_text
from hpsearch.listener import Listener
from hpsearch.outlook import Pace, Preflight, longest_s, memory_notes
from hpsearch.parts import Part
from hpsearch.rehearsal import POINTS, Look, Steps, look
from hpsearch.study_folder import StudyFolder
from hpsearch.trial import Epoch, Job, Outcome
from hpsearch.trial_view import TrialView

AFTER_S = 30.0
"""How long a search runs without."""
LIMIT_S = 600.0
"""How long the builds may take: on a busy machine such a process gets a fiftieth of a core."""
KEY = 0


class Companion(Listener):
    """Has the pre-flight of a study made beside its search, once for a study, and tells what it found.

    Nothing that goes wrong here reaches the search.

    Args:
        experiment: What is searched.
        folder: The study's; receives `preflight.json`, and `preflight.txt`, the jobs' output.
        report: What the check before the search has shown.
        executor: The search's.
        say: Is given each message.
    """

    def __init__(
        self,
        experiment: Experiment,
        folder: StudyFolder,
        report: CheckReport,
        executor: Executor,
        say: Callable[[str], None],
    ) -> None:
        self._experiment = experiment
        self._folder = folder
        self._report = report
        self._searching = executor
        self._say = say
        self._due_s: float | None = None
        self._pacer = Pacer(len(experiment.evaluation.parts) or 1)
        self._executor: Executor | None = None
        self._steps: Steps | None = None

    def on_start(self, study: str, planned: int | None, done: int) -> None:  # noqa: ARG002
        """Waits from now on, unless the study had its pre-flight."""
        if not self._is_made():
            self._due_s = time.monotonic() + AFTER_S

    def on_epoch(self, number: int, epoch: Epoch) -> None:
        """Learns how long epochs take."""
        self._pacer.add_epoch(number, epoch)

    def on_trial_finished(self, trial: TrialView, best: TrialView | None) -> None:  # noqa: ARG002
        """Learns how long the rest of a trial takes."""
        self._pacer.add_trial(trial)

    def on_trial_paused(self, number: int, epochs: int, values: Mapping[str, float]) -> None:  # noqa: ARG002
        """Learns nothing from the time until the trial goes on."""
        self._pacer.forget(number)

    def on_turn(self) -> None:
        """Begins when it is time; then takes in what the process has done."""
        if self._due_s is None or time.monotonic() < self._due_s:
            return
        try:
            self._go_on()
        except Exception as error:  # a pre-flight is not worth the search
            self.close()
            self._say(f"The pre-flight beside the search ended early: {type(error).__name__}: {error}")

    def close(self) -> None:
        """Ends it, made or not."""
        self._due_s = None
        if self._executor is not None:
            self._executor.close()
            self._executor = None
            shutil.rmtree(self._place.path, ignore_errors=True)

    @property
    def _place(self) -> StudyFolder:
        """Where the jobs write, for as long as it takes."""
        return StudyFolder(self._folder.path / "preflight")

    def _is_made(self) -> bool:
        """Whether the study had one, for all formats that are asked for now."""
        try:
            found = json.loads(self._folder.preflight.read_text(encoding="utf-8"))
            return set(found["exports"]) >= set(self._experiment.export.formats)
        except (OSError, ValueError, KeyError):
            return False

    def _go_on(self) -> None:
        if self._executor is None:
            shutil.rmtree(self._place.path, ignore_errors=True)  # left by a process that was killed
            self._executor = wiring.companion(self._experiment, self._searching)
            data = self._report.probe.data
            self._steps = look(self._experiment, data, self._place, points=POINTS, limit_s=LIMIT_S)
            self._take(None)
        for event in self._executor.wait(0):
            if isinstance(event.body, Outcome):
                self._take(event.body)

    def _take(self, outcome: Outcome | None) -> None:
        """Takes the next step; after the last one everything is told."""
        if self._steps is None or self._executor is None:
            return
        try:
            job: Job = self._steps.send(outcome)
        except StopIteration as end:
            self.close()
            self._tell(end.value)
            return
        self._executor.submit(KEY, job, log=str(self._folder.path / "preflight.txt"))

    def _tell(self, seen: Look) -> None:
        experiment, slots, pace = self._experiment, self._searching.slots, self._pacer.pace
        search_s = None if pace is None else longest_s(experiment, self._report, pace, slots)
        memory: tuple[str, ...] = ()
        if experiment.resources.executor != "ray":  # else the trials are elsewhere
            memory = memory_notes(seen.builds, slots, experiment.resources.trials_per_gpu, in_use=True)
        notes = (*seen.notes, *memory)
        found = Preflight(self._report, seen.builds, pace, seen.exports, slots, search_s, notes)
        document = {"summary": found.summary} | found.document
        write_text(self._folder.preflight, json.dumps(document, indent=2) + "\n")
        for text in (*found.warnings, f"Pre-flight: {found.summary}."):
            self._say(text)


class Pacer:
    """Times trainings by what is heard of them.

    Args:
        trainings: Of each trial.
    """

    def __init__(self, trainings: int) -> None:
        self._trainings = trainings
        self._last: dict[tuple[int, Part | None], Epoch] = {}
        self._epochs, self._epochs_s = 0, 0.0
        self._trials, self._trials_epochs, self._trials_s = 0, 0, 0.0

    def add_epoch(self, number: int, epoch: Epoch) -> None:
        """Takes in an epoch of a trial; of several parts, the epochs of each."""
        if self._trainings > 1 and epoch.part is None:  # a mean
            return
        key = number, epoch.part
        before = self._last.get(key)
        if before is not None and epoch.number == before.number + 1:
            self._epochs += 1
            self._epochs_s += epoch.ended_at_s - before.ended_at_s
        self._last[key] = epoch

    def add_trial(self, trial: TrialView) -> None:
        """Takes in a trial that has ended."""
        self.forget(trial.number)
        if trial.epochs and trial.duration_s:
            self._trials += 1
            self._trials_epochs += trial.epochs
            self._trials_s += trial.duration_s

    def forget(self, number: int) -> None:
        """No epoch of a trial follows on the last one."""
        self._last = {key: epoch for key, epoch in self._last.items() if key[0] != number}

    @property
    def pace(self) -> Pace | None:
        """How long an epoch takes, and the rest of a training; None if nothing has ended yet."""
        if self._epochs:
            epoch_s = self._epochs_s / self._epochs
        elif self._trials:  # all of one epoch
            epoch_s = self._trials_s / self._trials_epochs
        else:
            return None
        around_s = self._trials_s - self._trials_epochs * epoch_s
        return Pace(epoch_s, max(0.0, around_s) / max(1, self._trials * self._trainings))
