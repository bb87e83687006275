"""The law of executors as tests. Subclass `ExecutorContract` and give it the fixture `executor`.

What an executor cannot do is visible as a test overridden with the reason:

    class TestMyExecutor(ExecutorContract):
        @pytest.fixture
        def executor(self):
            executor = MyExecutor(slots=2)
            yield executor
            executor.close()

        @pytest.mark.skip(reason="...")
        def test_a_killed_worker_fails_its_job_only(self): ...
"""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import Any, get_args

import numpy as np
import pytest

from hpsearch.channel import Channel, Perform
from hpsearch.errors import DataError, SearchError
from hpsearch.executors import Built, Executor, Report, Started, Suggest
from hpsearch.testing.driving import DONE, UNITS, drive, epoch, trial, wait_for
from hpsearch.trial import Failure, FailureKind, Outcome, Result, Value


class ExecutorContract:
    """What every executor must do, whatever happens to its jobs."""

    @pytest.fixture
    def executor(self) -> Any:
        raise NotImplementedError("yield an executor that has not been started, then close it")

    @pytest.fixture
    def log(self, tmp_path: Path) -> Path:
        return tmp_path / "log.txt"

    def outcome(self, executor: Executor, perform: Perform, log: Path, **params: Value) -> Any:
        """Runs one job and returns its outcome."""
        executor.start(perform)
        return drive(executor, [trial(0, **params)], log)[0][-1]

    # === What a job says ===

    def test_events_come_in_order_and_end_in_one_outcome(self, executor: Executor, log: Path) -> None:
        def perform(job: Any, channel: Channel) -> Any:
            units = channel.suggest(UNITS)
            channel.built({"units": units})
            channel.report(epoch(1), await_answer=True)
            channel.report(epoch(2), await_answer=False)
            return Result({"units": units}, {"loss": 0.5}, 2, 2, 0.0)

        executor.start(perform)
        happened = drive(executor, [trial(0), trial(1)], log, answer=lambda _asked: 32)
        for bodies in happened.values():
            assert isinstance(bodies[0], Started)
            assert bodies[1:] == [
                Suggest(UNITS),
                Built({"units": 32}),
                Report(epoch(1), awaits_answer=True),
                Report(epoch(2), awaits_answer=False),
                Result({"units": 32}, {"loss": 0.5}, 2, 2, 0.0),
            ]

    def test_a_suggestion_blocks_until_answered(self, executor: Executor, log: Path, tmp_path: Path) -> None:
        went_on = tmp_path / "went_on"

        def perform(job: Any, channel: Channel) -> Any:
            value = channel.suggest(UNITS)
            went_on.touch()
            return Result({"units": value}, {}, 1, 1, 0.0)

        executor.start(perform)
        executor.submit(7, trial(0), log=str(log))
        assert [event.key for event in wait_for(executor, Suggest)] == [7, 7]
        assert not executor.wait(0.3)
        assert not went_on.exists()
        executor.answer(7, "a value of any kind")
        [event] = wait_for(executor, *get_args(Outcome))
        assert event.body.params == {"units": "a value of any kind"}

    @pytest.mark.parametrize("answer", [True, False])
    def test_an_awaited_report_brings_keep_or_prune(
        self, executor: Executor, log: Path, *, answer: bool
    ) -> None:
        def perform(job: Any, channel: Channel) -> Any:
            kept = channel.report(epoch(1), await_answer=True)
            return Result({}, {"kept": kept}, 1, 1, 0.0, pruned=not kept)

        executor.start(perform)
        executor.submit(0, trial(0), log=str(log))
        wait_for(executor, Report)
        assert not executor.wait(0.2)
        executor.answer(0, answer)
        [event] = wait_for(executor, *get_args(Outcome))
        assert event.body.pruned is not answer
        assert event.body.metrics["kept"] is answer

    def test_a_report_without_an_answer_does_not_block(self, executor: Executor, log: Path) -> None:
        def perform(job: Any, channel: Channel) -> Any:
            kept = [channel.report(epoch(number), await_answer=False) for number in range(1, 101)]
            return Result({}, {"kept": all(kept)}, 100, 1, 0.0)

        executor.start(perform)
        bodies = drive(executor, [trial(0)], log)[0]
        assert [body.epoch.number for body in bodies[1:-1]] == list(range(1, 101))
        assert bodies[-1].metrics == {"kept": True}

    def test_200_jobs(self, executor: Executor, log: Path) -> None:
        def perform(job: Any, channel: Channel) -> Any:
            channel.report(epoch(job.number), await_answer=True)
            return Result({}, {"number": job.number}, 1, 1, 0.0)

        executor.start(perform)
        happened = drive(executor, [trial(number) for number in range(200)], log)
        assert [bodies[-1].metrics["number"] for bodies in happened.values()] == list(range(200))
        assert {len(bodies) for bodies in happened.values()} == {3}

    def test_slots_run_in_parallel(self, executor: Executor, log: Path, tmp_path: Path) -> None:
        def perform(job: Any, channel: Channel) -> Any:
            (tmp_path / str(job.number)).touch()
            until_s = time.monotonic() + 20
            while not (tmp_path / str(1 - job.number)).exists():
                if time.monotonic() > until_s:
                    raise TimeoutError("the other job did not start")
                time.sleep(0.01)
            return DONE

        executor.start(perform)
        happened = drive(executor, [trial(0), trial(1)], log)
        assert [bodies[-1] for bodies in happened.values()] == [DONE, DONE]
        assert {bodies[0].slot for bodies in happened.values()} == {0, 1}

    # === What goes wrong ===

    def test_an_exception_is_a_failure(self, executor: Executor, log: Path) -> None:
        def perform(job: Any, channel: Channel) -> Any:
            raise ValueError("wrong\nand more")

        failure = self.outcome(executor, perform, log)
        assert (failure.kind, failure.cause) == (FailureKind.ERROR, "ValueError: wrong")
        assert not failure.usage
        assert "Traceback" in failure.detail
        assert "and more" in failure.detail

    def test_a_usage_error_is_told_as_such(self, executor: Executor, log: Path) -> None:
        def perform(job: Any, channel: Channel) -> Any:
            raise DataError("x.npz: no such file.")

        failure = self.outcome(executor, perform, log)
        assert (failure.cause, failure.usage) == ("x.npz: no such file.", True)

    def test_sys_exit_is_a_failure(self, executor: Executor, log: Path) -> None:
        def perform(job: Any, channel: Channel) -> Any:
            sys.exit(3)

        failure = self.outcome(executor, perform, log)
        assert (failure.kind, failure.cause) == (FailureKind.ERROR, "the job called sys.exit(3)")

    def test_a_result_that_does_not_pickle_is_a_failure(self, executor: Executor, log: Path) -> None:
        def perform(job: Any, channel: Channel) -> Any:
            metrics: Any = {"loss": lambda: 0}
            return Result({}, metrics, 1, 1, 0.0)

        failure = self.outcome(executor, perform, log)
        assert failure.kind == FailureKind.ERROR
        assert failure.cause.startswith("the job's Result cannot be pickled: ")

    def test_something_else_than_an_outcome_is_a_failure(self, executor: Executor, log: Path) -> None:
        def perform(job: Any, channel: Channel) -> Any:
            return 0.5

        assert "returned float" in self.outcome(executor, perform, log).cause

    def test_a_killed_worker_fails_its_job_only(self, executor: Executor, log: Path) -> None:
        def perform(job: Any, channel: Channel) -> Any:
            if job.params["die"]:
                os.write(1, b"last words\n")
                os.kill(os.getpid(), signal.SIGKILL)
            return DONE

        executor.start(perform)
        specs = [trial(number, die=number in (1, 2)) for number in range(5)]
        happened = drive(executor, specs, log)
        assert [type(bodies[-1]) for bodies in happened.values()] == [
            Result,
            Failure,
            Failure,
            Result,
            Result,
        ]
        failure = happened[1][-1]
        assert failure.kind in (FailureKind.CRASH, FailureKind.OUT_OF_MEMORY)
        assert "SIGKILL" in failure.cause or "out of memory" in failure.cause
        assert "last words" in failure.detail

    def test_a_job_over_its_time_is_stopped(self, executor: Executor, log: Path) -> None:
        def perform(job: Any, channel: Channel) -> Any:
            while job.params["hang"]:
                pass
            return DONE

        executor.start(perform)
        drive(executor, [trial(0, hang=False)], log)  # the workers' start does not count
        started_s = time.monotonic()
        failure = drive(executor, [trial(1, hang=True)], log, timeout_s=0.5)[1][-1]
        assert 0.5 <= time.monotonic() - started_s < 5
        assert failure.kind == FailureKind.TIMEOUT
        assert drive(executor, [trial(2, hang=False)], log, timeout_s=30.0)[2][-1] == DONE

    @pytest.mark.parametrize("doing", ["computing", "waiting for an answer"])
    def test_a_cancelled_job_is_stopped_now(self, executor: Executor, log: Path, doing: str) -> None:
        def perform(job: Any, channel: Channel) -> Any:
            if job.params["doing"] == "waiting for an answer":
                channel.suggest(UNITS)
            while job.params["doing"] == "computing":
                pass
            return DONE

        executor.start(perform)
        executor.submit(3, trial(0, doing=doing), log=str(log))
        wait_for(executor, Suggest if doing == "waiting for an answer" else Started)
        started_s = time.monotonic()
        executor.cancel(3)
        [event] = wait_for(executor, Failure)
        assert time.monotonic() - started_s < 5
        assert (event.key, event.body.kind) == (3, FailureKind.INTERRUPTED)
        assert drive(executor, [trial(1, doing="nothing")], log)[1][-1] == DONE

    def test_ctrl_c_in_wait_loses_no_event(self, executor: Executor, log: Path) -> None:
        def perform(job: Any, channel: Channel) -> Any:
            for number in range(300):
                channel.report(epoch(number), await_answer=number % 3 == 0)
            return DONE

        def interrupt(_number: int, frame: FrameType | None) -> None:
            while frame is not None:  # only inside `wait`: the test's own lines are not its subject
                if frame.f_code.co_name == "wait" and "executors" in frame.f_code.co_filename:
                    raise KeyboardInterrupt
                frame = frame.f_back

        def press() -> None:
            while not over.wait(0.001):
                os.kill(os.getpid(), signal.SIGINT)

        executor.start(perform)
        over, keys, bodies, interrupted = threading.Event(), threading.Thread(target=press), list[Any](), 0
        before = signal.signal(signal.SIGINT, interrupt)
        gc.disable()  # what it calls back must not be interrupted
        try:
            executor.submit(0, trial(0), log=str(log))
            keys.start()
            while not any(isinstance(body, Outcome) for body in bodies):
                try:
                    events = executor.wait(1.0)
                except KeyboardInterrupt:
                    interrupted += 1
                    continue
                bodies += [event.body for event in events]
                for event in events:
                    if isinstance(event.body, Report) and event.body.awaits_answer:
                        executor.answer(0, True)
        finally:
            gc.enable()
            over.set()
            keys.join()
            signal.signal(signal.SIGINT, before)
        assert interrupted
        assert [body.epoch.number for body in bodies[1:-1]] == list(range(300))
        assert bodies[-1] == DONE

    # === What reaches a worker, and what it leaves ===

    def test_closures_and_local_classes_reach_the_worker(self, executor: Executor, log: Path) -> None:
        class Model:
            def loss(self, number: int) -> float:
                return offset + number

        offset, model = 0.25, Model()

        def perform(job: Any, channel: Channel) -> Any:
            return Result({}, {"loss": model.loss(job.number)}, 1, 1, 0.0)

        assert self.outcome(executor, perform, log).metrics == {"loss": 0.25}

    def test_a_large_array_reaches_the_worker(self, executor: Executor, log: Path) -> None:
        images = np.arange(16 * 1024**2, dtype=np.float32)  # 64 MiB

        def perform(job: Any, channel: Channel) -> Any:
            images[0] += 1.0  # writable, and not shared with the other workers
            return Result({}, {"first": float(images[0]), "last": float(images[-1])}, 1, 1, 0.0)

        executor.start(perform)
        happened = drive(executor, [trial(0), trial(1)], log)
        metrics: list[Mapping[str, float]] = [bodies[-1].metrics for bodies in happened.values()]
        assert {each["last"] for each in metrics} == {float(16 * 1024**2 - 1)}
        assert {each["first"] for each in metrics} <= {1.0, 2.0}

    def test_all_output_goes_to_the_log(self, executor: Executor, log: Path) -> None:
        def perform(job: Any, channel: Channel) -> Any:
            print("by print", job.number)
            os.write(2, b"by descriptor\n")
            subprocess.run(["sh", "-c", "echo by a child"], check=True)
            return DONE

        log.write_text("from an earlier attempt\n")
        executor.start(perform)
        drive(executor, [trial(0), trial(1)], log)
        lines = log.read_text().splitlines()
        assert lines[0] == "from an earlier attempt"
        assert sorted(lines[1:]) == sorted(["by print 0", "by print 1"] + 2 * ["by descriptor", "by a child"])

    def test_what_one_worker_loads_the_others_share(
        self, executor: Executor, log: Path, tmp_path: Path
    ) -> None:
        loads = tmp_path / "loads"

        def perform(job: Any, channel: Channel) -> Any:
            from hpsearch.shared import shared

            def load() -> Any:
                with open(loads, "a") as file:
                    file.write("x")
                return np.arange(10.0)

            return Result({}, {"loss": float(shared("rows", load).sum())}, 1, 1, 0.0)

        executor.start(perform)
        happened = drive(executor, [trial(number) for number in range(4)], log)
        assert [bodies[-1].metrics for bodies in happened.values()] == [{"loss": 45.0}] * 4
        assert loads.read_text() == "x"

    # === What the driver may do ===

    def test_wait_returns_in_time_with_nothing(self, executor: Executor) -> None:
        executor.start(lambda _job, _channel: DONE)
        started_s = time.monotonic()
        assert not executor.wait(0.2)
        assert not executor.wait(0)
        assert 0.2 <= time.monotonic() - started_s < 2

    def test_a_job_too_many_is_refused(self, executor: Executor, log: Path) -> None:
        def perform(job: Any, channel: Channel) -> Any:
            channel.suggest(UNITS)
            return DONE

        executor.start(perform)
        for key in range(executor.slots):
            executor.submit(key, trial(key), log=str(log))
        with pytest.raises(SearchError, match="no free slot"):
            executor.submit(99, trial(99), log=str(log))

    def test_late_answers_and_cancellations_are_harmless(self, executor: Executor, log: Path) -> None:
        executor.start(lambda _job, _channel: DONE)
        drive(executor, [trial(0)], log)
        executor.answer(0, True)
        executor.cancel(0)
        executor.cancel(99)
        assert not executor.wait(0.1)
        assert drive(executor, [trial(1)], log)[1][-1] == DONE

    def test_close_ends_a_running_job_and_may_be_repeated(self, executor: Executor, log: Path) -> None:
        def perform(job: Any, channel: Channel) -> Any:
            while True:
                pass

        executor.start(perform)
        executor.submit(0, trial(0), log=str(log))
        [event] = wait_for(executor, Started)
        executor.close()
        executor.close()
        pid = event.body.pid
        if pid != os.getpid():
            with pytest.raises(ProcessLookupError):
                os.kill(pid, 0)
