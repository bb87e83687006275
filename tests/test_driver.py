"""The driver's loop, over a real study and real worker processes, with trials that train nothing."""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter

import optuna
import pytest

from hpsearch.driver import End
from hpsearch.errors import SearchError
from hpsearch.journal import open_storage
from hpsearch.listener import Listener
from hpsearch.plan import trial_seed
from hpsearch.space import Override
from hpsearch.standing import spans_of
from hpsearch.testing import toys
from hpsearch.testing.searching import ToySearch
from hpsearch.trial import FailureKind, TrialState


def test_a_search_ends_when_its_trials_are_done(tmp_path):
    search = ToySearch(tmp_path / "s", trials=5)
    assert search.run() is End.TRIALS
    trials = search.study.trials
    assert [t.state for t in trials] == [TrialState.COMPLETE] * 5
    assert [t.values[0] for t in trials] == pytest.approx([toys.score(t.params) for t in trials])
    assert search.run() is End.TRIALS  # nothing is left to do
    assert len(search.study.trials) == 5


@pytest.mark.parametrize("slots", [1, 2])
@pytest.mark.parametrize("strategy", ["grid", "random", "optuna"])
def test_a_finite_space_is_searched_whole_and_each_point_once(tmp_path, strategy, slots):
    search = ToySearch(tmp_path / "s", strategy, "finite", trials=None, slots=slots)
    assert search.run() is End.EXHAUSTED
    points = search.points()
    assert len(points) == len(set(points)) == toys.FINITE_POINTS


def test_an_override_narrows_what_trials_use(tmp_path):
    overrides = {"units": Override(values=(32, 64)), "learning_rate": Override(values=(0.01,))}
    search = ToySearch(tmp_path / "s", trials=6, overrides=overrides)
    search.run()
    assert {t.params["learning_rate"] for t in search.study.trials} == {0.01}
    assert {t.params["units"] for t in search.study.trials} <= {32, 64}


def test_a_failed_trial_is_kept_with_its_cause_and_the_search_goes_on(tmp_path):
    search = ToySearch(tmp_path / "s", trials=6, toy={"fail_every": 3})
    assert search.run() is End.TRIALS
    states = Counter(t.state for t in search.study.trials)
    assert states == {TrialState.COMPLETE: 4, TrialState.FAILED: 2}
    failure = search.study.trials[2].failure
    assert (failure.kind, failure.cause) == (FailureKind.ERROR, "a toy that was asked to fail")
    assert search.study.trials[2].params  # what it tried is known


def _die_if_third(spec, _params):
    if spec.number % 3 == 2:
        toys.die()


def test_a_trial_whose_process_dies_twice_fails_and_the_search_goes_on(tmp_path):
    search = ToySearch(tmp_path / "s", trials=6, slots=2, toy={"fate": _die_if_third})
    assert search.run() is End.TRIALS
    trials = search.study.trials
    assert [t.number for t in trials if t.state is TrialState.FAILED] == [2, 5]
    assert trials[2].failure.kind is FailureKind.CRASH
    assert "SIGKILL" in trials[2].failure.cause
    assert [t.attempts for t in trials] == [1, 1, 2, 1, 1, 2]
    assert search.tracker.view.runs[2].kind == "crash"


def test_many_failures_in_a_row_stop_the_search_with_one_message(tmp_path):
    search = ToySearch(tmp_path / "s", trials=20, max_failures_in_a_row=3, toy={"fail_every": 1})
    with pytest.raises(SearchError, match=r"the last 3 trials failed.*asked to fail.*0002/log\.txt"):
        search.run()
    assert len(search.study.trials) == 3


def test_a_time_budget_counts_the_time_of_earlier_runs(tmp_path):
    search = ToySearch(tmp_path / "s", trials=None, timeout_s=0.5, toy={"epochs": 1, "pause_s": 0.1})
    assert search.run() is End.TIME
    done = len(search.study.trials)
    assert 2 <= done <= 7
    assert search.run() is End.TIME
    assert len(search.study.trials) == done


def _crash_once(spec, _params):
    if spec.number == 1 and spec.attempt == 1:
        time.sleep(0.4)
        toys.die()


def test_a_budget_of_compute_time_counts_each_slot_and_each_attempt(tmp_path):
    toy = {"epochs": 1, "pause_s": 0.1, "fate": _crash_once}
    search = ToySearch(tmp_path / "s", trials=None, total_compute_s=2.0, slots=2, toy=toy)
    assert search.run() is End.COMPUTE
    trials = optuna.load_study(study_name="s", storage=open_storage(search.folder.journal)).get_trials()
    assert len(spans_of(trials[1])) == 2
    spent_s = [end_s - start_s for trial in trials for start_s, end_s in spans_of(trial)]
    assert 2.0 <= sum(spent_s) < 2.0 + 2 * max(spent_s)
    assert search.run() is End.COMPUTE  # the study says what was spent
    assert len(search.study.trials) == len(trials)


def test_pruned_trials_stop_early_and_are_told_apart(tmp_path):
    search = ToySearch(tmp_path / "s", "hyperband", trials=30, toy={"epochs": 9})
    search.run()
    states = Counter(t.state for t in search.study.trials)
    assert states[TrialState.PRUNED] >= 3
    assert states[TrialState.COMPLETE] >= 3
    assert all(t.epochs < 9 for t in search.study.trials if t.state is TrialState.PRUNED)


def test_the_tracker_sees_every_trial_once(tmp_path):
    search = ToySearch(tmp_path / "s", trials=6, toy={"fail_every": 3})
    search.run()
    search.run()  # what may be missing is sent again
    runs = search.tracker.view.runs
    assert sorted(runs) == list(range(6))
    assert [str(runs[n].state) for n in range(6)] == ["COMPLETE", "COMPLETE", "FAILED"] * 2
    assert [len(runs[n].series["val_accuracy"]) for n in (0, 1, 3, 4)] == [3] * 4
    assert len(search.tracker.view.best) == 6


class _Interrupt(Listener):
    def __init__(self, after):
        self.after = after

    def on_epoch(self, number, epoch):
        self.after -= 1
        if not self.after:
            os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize("slots", [1, 2])
def test_the_first_interrupt_leaves_a_study_that_goes_on(tmp_path, slots):
    plain = ToySearch(tmp_path / "plain", trials=6)
    plain.run()
    search = ToySearch(tmp_path / "s", trials=6, slots=slots, toy={"pause_s": 0.02})
    assert search.run(_Interrupt(after=8)) is End.INTERRUPTED
    assert search.study.state == "interrupted"
    assert sum(t.finished for t in search.study.trials) < 6
    assert search.run() is End.TRIALS
    assert len(search.study.trials) == 6
    if slots == 1:
        assert search.points() == plain.points()


def test_what_the_pruner_said_before_an_interrupt_stands(tmp_path):
    plain = ToySearch(tmp_path / "plain" / "s", "hyperband", trials=12)
    plain.run()
    search = ToySearch(tmp_path / "interrupted" / "s", "hyperband", trials=12)
    for after in range(1, 40):  # trials report their epochs again, so each run comes one further
        if search.run(_Interrupt(after % 4 + 1)) is End.TRIALS:
            break
    assert search.points() == plain.points()
    states = [t.state for t in search.study.trials]
    assert states == [t.state for t in plain.study.trials]
    assert TrialState.PRUNED in states


ONE = {"val_accuracy": "maximize"}
TWO = {**ONE, "parameters": "minimize"}
DRIVER = """
from hpsearch.testing.searching import ToySearch
search = ToySearch({path!r}, {strategy!r}, {space!r}, trials={trials}, slots={slots}, toy={{"pause_s": 0.01}})
search.objectives = {objectives!r}
print(search.run())
"""


def _drive(search, until_s=None):
    code = DRIVER.format(
        path=str(search.folder.path),
        strategy=search.strategy,
        space=search.space,
        trials=search.trials,
        slots=search.slots,
        objectives=search.objectives,
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        if until_s is not None:
            deadline_s = time.monotonic() + until_s
            while process.poll() is None and time.monotonic() < deadline_s:
                time.sleep(0.01)
            process.kill()
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert until_s is not None or process.returncode == 0, err.decode()
    return out.decode().strip()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("strategy", "objectives"),
    [*((each, ONE) for each in ("grid", "random", "hyperband", "optuna", "asha")), ("asha", TWO)],
)
def test_a_driver_killed_at_any_moment_loses_and_repeats_nothing(tmp_path, strategy, objectives):
    space = "finite" if strategy == "grid" else "mixed"
    # Of one name: Hyperband's brackets follow from it.
    plain = ToySearch(tmp_path / "plain" / "s", strategy, space, trials=20, objectives=objectives)
    plain.run()
    search = ToySearch(tmp_path / "killed" / "s", strategy, space, trials=20, objectives=objectives)
    moments = random.Random(strategy)
    for _ in range(4):
        _drive(search, until_s=1.2 + moments.random())
    assert _drive(search) == "trials"
    assert search.points() == plain.points()
    assert [t.state for t in search.study.trials] == [t.state for t in plain.study.trials]


@pytest.mark.slow
def test_two_slots_killed_at_any_moment_lose_and_repeat_nothing(tmp_path):
    search = ToySearch(tmp_path / "s", "grid", "finite", trials=None, slots=2)
    moments = random.Random(1)
    for _ in range(4):
        _drive(search, until_s=1.2 + moments.random())
    assert _drive(search) == "exhausted"
    points = search.points()
    assert len(points) == len(set(points)) == toys.FINITE_POINTS
    assert all(t.state is TrialState.COMPLETE for t in search.study.trials)


def test_seeds_of_trials_differ_and_stay():
    seeds = [trial_seed(0, number) for number in range(100)]
    assert len(set(seeds)) == 100
    assert trial_seed(0, 7) == seeds[7] != trial_seed(1, 7)
