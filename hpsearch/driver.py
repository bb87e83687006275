"""The driver: ask, submit, answer, prune, tell. It alone writes to the study and speaks to the tracker.

One trial's way through here: `_ask` opens it in the study and submits its spec; while the worker builds
the model `_on_suggest` chooses each hyperparameter the moment it is declared; `_on_report` passes every
epoch to the study, the pruner and the tracker; `_finish` tells the study how it ended.

A search that resumes is the same loop over a study that already holds trials: those still RUNNING are
submitted again with the values they had, and since strategies keep no state of their own, what is asked
for next is what would have been asked for without the interruption.
"""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import StrEnum
from types import FrameType
from typing import TYPE_CHECKING, Any

from hpsearch.errors import SearchError, SpaceError, fault
from hpsearch.executors import Built, Event, Executor, Report, Started, Suggest
from hpsearch.listener import Listener
from hpsearch.objective import Objective
from hpsearch.space import Override, Parameter, SpaceExhausted, suggest, trial_values
from hpsearch.study import (
    TRIAL_OUTCOME,
    StudyFolder,
    TrialView,
    pareto_front,
    read_outcome,
    record_outcome,
    view_trial,
)
from hpsearch.tracking import Tracker
from hpsearch.trial import Epoch, Failure, FailureKind, Outcome, Result, TrialSpec, TrialState, Value

if TYPE_CHECKING:
    import optuna

POLL_S = 0.25
"""How long the driver waits at most before it looks at Ctrl-C and the clock."""


class End(StrEnum):
    """Why a search stopped."""

    TRIALS = "trials"
    TIME = "time"
    EXHAUSTED = "exhausted"
    INTERRUPTED = "interrupted"


@dataclass(frozen=True)
class Plan:
    """What the driver must know of the experiment."""

    folder: StudyFolder
    where: str
    """The experiment's file, for messages."""
    objectives: tuple[Objective, ...]
    overrides: Mapping[str, Override]
    seed: int
    trials: int | None
    timeout_s: float | None
    max_failures_in_a_row: int
    trial_timeout_s: float | None
    prunes: bool
    """Whether the strategy has a pruner, so that a worker waits for an answer after each epoch."""
    one_build_at_a_time: bool
    """Whether a trial must have chosen all its values before the next is proposed (finite spaces)."""


@dataclass
class _Running:
    trial: optuna.Trial
    spec: TrialSpec
    started_at_s: float
    reported: int
    """The last epoch in the study; a trial that is run again reports the same epochs again."""
    built: bool = False
    verdict: Failure | None = None
    """Why the driver cancelled it, if it did."""


class Search:
    """Runs the trials of one study until a budget is spent, the space is exhausted or a person stops it."""

    def __init__(
        self,
        plan: Plan,
        study: optuna.Study,
        executor: Executor,
        tracker: Tracker,
        listener: Listener,
        exhausted: Callable[[optuna.Study], bool] = lambda _: False,
    ) -> None:
        self._plan = plan
        self._study = study
        self._executor = executor
        self._tracker = tracker
        self._listener = listener
        self._exhausted = exhausted
        self._metrics = tuple(objective.metric for objective in plan.objectives)
        self._directions = {o.metric: o.direction for o in plan.objectives}
        self._running: dict[int, _Running] = {}
        self._interrupted: list[optuna.trial.FrozenTrial] = []
        self._counts = dict.fromkeys(TrialState, 0)
        self._front: tuple[TrialView, ...] = ()
        self._failures_in_a_row = 0
        self._stop = threading.Event()

    def run(self) -> End:
        """Runs the search.

        Returns:
            Why it stopped.

        Raises:
            SearchError: Too many trials failed in a row.
        """
        self._recall()
        self._listener.on_start(self._study.study_name, self._plan.trials, self._finished)
        with _interrupts(self._stop):
            try:
                while (end := self._fill()) is None or self._running:
                    if self._stop.is_set():
                        return End.INTERRUPTED
                    for event in self._executor.wait(POLL_S):
                        self._handle(event)
                return end
            finally:
                self._abandon()

    @property
    def _finished(self) -> int:
        return sum(n for state, n in self._counts.items() if state is not TrialState.RUNNING)

    def _recall(self) -> None:
        """Takes up what an earlier run of this search left."""
        for frozen in self._study.get_trials(deepcopy=False):
            outcome = read_outcome(frozen)
            if not frozen.state.is_finished():
                self._interrupted.append(frozen)
            elif outcome is not None:
                trial = view_trial(frozen, self._metrics)
                self._note(trial)
                # The record of the last trials may not have left the earlier driver; sending is idempotent.
                self._tracker.finish_trial(self._spec(frozen.number, trial.params), trial.state, outcome)

    def _fill(self) -> End | None:
        """Fills the free slots; returns why no more trials will be asked for, or None."""
        while len(self._running) < self._executor.slots:
            if self._plan.one_build_at_a_time and any(not r.built for r in self._running.values()):
                return None
            if self._interrupted:
                frozen = self._interrupted.pop(0)
                self._submit(_attach(self._study, frozen), max(frozen.intermediate_values, default=0))
                continue
            if (end := self._end()) is not None:
                return end
            self._submit(self._study.ask())
        return None

    def _end(self) -> End | None:
        plan = self._plan
        if plan.trials is not None and self._finished + len(self._running) >= plan.trials:
            return End.TRIALS
        if plan.timeout_s is not None and self._searched_s() >= plan.timeout_s:
            return End.TIME
        if self._exhausted(self._study):
            return End.EXHAUSTED
        return None

    def _searched_s(self) -> float:
        """Returns the wall time during which trials ran, over all runs of this search."""
        spans = [(running.started_at_s, time.time()) for running in self._running.values()]
        for frozen in self._study.get_trials(deepcopy=False):
            if frozen.datetime_complete is not None:
                end_s = frozen.datetime_complete.timestamp()
                spans.append((end_s - frozen.user_attrs.get(TRIAL_OUTCOME, {}).get("wall_s", 0.0), end_s))
        total_s, until_s = 0.0, -math.inf
        for start_s, end_s in sorted(spans):
            total_s += max(0.0, end_s - max(start_s, until_s))
            until_s = max(until_s, end_s)
        return total_s

    def _spec(self, number: int, params: Mapping[str, Value]) -> TrialSpec:
        return TrialSpec(
            number=number,
            params=dict(params),
            seed=trial_seed(self._plan.seed, number),
            folder=str(self._plan.folder.trial(number)),
            prunable=self._plan.prunes,
        )

    def _submit(self, trial: optuna.Trial, reported: int = 0) -> None:
        spec = self._spec(trial.number, trial_values(trial))
        folder = self._plan.folder.trial(trial.number)
        folder.mkdir(parents=True, exist_ok=True)
        self._running[trial.number] = _Running(trial, spec, time.time(), reported)
        log = str(folder / "log.txt")
        self._executor.submit(trial.number, spec, log=log, timeout_s=self._plan.trial_timeout_s)

    def _handle(self, event: Event) -> None:
        running = self._running.get(event.key)
        if running is None:
            return
        match event.body:
            case Started():
                pass
            case Suggest(parameter):
                self._on_suggest(running, parameter)
            case Built(params):
                running.built = True
                running.spec = replace(running.spec, params=dict(params))
                self._tracker.start_trial(running.spec)
                self._listener.on_trial_started(event.key, params)
            case Report(epoch, awaits_answer):
                self._on_report(running, epoch, awaits_answer)
            case outcome:
                self._finish(running, running.verdict or outcome)

    def _on_suggest(self, running: _Running, parameter: Parameter) -> None:
        number = running.spec.number
        override = self._plan.overrides.get(parameter.name)
        try:
            if override is not None:
                parameter = override.apply(parameter, f"{self._plan.where}: search.space.{parameter.name}")
            value = suggest(running.trial, parameter)
        except (SpaceError, SpaceExhausted, ValueError) as error:
            of_user = isinstance(error, SpaceError)
            kind = FailureKind.BUILD if of_user else FailureKind.ERROR
            running.verdict = Failure(kind, str(error), usage=of_user)
            self._executor.cancel(number)
            return
        self._executor.answer(number, value)

    def _on_report(self, running: _Running, epoch: Epoch, awaits_answer: bool) -> None:
        number = running.spec.number
        value = epoch.metrics.get(self._metrics[0], math.nan)
        single = len(self._metrics) == 1
        if single and math.isfinite(value) and epoch.number > running.reported:
            running.trial.report(value, epoch.number)
            running.reported = epoch.number
        if awaits_answer:
            # Earlier epochs of a trial that is run again were answered before: it went on.
            is_last = epoch.number >= running.reported
            self._executor.answer(number, not (single and is_last and running.trial.should_prune()))
        self._tracker.log_epoch(number, epoch)
        self._listener.on_epoch(number, epoch)

    def _finish(self, running: _Running, outcome: Outcome) -> None:
        from optuna.trial import TrialState as OptunaState

        number = running.spec.number
        del self._running[number]
        if not running.built:
            self._tracker.start_trial(running.spec)
        outcome = self._judge(outcome)
        record = record_outcome(outcome, running.spec.params, wall_s=time.time() - running.started_at_s)
        running.trial.set_user_attr(TRIAL_OUTCOME, record)
        if isinstance(outcome, Failure):
            state = TrialState.FAILED
            self._study.tell(running.trial, state=OptunaState.FAIL)
        elif outcome.pruned:
            state = TrialState.PRUNED
            self._study.tell(running.trial, state=OptunaState.PRUNED)
        else:
            state = TrialState.COMPLETE
            self._study.tell(running.trial, [outcome.metrics[metric] for metric in self._metrics])
        spec = replace(
            running.spec, params=running.spec.params if isinstance(outcome, Failure) else outcome.params
        )
        self._tracker.finish_trial(spec, state, outcome)
        trial = view_trial(self._study.get_trials(deepcopy=False)[number], self._metrics)
        self._note(trial)
        best = self._front[0] if self._front else None
        if best is not None:
            self._tracker.log_best(
                best.number, dict(zip(self._metrics, best.values, strict=True)), self._states()
            )
        self._listener.on_trial_finished(trial, best)
        self._count_failure(trial)

    def _judge(self, outcome: Outcome) -> Result | Failure:
        """Makes sure that no value a sampler would choke on reaches the study."""
        if isinstance(outcome, Failure):
            return outcome
        if not isinstance(outcome, Result):
            return Failure(FailureKind.ERROR, f"the worker returned {type(outcome).__name__} for a trial")
        for metric in self._metrics:
            value = outcome.metrics.get(metric)
            if value is None:
                return Failure(FailureKind.ERROR, f"the trial reported no `{metric}`")
            if not math.isfinite(value):
                return Failure(FailureKind.NAN, f"the objective `{metric}` is {value}")
        return outcome

    def _note(self, trial: TrialView) -> None:
        self._counts[trial.state] += 1
        if trial.state is TrialState.COMPLETE:
            front = pareto_front((*self._front, trial), self._directions)
            self._front = tuple(sorted(front, key=lambda t: t.number)) if len(self._metrics) > 1 else front

    def _states(self) -> Mapping[str, int]:
        return {str(state): n for state, n in self._counts.items()}

    def _count_failure(self, trial: TrialView) -> None:
        if trial.state is not TrialState.FAILED or trial.failure is None:
            self._failures_in_a_row = 0
            return
        self._failures_in_a_row += 1
        if self._failures_in_a_row >= self._plan.max_failures_in_a_row:
            raise SearchError(
                fault(
                    f"study {self._study.study_name}",
                    f"the last {self._failures_in_a_row} trials failed, so the search was stopped",
                    received=f"{trial.failure.kind}: {trial.failure.cause}",
                    advice=f"The last one's log: {self._plan.folder.trial(trial.number) / 'log.txt'}. "
                    "Mend the cause and run the same command again.",
                )
            )

    def _abandon(self) -> None:
        """Leaves the running trials for the next run of this search: in the study they stay RUNNING."""
        for number, running in self._running.items():
            self._executor.cancel(number)
            if running.built:
                self._tracker.interrupt_trial(number)
        waiting = set(self._running)
        deadline_s = time.monotonic() + 10
        while waiting and time.monotonic() < deadline_s:
            for event in self._executor.wait(POLL_S):
                if isinstance(event.body, Outcome):
                    waiting.discard(event.key)
        self._running.clear()


def trial_seed(seed: int, number: int) -> int:
    """Derives a trial's seed, 31 bits, from the search's seed and the trial's number."""
    import numpy as np

    return int(np.random.SeedSequence((seed, number)).generate_state(1)[0] & 0x7FFFFFFF)


def _attach(study: optuna.Study, frozen: Any) -> optuna.Trial:
    """Takes up a trial that an earlier driver left RUNNING."""
    import optuna

    return optuna.trial.Trial(study, frozen._trial_id)


@contextmanager
def _interrupts(stop: threading.Event) -> Iterator[None]:
    """Turns the first Ctrl-C (or SIGTERM) into `stop`; the second one interrupts at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def on_signal(_signal: int, _frame: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    signals: Sequence[signal.Signals] = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(each, on_signal) for each in signals]
    try:
        yield
    finally:
        for each, handler in zip(signals, before, strict=True):
            signal.signal(each, handler)
