"""How a search stands, and the time it took."""

from datetime import UTC, datetime

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpsearch.legs import Reached, begin_leg, end_leg
from hpsearch.plan import End
from hpsearch.space import Parameter, Space
from hpsearch.standing import Clock, Standing
from hpsearch.testing.simulated import SimulatedSearch
from hpsearch.testing.simulation import Point
from hpsearch.trial import Failure, FailureKind, TrialState
from hpsearch.trial_record import TRIAL_OUTCOME, record_attempt, record_outcome
from hpsearch.trial_view import TrialView


def _view(number, *values, state=TrialState.COMPLETE, infeasible=False):
    failure = Failure(FailureKind.NAN, "diverged") if state is TrialState.FAILED else None
    return TrialView(number, state, {}, values, {}, 1, 1, 1.0, None, failure, infeasible=infeasible)


def test_the_best_and_the_states():
    standing = Standing({"val_accuracy": "maximize"})
    assert standing.best is None
    for number, value in enumerate([0.3, 0.5, 0.5]):
        standing.add(_view(number, value))
    standing.add(_view(3, 0.9, state=TrialState.PRUNED))
    standing.add(_view(4, state=TrialState.FAILED))
    assert standing.best.number == 1
    assert standing.finished == 5
    assert {s: n for s, n in standing.states.items() if n} == {"COMPLETE": 3, "PRUNED": 1, "FAILED": 1}


def test_the_leader_of_a_front_is_its_earliest():
    standing = Standing({"val_accuracy": "maximize", "latency_ms": "minimize"})
    standing.add(_view(0, 0.5, 10.0))
    standing.add(_view(1, 0.9, 20.0))
    assert standing.best.number == 0
    standing.add(_view(2, 0.95, 9.0))
    assert standing.best.number == 2


def test_failures_in_a_row():
    standing = Standing({"val_accuracy": "maximize"})
    failed, infeasible = TrialState.FAILED, {"state": TrialState.FAILED, "infeasible": True}
    for number, kinds in enumerate([infeasible, infeasible, {"state": failed}]):
        standing.add(_view(number, **kinds))
    assert standing.failures_in_a_row == 3
    standing.add(_view(3, 0.5))
    assert standing.failures_in_a_row == 0
    for number, kinds in enumerate([{"state": failed}, infeasible, infeasible, {"state": failed}], start=4):
        standing.add(_view(number, **kinds))
    assert standing.failures_in_a_row == 2


class _Ended:
    def __init__(self, start_s, end_s, number=0):
        self.number = number
        self.datetime_complete = datetime.fromtimestamp(end_s, UTC)
        self.user_attrs = {TRIAL_OUTCOME: {"spans": [[start_s, end_s]]}}


def _covered(spans):
    """Counts the tenths of seconds that lie in some span."""
    return len({tick for start, end in spans for tick in range(start, end)}) / 10


_SPANS = st.lists(st.tuples(st.integers(0, 100), st.integers(0, 30)), max_size=12)


@settings(deadline=None)
@given(_SPANS)
def test_time_is_counted_once_however_trials_overlap(starts):
    spans = [(start, start + length) for start, length in starts]
    clock = Clock()
    for start, end in spans:
        clock.add(_Ended(start / 10, end / 10))
    assert clock.searched_s() == pytest.approx(_covered(spans), abs=1e-4)


@settings(deadline=None)
@given(_SPANS, st.integers(0, 130))
def test_the_time_of_running_trials_counts_from_the_first(starts, since):
    spans = [(start, start + length) for start, length in starts]
    clock = Clock(lambda: 14.0)
    for start, end in spans:
        clock.add(_Ended(start / 10, end / 10))
    assert clock.searched_s([since / 10]) == pytest.approx(_covered([*spans, (since, 140)]), abs=1e-4)


@settings(deadline=None)
@given(_SPANS, _SPANS)
def test_compute_time_is_that_of_each_trial_and_what_runs(starts, running):
    clock = Clock(lambda: 14.0)
    for _ in range(2):  # what is told again is not counted again
        for number, (start, length) in enumerate(starts):
            clock.add(_Ended(start / 10, (start + length) / 10, number))
    since_s = [start / 10 for start, _ in running]
    expected_s = sum(length for _, length in starts) / 10 + sum(14.0 - each for each in since_s)
    assert clock.computed_s(since_s) == pytest.approx(expected_s, abs=1e-4)


def test_the_time_of_attempts_and_legs_is_counted_once():
    study = optuna.create_study()
    trial, clock = study.ask(), Clock(lambda: 10.0)
    record_attempt(trial, Failure(FailureKind.CRASH, "it died"), (0.0, 2.0))
    begin_leg(trial, 1)
    clock.add(trial)
    assert (clock.computed_s(), clock.searched_s()) == (2.0, 2.0)
    end_leg(trial, {}, Reached((0.5,)), (2.0, 5.0))  # pauses
    clock.add(trial)
    assert (clock.computed_s(), clock.searched_s()) == (5.0, 5.0)
    begin_leg(trial, 3)
    clock.add(trial)
    assert clock.computed_s([9.0]) == 6.0
    ended = record_outcome(Failure(FailureKind.NAN, "diverged"), {}, spans=[(2.0, 5.0), (9.0, 10.0)])
    trial.set_user_attr(TRIAL_OUTCOME, ended)
    clock.add(study.tell(trial, 1.0))
    assert (clock.computed_s(), clock.searched_s()) == (6.0, 6.0)


class _Flat:
    space = Space((Parameter("x", "float", 0.5, low=0.0, high=1.0),))

    def declare(self, ask):
        return {"x": ask(self.space.parameters[0])}

    def curve(self, params):
        return [Point({"score": params["x"]}, seconds=3.0)] * 2


@pytest.mark.parametrize("slots", [1, 2, 5])
def test_a_budget_of_compute_time_is_spent_faster_by_more_slots(slots):
    storage = optuna.storages.InMemoryStorage()
    search = SimulatedSearch(
        _Flat(), _Flat.space, "random", "score", 2, total_compute_s=120.0, slots=slots, storage=storage
    )
    assert search.run() is End.COMPUTE
    assert len(search.study.get_trials()) == 120 / 6
    assert search.moments[-1].at_s == 120 / slots
    assert search.run() is End.COMPUTE
    assert len(search.study.get_trials()) == 120 / 6
