"""The contract on a cluster of this machine, what only a cluster can do, and what can happen only to it."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
import time

import psutil
import pytest

from hpsearch.errors import SearchError, UsageError
from hpsearch.executors import Started
from hpsearch.executors.ray import RayExecutor
from hpsearch.executors.slot import WorkerLimits
from hpsearch.experiment import ResourcesSection
from hpsearch.testing.driving import DONE, drive, trial, wait_for
from hpsearch.testing.executors import ExecutorContract
from hpsearch.trial import Failure, FailureKind, Result

ray = pytest.importorskip("ray", reason="needs Ray: pip install 'hpsearch[ray]'")
from hpsearch.executors import ray_cluster  # noqa: E402
from hpsearch.executors.ray_cluster import Demand  # noqa: E402

pytestmark = pytest.mark.slow

CPUS, GPUS = 4, 2
"""Of the cluster; Ray believes what it is told."""


@pytest.fixture(scope="module")
def cluster():
    """One cluster for all tests that do not need their own; returns its address."""
    before = signal.getsignal(signal.SIGTERM)
    ray.init(
        "local",
        num_cpus=CPUS,
        num_gpus=GPUS,
        object_store_memory=200 * 1024**2,
        include_dashboard=False,
        log_to_driver=False,
    )
    signal.signal(signal.SIGTERM, before)
    yield ray.get_runtime_context().gcs_address
    ray.shutdown()


@pytest.fixture
def make(cluster):
    """Makes executors that are closed at the end."""
    made: list[RayExecutor] = []

    def make(*, warm_up=None, workdir=None, limits=None, **given):
        resources = ResourcesSection(executor="ray", **given)
        made.append(RayExecutor(resources, warm_up=warm_up, workdir=workdir, limits=limits))
        return made[-1]

    yield make
    for executor in made:
        executor.close()


@pytest.fixture
def log(tmp_path):
    return tmp_path / "log.txt"


class TestRayExecutor(ExecutorContract):
    @pytest.fixture
    def executor(self, make, request):
        several = ("test_slots_run_in_parallel", "test_200_jobs", "test_a_job_too_many_is_refused")
        return make(slots=2 if request.node.name in several else 1)  # an actor takes a second to start


def alive(pid):
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie"


def gone_within(pids, timeout_s):
    until_s = time.monotonic() + timeout_s
    while left := [pid for pid in pids if alive(pid)]:
        if time.monotonic() > until_s:
            return f"{left} still there"
        time.sleep(0.02)
    return ""


# === Places ===


def test_slots_have_their_own_cores_and_gpus(make, log, monkeypatch, tmp_path):
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    monkeypatch.setenv("OTHER", "of the driver")
    names = ("TF_NUM_INTRAOP_THREADS", "OMP_NUM_THREADS", "KERAS_BACKEND", "CUDA_VISIBLE_DEVICES")
    names += ("TF_FORCE_GPU_ALLOW_GROWTH", "OTHER")

    def perform(job, channel):
        (tmp_path / str(job.number)).touch()
        while not (tmp_path / str(1 - job.number)).exists():  # so that each is in a slot of its own
            time.sleep(0.01)
        return Result({name: os.environ.get(name, "") for name in names} | {"cwd": os.getcwd()}, {}, 1, 1, 0)

    executor = make(cores_per_trial=2)
    executor.start(perform)
    assert executor.slots == CPUS // 2
    happened = drive(executor, [trial(0), trial(1)], log)
    seen = sorted(tuple(bodies[-1].params.values()) for bodies in happened.values())
    assert seen == [("2", "2", "torch", gpu, "", "", os.getcwd()) for gpu in ("0", "1")]
    assert sorted(bodies[0].slot for bodies in happened.values()) == [0, 1]


NODES = [{"CPU": 8, "GPU": 2, "memory": 1e9}, {"CPU": 3, "GPU": 1}, {"CPU": 16, "GPU": 0}]


@pytest.mark.parametrize(
    ("nodes", "wanted", "demand", "room"),
    [
        (NODES, {}, Demand(3, 1), 3),
        (NODES, {"cores_per_trial": 4}, Demand(4, 1), 2),
        (NODES, {"gpus_per_trial": 2}, Demand(8, 2), 1),
        (NODES, {"slots": 3}, Demand(3, 1), 3),
        (NODES, {"cores_per_trial": 1}, Demand(1, 1), 3),
        (NODES, {"slots": 4}, Demand(1, 1 / 2), 6),
        (NODES, {"slots": 9}, Demand(1, 1 / 3), 9),
        (NODES, {"slots": 9, "gpus_per_trial": 2}, Demand(8, 2), 1),
        (NODES, {"trials_per_gpu": 4}, Demand(1, 1 / 4), 11),
        (NODES, {"slots": 2, "trials_per_gpu": 3}, Demand(1, 1 / 3), 9),
        (NODES[2:], {"cores_per_trial": 3}, Demand(3, 0), 5),
        (NODES[2:], {"slots": 40, "cores_per_trial": 3, "trials_per_gpu": 2}, Demand(3, 0), 5),
    ],
)
def test_what_a_slot_takes_and_how_many_there_are(nodes, wanted, demand, room):
    assert ray_cluster.demand(nodes, ResourcesSection(**wanted)) == demand
    assert ray_cluster.room(nodes, demand) == room


def test_gpus_are_given_out_several_to_a_slot_or_shared(make, log):
    def perform(job, channel):
        names = ("CUDA_VISIBLE_DEVICES", "TF_FORCE_GPU_ALLOW_GROWTH")
        return Result({name: os.environ.get(name, "") for name in names}, {}, 1, 1, 0)

    for wanted, expected in (({"gpus_per_trial": 2}, {"0,1"}), ({"slots": 3}, {"0", "1"})):
        executor = make(**wanted)
        executor.start(perform)
        happened = drive(executor, [trial(number) for number in range(3)], log)
        executor.close()
        growing = "true" if "slots" in wanted else ""
        for bodies in happened.values():
            assert bodies[-1].params["CUDA_VISIBLE_DEVICES"] in expected
            assert bodies[-1].params["TF_FORCE_GPU_ALLOW_GROWTH"] == growing


@pytest.mark.skipif(shutil.which("nvidia-smi") is not None, reason="it would tell the memory there is")
def test_gpu_memory_that_is_not_known_is_told(make, log):
    executor = make(slots=1, trials_per_gpu=2)
    executor.start(lambda _job, _channel: DONE)
    executor.submit(0, trial(0), log=str(log))
    with pytest.raises(UsageError, match=r"^resources.trials_per_gpu: a GPU's memory cannot be divided"):
        wait_for(executor, Started)


def test_a_trial_that_fits_no_node_is_told(make):
    executor = make(cores_per_trial=8)
    with pytest.raises(UsageError) as caught:
        executor.start(lambda _job, _channel: DONE)
    assert str(caught.value) == (
        "resources: no node of the Ray cluster has room for a trial; expected a node with 8 CPUs and 1 GPUs; "
        "received 4 CPUs and 2 GPUs. Lower `cores_per_trial` or `gpus_per_trial`. "
        "Where nodes are added on demand, give `slots`."
    )


def test_jobs_do_not_wait_for_slots_without_room(make, log):
    executor = make(slots=2, cores_per_trial=3)
    executor.start(lambda _job, _channel: DONE)
    happened = drive(executor, [trial(number) for number in range(4)], log)
    assert [bodies[-1] for bodies in happened.values()] == [DONE] * 4
    assert len({bodies[0].slot for bodies in happened.values()}) == 1


def test_no_room_for_any_slot_ends_the_search(make, log):
    executor = make(slots=1, cores_per_trial=8, limits=WorkerLimits(start_timeout_s=0.2))
    executor.start(lambda _job, _channel: DONE)
    executor.submit(0, trial(0), log=str(log))
    with pytest.raises(SearchError, match=r"no room for a slot for 0.2 s; expected a node with 8 CPUs and 1"):
        wait_for(executor, Started)
    executor.cancel(0)
    [event] = executor.wait(0)
    assert (event.key, event.body.kind) == (0, FailureKind.INTERRUPTED)


def test_a_node_that_does_not_see_the_workdir_is_told(make, tmp_path, log):
    executor = make(slots=1, workdir=tmp_path)
    executor.start(lambda _job, _channel: DONE)
    [witness] = tmp_path.glob(".hpsearch-*")
    witness.unlink()  # as if the actor stood where another folder has this name
    executor.submit(0, trial(0), log=str(log))
    with pytest.raises(UsageError) as caught:
        wait_for(executor, Started)
    assert str(caught.value).startswith("workdir: the node ")
    assert f"does not see this folder, or cannot write to it; received {tmp_path}." in str(caught.value)


def test_the_workdir_is_left_clean(make, tmp_path, log):
    executor = make(slots=1, workdir=tmp_path)
    executor.start(lambda _job, _channel: DONE)
    drive(executor, [trial(0)], log)
    executor.close()
    assert list(tmp_path.iterdir()) == [log]


# === Lives and deaths ===


def test_a_killed_actor_fails_its_job_only(make, log):
    def perform(job, channel):
        print("last words", flush=True)
        if job.params["hang"]:  # in one C call: no other thread of the worker can run
            re.match("(a+)+b", 40 * "a")
        return DONE

    executor = make(slots=1)
    executor.start(perform)
    log.write_text("from an earlier attempt\n")
    executor.submit(0, trial(0, hang=True), log=str(log))
    pid = wait_for(executor, Started)[-1].body.pid
    time.sleep(0.5)
    psutil.Process(pid).parent().kill()
    failure = wait_for(executor, Failure)[-1].body
    assert failure.kind is FailureKind.CRASH
    assert failure.cause.startswith("the actor of the worker on the node ")
    assert failure.detail.startswith("last words\n")
    assert not gone_within([pid], 5)
    assert drive(executor, [trial(1, hang=False)], log)[1][-1] == DONE


def test_a_job_that_had_not_begun_is_run_elsewhere(make, log):
    executor = make(slots=1, warm_up=lambda: time.sleep(2))
    executor.start(lambda job, _channel: DONE)
    while (place := executor._slots[0].place) is None:
        executor.wait(0.1)
    executor.submit(0, trial(0), log=str(log))
    ray.kill(executor._slots[0]._host)
    bodies = [event.body for event in wait_for(executor, Result)]
    assert bodies[1:] == [DONE]
    assert isinstance(bodies[0], Started)
    assert executor._slots[0].place is not place


def test_workers_that_cannot_start_end_the_search(make, log):
    def warm_up():
        print("Illegal instruction: this TensorFlow needs AVX2")
        os._exit(132)

    executor = make(slots=1, warm_up=warm_up)
    executor.start(lambda _job, _channel: DONE)
    executor.submit(0, trial(0), log=str(log))
    with pytest.raises(SearchError) as caught:
        wait_for(executor, Started)
    assert "worker processes die before they can take a job" in str(caught.value)
    assert str(caught.value).endswith("Illegal instruction: this TensorFlow needs AVX2")


def test_actors_that_cannot_start_end_the_search(make, log, monkeypatch):
    class Host:  # as where hpsearch is not installed
        def __init__(self, *_given):
            raise ModuleNotFoundError("No module named 'hpsearch'")

        def listen(self): ...

        def order(self, order): ...

    monkeypatch.setattr("hpsearch.executors.ray_host.Host", Host)
    executor = make(slots=1)
    executor.start(lambda _job, _channel: DONE)
    executor.submit(0, trial(0), log=str(log))
    with pytest.raises(SearchError) as caught:
        wait_for(executor, Started)
    assert str(caught.value).startswith(
        "executor: the Ray actors of a slot die before they can take a job; received 3 deaths in a row; the "
        "last time, ModuleNotFoundError: No module named 'hpsearch'. All nodes of the cluster need the same"
    )


def test_limits_reach_the_workers(make, log):
    executor = make(slots=1, limits=WorkerLimits(max_jobs=2))
    executor.start(lambda _job, _channel: DONE)
    happened = drive(executor, [trial(number) for number in range(4)], log)
    first, second, third, fourth = (bodies[0].pid for bodies in happened.values())
    assert first == second != third == fourth


# === Clusters ===


HEADER = """
import os, signal, sys, time
from pathlib import Path
import ray
from hpsearch.executors.ray import create
from hpsearch.executors import Started
from hpsearch.experiment import ResourcesSection
from hpsearch.testing.driving import DONE, drive, trial, wait_for

def perform(job, channel):
    while job.params["wait"]:
        time.sleep(0.01)
    return DONE

def start(**given):
    executor = create(ResourcesSection(executor="ray", **given))
    executor.start(perform)
    return executor
"""


def script(tmp_path, body):
    path = tmp_path / "script.py"
    path.write_text(HEADER + textwrap.dedent(body))
    return [sys.executable, str(path)]


def test_a_cluster_of_this_machine_is_started_and_stopped(tmp_path):
    command = script(
        tmp_path,
        """
        before = signal.getsignal(signal.SIGTERM)
        executor = start(slots=1, cores_per_trial=7)
        print(ray.cluster_resources()["CPU"], signal.getsignal(signal.SIGTERM) is before)
        print(drive(executor, [trial(0, wait=False)], Path("log.txt"))[0][-1] == DONE)
        executor.close()
        print(ray.is_initialized())
        """,
    )
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert (done.stdout.splitlines(), done.stderr) == (["7.0 True", "True", "False"], "")


@pytest.mark.parametrize("end", ["close", "kill"])
def test_a_cluster_that_was_joined_is_left_running_without_our_actors(cluster, tmp_path, end):
    command = script(
        tmp_path,
        f"""
        executor = start(slots=2, address="{cluster}")
        for key in range(2):
            executor.submit(key, trial(key, wait=True), log=f"log{{key}}.txt")
        pids = []
        while len(pids) < 2:
            pids += [event.body.pid for event in executor.wait(5.0)]
        print(*pids, flush=True)
        if "{end}" == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        executor.close()
        """,
    )
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.stderr == ""
    pids = [int(pid) for pid in done.stdout.split()]
    assert len(pids) == 2
    assert not gone_within(pids, 10)
    until_s = time.monotonic() + 10
    while ray.available_resources().get("CPU") != CPUS:
        assert time.monotonic() < until_s, "the actors still hold their cores"
        time.sleep(0.1)


def test_a_cluster_that_is_not_there_is_told(tmp_path):
    command = script(
        tmp_path,
        """
        from hpsearch.errors import UsageError
        os.environ.pop("RAY_ADDRESS", None)
        for address in ("127.0.0.1:1", "no-such-host:6379"):
            try:
                start(address=address)
            except UsageError as error:
                print(error)
        """,
    )
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    lines = done.stdout.splitlines()
    assert len(lines) == 2, done.stderr
    for line, address in zip(lines, ("127.0.0.1:1", "no-such-host:6379"), strict=True):
        assert line.startswith(
            "resources.address: the Ray cluster cannot be joined; expected the address of "
        )
        assert f"received {address} (" in line
