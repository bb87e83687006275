"""The driver: ask, submit, answer, prune, tell. It alone writes to the study and speaks to the tracker.

One trial's way through here: `_ask` opens it in the study and submits its spec; while the worker builds
the model `_on_suggest` chooses each hyperparameter the moment it is declared; `_on_report` passes every
epoch to the study, the pruner and the tracker; `_finish` tells the study how it ended, unless it failed
and its policy is that `_run_again`.

A search that resumes is the same loop over a study that already holds trials: those still RUNNING are
submitted again with the values they had, and since strategies keep no state of their own, what is asked
for next is what would have been asked for without the interruption.
"""

from __future__ import annotations

import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hpsearch.deploy_metrics import rung_metrics
from hpsearch.disk import patiently
from hpsearch.errors import SpaceError
from hpsearch.executors import Built, Event, Executor, Report, Started, Suggest
from hpsearch.hopeless import stop_if_hopeless
from hpsearch.interrupts import interrupts
from hpsearch.journal import at_once, write_out
from hpsearch.legs import Reached, Schedule, epochs_trained, read_leg
from hpsearch.listener import Listener
from hpsearch.plan import End, Plan, trial_spec
from hpsearch.policies import MOST_INTERRUPTIONS, Policy, decide, judge, needs_solitude
from hpsearch.promotions import Promotions
from hpsearch.retelling import log_best, retell
from hpsearch.retention import Retention
from hpsearch.space import Parameter, SpaceExhausted, suggest, trial_values
from hpsearch.stall import trials_since_best
from hpsearch.standing import Clock, Standing
from hpsearch.tracking import Tracker
from hpsearch.trial import Epoch, Failure, FailureKind, Outcome, Result, TrialSpec, Value
from hpsearch.trial_record import (
    read_attempts,
    read_outcome,
    read_pruned,
    record_attempt,
    record_end,
    record_outcome,
    record_pruned,
)
from hpsearch.trial_view import TrialView, view_trial
from hpsearch.unfinished import Running, Waiting, attach

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial

POLL_S = 0.25
"""How long the driver waits at most before it looks at Ctrl-C and the clock."""


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
        schedule: Schedule | None = None,
        now_s: Callable[[], float] = time.time,
        settled: Callable[[optuna.Study], bool] = lambda _: False,
    ) -> None:
        self._plan = plan
        self._study = study
        self._executor = executor
        self._tracker = tracker
        self._listener = listener
        self._exhausted = exhausted
        self._settled = settled
        self._is_settled: bool | None = None
        """None until it is asked again, after a trial ended or paused."""
        self._promotions = Promotions(study, schedule)
        self._now_s = now_s
        self._objectives = {objective.metric: objective.direction for objective in plan.objectives}
        self._metrics = tuple(self._objectives)
        self._rungs = rung_metrics(self._metrics)
        self._standing = Standing(self._objectives)
        self._clock = Clock(now_s)
        self._retention = Retention(plan.folder, plan.checkpoints, self._objectives, plan.champion)
        self._running: dict[int, Running] = {}
        self._waiting: list[Waiting] = []
        self._interruptions: Counter[int] = Counter()
        self._listened_s = 0.0
        """Time spent in `wait`: a trial is not silent while the driver is busy or waits for the disk."""
        self._stop = threading.Event()

    def run(self) -> End:
        """Runs the search.

        Returns:
            Why it stopped.

        Raises:
            SearchError: Too many trials failed in a row.
        """
        self._recall()
        self._listener.on_start(self._study.study_name, self._plan.trials, self._standing.finished)
        with interrupts(self._stop):
            try:
                while (end := self._fill()) is None or self._running:
                    if self._stop.is_set():
                        return End.INTERRUPTED
                    began_s = time.monotonic()
                    events = self._executor.wait(POLL_S)
                    self._listened_s += time.monotonic() - began_s
                    for event in events:
                        self._handle(event)
                    if not events:
                        write_out(self._study)
                    self._end_silence()
                    self._listener.on_turn()
                self._end_paused()
                return end
            finally:
                self._abandon()
                write_out(self._study)

    def _recall(self) -> None:
        """Takes up what an earlier run of this search left."""
        trials = self._study.get_trials(deepcopy=False)
        for frozen in trials:
            if not frozen.state.is_finished():
                alone = needs_solitude({each.kind for each in read_attempts(frozen)})
                unfinished = Waiting(attach(self._study, frozen), epochs_trained(frozen), alone)
                if not self._promotions.recall(unfinished):
                    self._waiting.append(unfinished)

        def spec_of(trial: TrialView) -> TrialSpec:
            return self._spec(trial.number, trial.params, trial.attempts)

        self._retention.add(*(view_trial(t, self._metrics) for t in trials if t.state.is_finished()))
        # The records of the last trials may not have left the earlier driver.
        self._standing, self._clock, _ = retell(
            trials, self._objectives, spec_of, self._tracker, self._retention.told, self._now_s
        )
        for trial in trials:
            self._clock.add(trial)
        if self._promotions:
            self._standing.succeed()

    def _fill(self) -> End | None:
        """Fills the free slots; returns why no more trials will be asked for, or None."""
        while len(self._running) < self._executor.slots:
            if any(running.alone for running in self._running.values()):
                return None
            if self._plan.one_build_at_a_time and any(not r.built for r in self._running.values()):
                return None
            if self._waiting:
                if self._waiting[0].alone and self._running:  # the others finish first
                    return None
                self._submit(self._waiting.pop(0))
                continue
            end = self._end()
            if not (end and end.spent) and (promoted := self._promotions.promote()):
                self._submit(promoted)
            elif end is None:
                self._submit(Waiting(self._study.ask(), reported=0, alone=False))
            elif self._running or self._standing.any_complete or not (rescued := self._promotions.rescue()):
                return end
            else:
                self._submit(rescued)
        return None

    def _end(self) -> End | None:
        begun = self._standing.finished + len(self._running) + len(self._promotions)
        since_s = [running.started_at_s for running in self._running.values()]
        times_s = self._clock.searched_s(since_s), self._clock.computed_s(since_s)
        if (end := self._plan.spent(begun, self._epochs, *times_s)) is not None:
            return end
        if self._exhausted(self._study):
            return End.EXHAUSTED
        if (patience := self._plan.patience) is not None:
            trials = self._study.get_trials(deepcopy=False)
            if trials_since_best(trials, self._objectives) >= patience:
                return End.PATIENCE
        if self._is_settled is None:
            self._is_settled = self._settled(self._study)
        return End.IMPROVEMENT if self._is_settled else None

    @property
    def _epochs(self) -> int:
        """Epochs trained so far."""
        running = sum(each.reported for each in self._running.values())
        waiting = sum(each.reported for each in self._waiting)
        return self._standing.epochs + running + waiting + self._promotions.epochs

    def _spec(self, number: int, params: Mapping[str, Value], attempt: int) -> TrialSpec:
        plan = self._plan
        spec = trial_spec(plan.folder, plan.seed, number, params, attempt=attempt)
        return replace(spec, prunable=plan.prunes)

    def _submit(self, waiting: Waiting) -> None:
        trial = waiting.trial
        spec = self._spec(trial.number, trial_values(trial), len(read_attempts(trial)) + 1)
        if (leg := self._promotions.leg(trial)) is not None:
            spec = replace(spec, pause_after=leg.until)
        folder = self._plan.folder.trial(trial.number)
        patiently(lambda: folder.mkdir(parents=True, exist_ok=True), self._listener.on_full_disk)
        self._running[trial.number] = Running(trial, spec, self._now_s(), waiting.reported, waiting.alone)
        log = str(self._plan.folder.log(trial.number))
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
                self._finish(running, outcome)
        running.heard_s = self._listened_s

    def _end_silence(self) -> None:
        """Cancels trials that have been silent for too long."""
        limit_s = self._plan.silence_timeout_s
        if limit_s is None:
            return
        for number, running in list(self._running.items()):
            if running.verdict is None and self._listened_s - running.heard_s > limit_s:
                cause = f"the trial said nothing for {limit_s:g} s: no value asked for, no epoch ended"
                running.verdict = Failure(FailureKind.TIMEOUT, cause)
                self._executor.cancel(number)

    def _on_suggest(self, running: Running, parameter: Parameter) -> None:
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

    def _on_report(self, running: Running, epoch: Epoch, awaits_answer: bool) -> None:
        number = running.spec.number
        value = epoch.metrics.get(self._metrics[0], math.nan)
        single = len(self._metrics) == 1 and epoch.part is None  # else people alone see it
        again = epoch.number <= running.reported
        counts = math.isfinite(value) if single else len(self._metrics) > 1 and epoch.part is None
        if counts and not again:
            running.reported = epoch.number
            if single:  # Optuna takes no reports of several
                running.trial.report(value, epoch.number)
        if awaits_answer:
            # Earlier epochs of a trial that is run again were answered before: it went on.
            is_last = epoch.number >= running.reported
            self._executor.answer(number, not (single and is_last and self._is_pruned(running.trial, again)))
        self._tracker.log_epoch(number, epoch)
        self._listener.on_epoch(number, epoch)

    def _is_pruned(self, trial: optuna.Trial, again: bool) -> bool:
        """Asks the pruner once for an epoch; after a crash its answer, if there was one, stands."""
        if again and read_pruned(trial):
            return True
        with at_once(self._study):  # Optuna's successive halving notes what it was asked, not what it said
            if pruned := trial.should_prune():
                record_pruned(trial)
        return pruned

    def _finish(self, running: Running, outcome: Outcome) -> None:
        from optuna.trial import TrialState as OptunaState

        number = running.spec.number
        del self._running[number]
        self._promotions.ask_again()
        self._is_settled = None
        if running.verdict is not None and isinstance(outcome, Failure):
            outcome = replace(running.verdict, detail=outcome.detail)
        outcome = judge(outcome, self._metrics)
        policy = self._policy(running, outcome) if isinstance(outcome, Failure) else None
        if isinstance(outcome, Failure) and policy is Policy.RETRY:
            self._run_again(running, outcome)
            return
        if not running.built:
            self._tracker.start_trial(running.spec)
        span = (running.started_at_s, self._now_s())
        leg = read_leg(running.trial)
        if leg is not None and isinstance(outcome, Result):
            outcome = replace(outcome, duration_s=outcome.duration_s + leg.trained_s)
        record = record_outcome(outcome, running.spec.params, spans=(*(leg.spans if leg else ()), span))
        if isinstance(outcome, Result) and outcome.paused:
            self._pause(running, outcome, record, span)
            return
        constraints = {} if isinstance(outcome, Failure) else outcome.constraints
        record_end(running.trial, record, constraints, infeasible=policy is Policy.INFEASIBLE)
        if isinstance(outcome, Failure):
            frozen = self._study.tell(running.trial, state=OptunaState.FAIL)
        elif outcome.pruned:
            frozen = self._study.tell(running.trial, state=OptunaState.PRUNED)
        else:
            frozen = self._study.tell(running.trial, [outcome.metrics[metric] for metric in self._metrics])
        self._conclude(running.spec, frozen, outcome)

    def _pause(
        self, running: Running, outcome: Result, record: Mapping[str, Any], span: tuple[float, float]
    ) -> None:
        """Lets a trial rest at the end of its leg; its worker is free."""
        number = running.spec.number
        values = tuple(None if metric is None else outcome.metrics[metric] for metric in self._rungs)
        paused = Waiting(running.trial, running.reported, running.alone)
        self._promotions.pause(paused, record, Reached(values, outcome.constraints), span)
        self._tracker.interrupt_trial(number)
        self._clock.add(running.trial)
        self._standing.succeed()
        named = zip(self._rungs, values, strict=True)
        shown = {name: value for name, value in named if name and value is not None}
        self._listener.on_trial_paused(number, outcome.epochs, shown)

    def _end_paused(self) -> None:
        """Ends the trials that were never promoted: nothing will run any more."""
        for trial, frozen in self._promotions.end():
            spec = self._spec(trial.number, trial_values(trial), len(read_attempts(trial)) + 1)
            if (outcome := read_outcome(frozen)) is not None:
                self._conclude(spec, frozen, outcome)
            self._retention.forget_state(trial.number)

    def _conclude(self, spec: TrialSpec, frozen: FrozenTrial, outcome: Result | Failure) -> None:
        """Says everywhere how a trial ended that the study knows to have ended."""
        trial = view_trial(frozen, self._metrics)
        spec = replace(spec, params=trial.params)
        self._tracker.finish_trial(spec, trial.state, self._retention.told(outcome))
        self._retention.add(trial)
        self._standing.add(trial)
        self._clock.add(frozen)
        log_best(self._standing, self._metrics, self._tracker)
        self._listener.on_trial_finished(trial, self._standing.best)
        stop_if_hopeless(self._standing, trial, self._plan, self._plan.folder.log(trial.number))

    def _policy(self, running: Running, failure: Failure) -> Policy:
        number = running.spec.number
        if failure.kind is FailureKind.INTERRUPTED:
            self._interruptions[number] += 1
            if self._interruptions[number] >= MOST_INTERRUPTIONS:
                return Policy.FAIL
        earlier = {each.kind for each in read_attempts(running.trial)}
        return decide(failure.kind, earlier, self._plan.on_failure)

    def _run_again(self, running: Running, failure: Failure) -> None:
        """Puts a trial that failed in the row of those that wait; its log and a message say why."""
        number = running.spec.number
        counts = failure.kind is not FailureKind.INTERRUPTED
        if counts:
            record_attempt(running.trial, failure, (running.started_at_s, self._now_s()))
            self._clock.add(running.trial)
        if running.built:
            self._tracker.interrupt_trial(number)
        attempts = read_attempts(running.trial)
        alone = needs_solitude({each.kind for each in attempts})
        self._waiting.append(Waiting(running.trial, running.reported, alone))
        told = f"{failure.kind}: {failure.cause}"
        how = "alone, when the others have ended" if alone else "with the same values"
        with suppress(OSError), open(self._plan.folder.log(number), "a", encoding="utf-8") as log:
            log.write(f"hpsearch: attempt {running.spec.attempt} ended ({told}); it runs again {how}.\n")
        self._listener.on_message(f"trial {number} runs again, {how}: {told}")

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
