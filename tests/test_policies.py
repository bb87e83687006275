"""What becomes of failed trials: the decisions, and the driver that carries them out."""

import signal
import time

import pytest

from hpsearch.driver import End
from hpsearch.errors import ExperimentError, SearchError
from hpsearch.executors.local import LocalExecutor
from hpsearch.experiment import Experiment
from hpsearch.experiment_failures import FailureSection
from hpsearch.listener import Listener
from hpsearch.policies import MOST_INTERRUPTIONS, Policy, decide, judge, policies
from hpsearch.testing import toys
from hpsearch.testing.searching import ToySearch
from hpsearch.trial import Failure, FailureKind, Result, TrialState

COMPLETE, FAILED = TrialState.COMPLETE, TrialState.FAILED


# === Decisions ===


@pytest.mark.parametrize(
    ("kind", "first", "second"),
    [
        ("build", "fail", "fail"),
        ("data", "fail", "fail"),
        ("nan", "infeasible", "infeasible"),
        ("out_of_memory", "retry", "infeasible"),
        ("crash", "retry", "fail"),
        ("timeout", "infeasible", "infeasible"),
        ("interrupted", "retry", "retry"),
        ("error", "fail", "fail"),
    ],
)
def test_the_default_policies(kind, first, second):
    chosen = policies(FailureSection())
    assert decide(FailureKind(kind), (), chosen) is Policy(first)
    if kind != "interrupted":
        assert decide(FailureKind(kind), {FailureKind(kind)}, chosen) is Policy(second)


def test_another_kind_of_failure_has_its_own_retry():
    chosen = policies(FailureSection(error="retry", nan="retry"))
    assert decide(FailureKind.CRASH, {FailureKind.OUT_OF_MEMORY}, chosen) is Policy.RETRY
    assert decide(FailureKind.ERROR, {FailureKind.ERROR}, chosen) is Policy.FAIL
    assert decide(FailureKind.NAN, {FailureKind.NAN}, chosen) is Policy.INFEASIBLE


def test_policies_are_set_in_the_experiment():
    base = {"name": "x", "model": "mlp", "data": "digits", "objective": "val_loss"}
    experiment = Experiment(**base, search={"on_failure": {"nan": "fail", "crash": "infeasible"}})
    chosen = policies(experiment.search.on_failure)
    assert (chosen[FailureKind.NAN], chosen[FailureKind.CRASH]) == (Policy.FAIL, Policy.INFEASIBLE)
    assert experiment.identity() == Experiment(**base).identity()  # it may change when a study goes on
    with pytest.raises(ExperimentError) as caught:
        Experiment(**base, search={"on_failure": {"nam": "fail", "crash": "again"}})
    kinds = "build, data, nan, out_of_memory, crash, timeout, export, error"
    assert str(caught.value).splitlines() == [
        "Experiment: search.on_failure.crash: unknown value; expected one of fail, retry, infeasible; "
        "received 'again'.",
        f"Experiment: search.on_failure.nam: unknown key; expected one of {kinds}; received 'fail'. "
        "Did you mean `nan`?",
    ]


@pytest.mark.parametrize(
    ("metrics", "cause"),
    [
        ({"val_f1": float("nan")}, "the objective `val_f1` is nan"),
        ({"val_f1": float("-inf")}, "the objective `val_f1` is -inf"),
        ({"loss": 1.0}, "the trial reported no `val_f1`"),
    ],
)
def test_a_result_without_a_finite_objective_is_a_failure(metrics, cause):
    failure = judge(Result({}, metrics, 1, 1, 0.0), ("val_f1",))
    assert failure.cause == cause
    assert failure.kind is (FailureKind.ERROR if "no" in cause else FailureKind.NAN)


@pytest.mark.parametrize(
    ("objectives", "metrics", "cause"),
    [
        (("val_f1", "tflite_f1", "parameters"), {"val_f1": 0.5, "parameters": 9.0}, None),
        (("val_f1", "tflite_f1", "parameters"), {"val_f1": 0.5}, "the trial reported no `parameters`"),
        (("tflite_f1", "tflite_size_kib"), {"val_loss": 0.5, "tflite_size_kib": 9.0}, None),
        (("tflite_f1", "tflite_size_kib"), {"tflite_size_kib": 9.0}, "the trial reported no `val_loss`"),
        (("val_f1", "val_r2"), {"val_f1": 0.5, "val_r2": float("nan")}, "the objective `val_r2` is nan"),
    ],
)
def test_a_trial_that_pauses_has_what_trials_are_compared_by_then(objectives, metrics, cause):
    outcome = judge(Result({}, metrics, 1, 1, 0.0, paused=True), objectives)
    assert (outcome.cause if isinstance(outcome, Failure) else None) == cause


# === The driver ===


class Says(Listener):
    def __init__(self):
        self.said = []

    def on_message(self, text):
        self.said.append(text)


def _fails_at_first(kind):
    def fate(spec, _params):
        return Failure(kind, "a first attempt") if spec.number == 1 and spec.attempt == 1 else None

    return fate


def test_a_retried_trial_keeps_its_number_and_values_and_its_log_says_why(tmp_path):
    undisturbed = ToySearch(tmp_path / "undisturbed", trials=4)
    undisturbed.run()
    search, says = ToySearch(tmp_path / "s", trials=4), Says()
    search.toy = {"fate": _fails_at_first(FailureKind.CRASH)}
    assert search.run(says) is End.TRIALS
    assert search.points() == undisturbed.points()
    trials = search.study.trials
    assert [(t.state, t.attempts) for t in trials] == [(COMPLETE, n) for n in (1, 2, 1, 1)]
    log = (search.folder.trial(1) / "log.txt").read_text()
    assert "hpsearch: attempt 1 ended (crash: a first attempt); it runs again with the same values." in log
    assert says.said == ["trial 1 runs again, with the same values: crash: a first attempt"]
    run = search.tracker.view.runs[1]
    assert (run.status, run.state) == ("FINISHED", "COMPLETE")
    assert [step for step, _ in run.series["val_accuracy"]] == [1, 2, 3]


def test_an_attempt_counts_when_the_search_goes_on(tmp_path):
    def crash(spec, _params):
        return Failure(FailureKind.CRASH, "again and again") if spec.number == 1 else None

    class Stop(Listener):
        def on_message(self, text):
            signal.raise_signal(signal.SIGINT)

    search = ToySearch(tmp_path / "s", trials=3, toy={"fate": crash})
    assert search.run(Stop()) is End.INTERRUPTED
    assert search.tracker.view.runs[1].status == "KILLED"
    assert search.study.trials[1].state is TrialState.RUNNING
    assert search.run() is End.TRIALS
    trial = search.study.trials[1]
    assert (trial.state, trial.attempts, trial.failure.kind) == (FAILED, 2, FailureKind.CRASH)
    ran = (search.folder.trial(1) / "log.txt").read_text().count("attempt")
    assert ran == 1  # the second attempt was the last


def test_a_trial_out_of_memory_runs_again_alone(tmp_path):
    running = tmp_path / "running"
    running.mkdir()

    def fate(spec, _params):
        mine = running / str(spec.number)
        mine.touch()
        time.sleep(0.05)
        others = [p.name for p in running.iterdir() if p != mine]
        mine.unlink()
        if spec.number == 2 and (others or spec.attempt == 1):
            return Failure(FailureKind.OUT_OF_MEMORY, f"beside {others}")
        return None

    search = ToySearch(tmp_path / "s", trials=8, slots=3, toy={"fate": fate})
    assert search.run() is End.TRIALS
    assert [(t.state, t.attempts) for t in search.study.trials] == [
        (COMPLETE, 2 if number == 2 else 1) for number in range(8)
    ]
    assert "it runs again alone" in (search.folder.trial(2) / "log.txt").read_text()


def test_a_trial_out_of_memory_even_alone_is_infeasible(tmp_path):
    def fate(spec, _params):
        return Failure(FailureKind.OUT_OF_MEMORY, "too large") if spec.number == 1 else None

    search = ToySearch(tmp_path / "s", trials=3, toy={"fate": fate})
    search.run()
    trial = search.study.trials[1]
    assert (trial.state, trial.attempts, trial.infeasible) == (FAILED, 2, True)
    assert (trial.failure.kind, trial.failure.cause) == (FailureKind.OUT_OF_MEMORY, "too large")


@pytest.mark.parametrize(("policy", "infeasible"), [("fail", False), ("infeasible", True)])
def test_a_nan_is_told_to_the_sampler_as_the_policy_says(tmp_path, policy, infeasible):
    def fate(spec, _params):
        return Failure(FailureKind.NAN, "the loss became nan") if spec.number == 0 else None

    search = ToySearch(tmp_path / "s", trials=2, toy={"fate": fate}, on_failure={"nan": policy})
    search.run()
    trial = search.study.trials[0]
    assert (trial.state, trial.infeasible, trial.failure.kind) == (FAILED, infeasible, FailureKind.NAN)
    assert search.tracker.view.runs[0].kind == "nan"


def test_infeasible_trials_stop_a_search_only_if_no_trial_ever_ended_well(tmp_path):
    def fate(spec, _params):
        return Failure(FailureKind.NAN, "diverged") if spec.number else None

    search = ToySearch(tmp_path / "s", trials=6, max_failures_in_a_row=3, toy={"fate": fate})
    assert search.run() is End.TRIALS
    search = ToySearch(tmp_path / "hopeless", trials=6, max_failures_in_a_row=3)
    search.toy = {"fate": lambda _spec, _params: Failure(FailureKind.NAN, "diverged")}
    with pytest.raises(SearchError, match="the last 3 trials failed"):
        search.run()


class _LosesMachines(LocalExecutor):
    """Tells of every second job that its machine was lost, as an executor over a network may."""

    def __init__(self, lost):
        super().__init__(1)
        self._lost = lost

    def submit(self, key, job, **options):
        super().submit(key, job, **options)
        if self._lost(job):
            self.cancel(key)


def test_a_trial_whose_machine_was_lost_runs_again_and_nothing_is_counted(tmp_path):
    losses = {1: 3, 2: 1}

    def lost(job):
        losses[job.number] = losses.get(job.number, 0) - 1
        return losses[job.number] >= 0

    search = ToySearch(tmp_path / "s", trials=4, executor=lambda: _LosesMachines(lost))
    assert search.run() is End.TRIALS
    assert [(t.state, t.attempts) for t in search.study.trials] == [(COMPLETE, 1)] * 4
    assert (search.folder.trial(1) / "log.txt").read_text().count("ended (interrupted") == 3


def test_a_trial_that_loses_every_machine_fails_in_the_end(tmp_path):
    submitted = []

    def lost(job):
        submitted.append(job.number)
        return job.number == 1

    search = ToySearch(tmp_path / "s", trials=3, executor=lambda: _LosesMachines(lost))
    assert search.run() is End.TRIALS
    assert submitted.count(1) == MOST_INTERRUPTIONS
    assert search.study.trials[1].failure.kind is FailureKind.INTERRUPTED


def _hang(spec, _params):
    while spec.number == 1:
        time.sleep(0.01)


@pytest.mark.parametrize("slots", [1, 2])
def test_a_silent_trial_is_stopped_and_says_so(tmp_path, slots):
    search = ToySearch(tmp_path / "s", trials=3, slots=slots, silence_timeout_s=0.6)
    search.toy = {"fate": _hang, "pause_s": 0.3}  # slower than the limit as a whole, but not silent
    began_s = time.monotonic()
    assert search.run() is End.TRIALS
    assert time.monotonic() - began_s < 20
    trials = search.study.trials
    assert [t.state for t in trials] == [COMPLETE, FAILED, COMPLETE]
    assert trials[1].failure.kind is FailureKind.TIMEOUT
    assert trials[1].failure.cause == "the trial said nothing for 0.6 s: no value asked for, no epoch ended"
    assert trials[1].infeasible


def test_a_worker_that_is_slow_to_start_is_not_silent(tmp_path):
    warm_up = lambda: time.sleep(1.5)  # noqa: E731
    search = ToySearch(tmp_path / "s", trials=1, silence_timeout_s=0.5)
    search.executor = lambda: LocalExecutor(1, warm_up=warm_up)
    search.run()
    assert search.study.trials[0].state is COMPLETE


def test_killed_workers_and_signals_are_crashes_that_are_retried(tmp_path):
    def fate(spec, _params):
        if spec.attempt == 1 and spec.number < 3:
            toys.die((signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM)[spec.number])

    search = ToySearch(tmp_path / "s", trials=4, slots=2, toy={"fate": fate})
    assert search.run() is End.TRIALS
    assert [(t.state, t.attempts) for t in search.study.trials] == [(COMPLETE, n) for n in (2, 2, 2, 1)]
