from __future__ import annotations

import os
import sys

import pytest

from hpsearch.errors import UsageError
from hpsearch.executors import create
from hpsearch.executors.inline import InlineExecutor
from hpsearch.experiment import ResourcesSection
from hpsearch.testing.driving import DONE, drive, trial
from hpsearch.testing.executors import ExecutorContract


class TestInlineExecutor(ExecutorContract):
    @pytest.fixture
    def executor(self):
        executor = InlineExecutor()
        yield executor
        executor.close()

    @pytest.mark.skip(reason="a job that kills its process kills the driver: it is the same")
    def test_a_killed_worker_fails_its_job_only(self): ...

    @pytest.mark.skip(reason="one slot")
    def test_slots_run_in_parallel(self): ...

    @pytest.mark.skip(reason="one process: a data set stays loaded there")
    def test_what_one_worker_loads_the_others_share(self): ...

    def test_all_output_goes_to_the_log(self, executor, log, capfd):
        """Overridden: output stays in the terminal, for pdb and print; the log gets tracebacks."""

        def perform(job, channel):
            print("by print")
            if job.number == 1:
                raise ValueError("wrong")
            return DONE

        executor.start(perform)
        drive(executor, [trial(0), trial(1)], log)
        written = capfd.readouterr()
        assert written.out == "by print\nby print\n"
        assert written.err == log.read_text()
        assert written.err.startswith("Traceback (most recent call last):\n")
        assert written.err.endswith("ValueError: wrong\n")


def test_several_slots_are_refused():
    with pytest.raises(UsageError, match=r"resources.slots: .*one trial at a time.*received 2"):
        create(ResourcesSection(executor="inline", slots=2))
    assert create(ResourcesSection(executor="inline", slots=1)).slots == 1


def test_this_process_gets_the_environment_when_it_starts(monkeypatch):
    monkeypatch.setenv("HPSEARCH_TEST", "before")
    executor = create(ResourcesSection(executor="inline"), environment={"HPSEARCH_TEST": "after"})
    assert os.environ["HPSEARCH_TEST"] == "before"
    executor.start(lambda job, _channel: DONE)
    assert os.environ["HPSEARCH_TEST"] == "after"


def test_nothing_is_pickled():
    executor, seen = InlineExecutor(), []
    executor.start(lambda job, _channel: seen.append((job.number, sys.modules[__name__])) or DONE)
    executor.submit(0, trial(0), log="")
    while not any(event.body == DONE for event in executor.wait(1.0)):
        pass
    assert seen == [(0, sys.modules[__name__])]
