"""Beyond the contract: what only processes can do, and what can happen only to them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

import psutil
import pytest

from hpsearch.errors import SearchError, UsageError
from hpsearch.executors import Built, Event, Report, Started
from hpsearch.executors.local import LocalExecutor
from hpsearch.executors.slot import WorkerLimits
from hpsearch.testing.driving import DONE, drive, epoch, trial, wait_for
from hpsearch.testing.executors import ExecutorContract
from hpsearch.trial import Failure, FailureKind, Result


class TestLocalExecutor(ExecutorContract):
    @pytest.fixture
    def executor(self):
        executor = LocalExecutor(slots=2)
        yield executor
        executor.close()


@pytest.fixture
def log(tmp_path):
    return tmp_path / "logs" / "log.txt"  # its folder does not exist


@pytest.fixture
def make():
    """Makes executors that are closed at the end."""
    made: list[LocalExecutor] = []

    def make(slots=1, **options):
        made.append(LocalExecutor(slots, **options))
        return made[-1]

    yield make
    for executor in made:
        executor.close()


def alive(pids):
    return [pid for pid in pids if psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie"]


def gone_within(pids, timeout_s):
    until_s = time.monotonic() + timeout_s
    while left := alive(pids):
        if time.monotonic() > until_s:
            return f"{left} still there"
        time.sleep(0.02)
    return ""


# === The life of a worker ===


def test_a_worker_is_replaced_after_some_jobs(make, log):
    executor = make(limits=WorkerLimits(max_jobs=3))
    executor.start(lambda _job, _channel: DONE)
    happened = drive(executor, [trial(number) for number in range(7)], log)
    pids = [bodies[0].pid for bodies in happened.values()]
    assert [len(set(pids[:3])), len(set(pids[3:6])), len(set(pids))] == [1, 1, 3]
    assert not gone_within(set(pids) - {pids[-1]}, 5)


def test_a_worker_whose_memory_grows_is_replaced(make, log):
    def perform(job, channel):
        import builtins

        if job.number == 1:
            builtins.kept = bytearray(os.urandom(1024)) * (64 * 1024)
        return DONE

    executor = make(limits=WorkerLimits(max_growth_bytes=32 * 1024**2))
    executor.start(perform)
    happened = drive(executor, [trial(number) for number in range(4)], log)
    pids = [bodies[0].pid for bodies in happened.values()]
    assert pids[0] == pids[1] != pids[2] == pids[3]


def test_children_of_a_stopped_job_are_stopped(make, log):
    def perform(job, channel):
        child = subprocess.Popen(["sleep", "100"])
        channel.built({"child": child.pid})
        child.wait()

    executor = make()
    executor.start(perform)
    executor.submit(0, trial(0), log=str(log))
    events = []
    while len(events) < 2:
        events += executor.wait(5.0)
    child = events[1].body.params["child"]
    executor.cancel(0)
    assert not gone_within([events[0].body.pid, child], 2)


def test_a_forked_child_does_not_hide_the_death_of_its_parent(make, log):
    def perform(job, channel):
        if os.fork() == 0:  # inherits the connection's end, so that it does not close with the worker
            os.setsid()
            time.sleep(5)
            os._exit(0)
        os._exit(7)

    executor = make()
    executor.start(perform)
    started_s = time.monotonic()
    failure = drive(executor, [trial(0)], log)[0][-1]
    assert time.monotonic() - started_s < 4
    assert failure.cause == "the worker process exited with code 7 in the middle of the job"


@pytest.mark.parametrize(
    ("name", "cause"),
    [
        ("SIGSEGV", "the worker process was killed by SIGSEGV"),
        ("SIGTERM", "the worker process was killed by SIGTERM"),
    ],
)
def test_the_signal_is_named(make, log, name, cause):
    executor = make()
    executor.start(lambda job, _channel: os.kill(os.getpid(), getattr(signal, job.params["signal"])))
    failure = drive(executor, [trial(0, signal=name)], log)[0][-1]
    assert (failure.kind, failure.cause) == (FailureKind.CRASH, cause)
    assert ("Fatal Python error: Segmentation fault" in failure.detail) is (name == "SIGSEGV")


def test_detail_is_the_end_of_this_attempts_log(make, log):
    log.parent.mkdir()
    log.write_text("an earlier attempt\n")

    def perform(job, channel):
        print("x" * job.params["length"])
        print("the last line")
        os._exit(1)

    executor = make()
    executor.start(perform)
    [short, long] = [drive(executor, [trial(0, length=length)], log)[0][-1].detail for length in (3, 10_000)]
    assert short == "xxx\nthe last line\n"
    assert long.endswith("xxx\nthe last line\n")
    assert 3000 < len(long) < 5000


def test_a_log_that_cannot_be_written_fails_the_job(make, tmp_path):
    (tmp_path / "file").touch()
    executor = make()
    executor.start(lambda _job, _channel: DONE)
    failure = drive(executor, [trial(0)], tmp_path / "file" / "log.txt")[0][-1]
    assert isinstance(failure, Failure)
    assert "file" in failure.cause


def test_a_thread_left_behind_cannot_speak_for_the_next_job(make, log):
    def perform(job, channel):
        def late():
            time.sleep(0.2)
            channel.report(epoch(99), await_answer=False)

        if job.number == 0:
            threading.Thread(target=late, daemon=True).start()
        else:
            time.sleep(0.5)
        return DONE

    executor = make()
    executor.start(perform)
    happened = drive(executor, [trial(0), trial(1)], log)
    assert not any(isinstance(body, Report) for bodies in happened.values() for body in bodies)


# === Starting ===


def test_workers_see_their_environment(make, log, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,GPU-5")
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL", raising=False)
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS", raising=False)
    names = [
        "TF_NUM_INTRAOP_THREADS",
        "TF_NUM_INTEROP_THREADS",
        "OMP_NUM_THREADS",
        "PJRT_NPROC",
        "CUDA_VISIBLE_DEVICES",
        "TF_CPP_MIN_LOG_LEVEL",
        "PYTHONUNBUFFERED",
        "KERAS_BACKEND",
        "TF_ENABLE_ONEDNN_OPTS",
    ]
    executor = make(None, cores_per_trial=3, environment={"KERAS_BACKEND": "jax"})
    assert executor.slots == 2
    executor.start(lambda _j, _c: Result({name: os.environ.get(name, "") for name in names}, {}, 1, 1, 0.0))
    executor.submit(0, trial(0), log=str(log))
    executor.submit(1, trial(1), log=str(log))
    outcomes = {}
    while len(outcomes) < 2:
        outcomes |= {e.key: e.body for e in executor.wait(5.0) if isinstance(e.body, Result)}
    seen = sorted(tuple(outcome.params.values()) for outcome in outcomes.values())
    assert seen == [("3", "3", "3", "3", gpu, "2", "1", "jax", "") for gpu in ("3", "GPU-5")]


def test_a_failed_warm_up_fails_the_first_job(make, log):
    def warm_up():
        raise ImportError("libcublas.so.12: cannot open shared object file")

    executor = make(warm_up=warm_up)
    executor.start(lambda _job, _channel: DONE)
    for number in range(2):  # the second by a fresh worker
        [failure] = drive(executor, [trial(number)], log)[number]
        assert failure.cause.startswith("the worker could not warm up: ImportError: libcublas.so.12")
        assert "Traceback" in failure.detail


@pytest.mark.parametrize("fork", [True, False])
def test_a_warm_up_is_done_once_before_the_first_job(make, log, tmp_path, fork):
    def warm_up():
        os.environ["WARM"] = "yes"
        (tmp_path / str(os.getpid())).touch()

    def perform(job, channel):
        return Result({}, {"warm": os.environ.get("WARM") == "yes"}, 1, 1, 0.0)

    executor = make(2, warm_up=warm_up, fork=fork)
    executor.start(perform)
    happened = drive(executor, [trial(number) for number in range(6)], log)
    assert [bodies[-1].metrics["warm"] for bodies in happened.values()] == [True] * 6
    workers = {bodies[0].pid for bodies in happened.values()}
    warmed = {int(file.name) for file in tmp_path.glob("[0-9]*")}
    if fork:
        assert len(warmed) == 1
        assert not warmed & workers
    else:
        assert workers <= warmed


def test_a_worker_takes_the_place_of_one_that_died_without_warming_up_again(make, log, tmp_path):
    def warm_up():
        (tmp_path / str(os.getpid())).touch()

    def perform(job, channel):
        if job.number == 0:
            os.kill(os.getpid(), signal.SIGSEGV)
        return DONE

    executor = make(warm_up=warm_up)
    executor.start(perform)
    happened = drive(executor, [trial(0), trial(2)], log)
    assert "SIGSEGV" in happened[0][-1].cause
    assert happened[2][-1] == DONE
    assert len(list(tmp_path.glob("[0-9]*"))) == 1


def test_a_killed_fork_server_takes_its_workers_with_it_and_others_come(make, log):
    executor = make(2)
    executor.start(lambda job, _channel: time.sleep(60) if job.number < 2 else DONE)
    for key in range(2):
        executor.submit(key, trial(key), log=str(log))
    pids, failures = [], {}
    while len(pids) < 2:
        pids += [event.body.pid for event in wait_for(executor, Started) if isinstance(event.body, Started)]
    psutil.Process(pids[0]).parent().kill()
    while len(failures) < 2:
        failures |= {e.key: e.body for e in wait_for(executor, Failure) if isinstance(e.body, Failure)}
    assert {failure.kind for failure in failures.values()} == {FailureKind.CRASH}
    assert not gone_within(pids, 2)
    happened = drive(executor, [trial(number) for number in range(2, 6)], log)
    assert [bodies[-1] for bodies in happened.values()] == [DONE] * 4
    [server] = {psutil.Process(bodies[0].pid).ppid() for bodies in happened.values()}
    assert psutil.Process(server).ppid() == os.getpid()


def test_many_workers_may_wait_for_one_warm_up(make, log):
    executor = make(300, warm_up=lambda: time.sleep(2))
    executor.start(lambda _job, _channel: DONE)
    happened = drive(executor, [trial(number) for number in range(300)], log)
    assert all(bodies[-1] == DONE for bodies in happened.values())


def test_workers_that_cannot_start_end_the_search(make, log):
    def warm_up():
        print("Illegal instruction: this TensorFlow needs AVX2")
        os._exit(132)

    executor = make(warm_up=warm_up)
    executor.start(lambda _job, _channel: DONE)
    executor.submit(0, trial(0), log=str(log))
    with pytest.raises(SearchError) as caught:
        wait_for(executor, Started)
    assert str(caught.value).startswith("executor: worker processes die before they can take a job; ")
    assert "3 deaths in a row; the last time, the worker process exited with code 132" in str(caught.value)
    assert str(caught.value).endswith("Illegal instruction: this TensorFlow needs AVX2")
    with pytest.raises(SearchError):  # it stays so
        executor.wait(0)


def test_a_start_that_hangs_is_a_failed_start(make, log):
    executor = make(warm_up=lambda: time.sleep(60), limits=WorkerLimits(start_timeout_s=0.5))
    executor.start(lambda _job, _channel: DONE)
    executor.submit(0, trial(0), log=str(log))
    with pytest.raises(SearchError, match=r"3 deaths in a row; the last time, it was not ready after 0.5 s"):
        wait_for(executor, Started)


def test_a_cancelled_job_that_waits_for_its_worker_never_starts(make, log, tmp_path):
    executor = make(warm_up=lambda: time.sleep(0.5))
    executor.start(lambda job, _channel: (tmp_path / str(job.number)).touch() or DONE)
    executor.submit(0, trial(0), log=str(log))
    executor.cancel(0)
    assert executor.wait(0) == [Event(0, Failure(FailureKind.INTERRUPTED, "the job was cancelled"))]
    drive(executor, [trial(1)], log)
    assert not (tmp_path / "0").exists()
    assert (tmp_path / "1").exists()


def test_starting_twice_is_refused(make):
    executor = make()
    executor.start(lambda _job, _channel: DONE)
    with pytest.raises(SearchError, match="started already"):
        executor.start(lambda _job, _channel: DONE)


def test_workers_outlive_the_thread_that_started_them(make, log):
    executor = make()
    starter = threading.Thread(target=executor.start, args=(lambda _job, _channel: DONE,))
    starter.start()
    starter.join()
    drive(executor, [trial(0)], log)
    time.sleep(1.5)  # Linux takes the end of the thread for the end of the parent
    happened = drive(executor, [trial(1), trial(2)], log)
    assert happened[1][0].pid == happened[2][0].pid
    assert happened[2][-1] == DONE


def test_a_folder_that_is_gone_is_told(make, tmp_path, monkeypatch):
    executor = make()
    monkeypatch.setattr(os, "getcwd", lambda: str(tmp_path / "gone"))
    with pytest.raises(SearchError, match=r"a worker process could not be started; received .*No such file"):
        executor.start(lambda _job, _channel: DONE)


def test_what_cannot_be_pickled_is_named(make):
    lock = threading.Lock()

    class Model:
        def __init__(self):
            self.layers = [{"guard": lock}]

    model = Model()
    with pytest.raises(UsageError) as caught:
        make().start(lambda _job, _channel: model)
    assert str(caught.value).startswith(
        "perform: model.layers[0]['guard']: cannot be sent to the worker processes; "
        "expected something that pickles; received an object of type `_thread.lock` ("
    )


# === Ends ===


def script(tmp_path, body, name="script.py"):
    path = tmp_path / name
    path.write_text(textwrap.dedent(body))
    return path


HEADER = """
import os, sys, time
from hpsearch.executors.local import LocalExecutor
from hpsearch.testing.driving import DONE, drive, trial, wait_for
from hpsearch.executors import Built, Started
from hpsearch.trial import Result
"""


def test_a_script_without_a_main_guard_runs_once(tmp_path):
    (tmp_path / "beside.py").write_text("OFFSET = 40\n")
    path = script(
        tmp_path,
        HEADER
        + """
import pickle
from pathlib import Path
import beside
print("top level")

class Layer:
    size = 2

def size_of(layer):
    return layer.size

def perform(job, channel):
    again = pickle.loads(pickle.dumps(Layer()))  # by name, as Keras finds the layers of a saved model
    return Result({}, {"size": beside.OFFSET + size_of(again)}, 1, 1, 0.0)

executor = LocalExecutor(2)
executor.start(perform)
for bodies in drive(executor, [trial(0), trial(1)], Path("log.txt")).values():
    print(bodies[-1].metrics)
executor.close()
""",
    )
    (tmp_path / "elsewhere").mkdir()
    done = subprocess.run(
        [sys.executable, str(path)], cwd=tmp_path / "elsewhere", capture_output=True, text=True, timeout=60
    )
    assert (done.stdout.splitlines(), done.stderr) == (["top level", "{'size': 42}", "{'size': 42}"], "")


BUSY = {
    "computing": "while True: pass",
    # One C call that keeps the interpreter's lock: no other thread of the worker can run.
    "stuck in C": "import re; re.match('(a+)+b', 40 * 'a')",
    "idle": "channel.suggest(None)",
}


@pytest.mark.parametrize("busy", BUSY)
def test_workers_follow_a_killed_driver(tmp_path, busy):
    path = script(
        tmp_path,
        HEADER
        + f"""
import subprocess
def perform(job, channel):
    child = subprocess.Popen(["sleep", "60"])
    channel.built({{"child": child.pid}})
    {BUSY[busy]}

executor = LocalExecutor(2)
executor.start(perform)
for key in range(2):
    executor.submit(key, trial(key), log=f"log{{key}}.txt")
pids = []
while len(pids) < 4:
    for event in executor.wait(5.0):
        if isinstance(event.body, Started):
            pids.append(event.body.pid)
        elif isinstance(event.body, Built):
            pids.append(event.body.params["child"])
time.sleep(0.3)
print("pids", *pids, flush=True)
time.sleep(60)
""",
    )
    driver = subprocess.Popen([sys.executable, path], cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    pids = [int(pid) for pid in driver.stdout.readline().split()[1:]]
    assert len(alive(pids)) == 4
    names = {pid: psutil.Process(pid).name() for pid in pids}
    driver.kill()
    driver.wait()
    # A worker that is stuck in C cannot end its children, it is ended itself.
    ended = [pid for pid in pids if busy != "stuck in C" or names[pid] != "sleep"]
    try:
        assert len(ended) == (2 if busy == "stuck in C" else 4)
        assert not gone_within(ended, 2)
    finally:
        subprocess.run(["sh", "-c", "kill -9 " + " ".join(map(str, pids)) + " 2>/dev/null"], check=False)
        driver.stdout.close()


def test_ctrl_c_in_the_terminal_does_not_reach_the_workers(tmp_path):
    path = script(
        tmp_path,
        HEADER
        + """
def perform(job, channel):
    time.sleep(1)
    return DONE

executor = LocalExecutor(1)
executor.start(perform)
executor.submit(0, trial(0), log="log.txt")
wait_for(executor, Started)
try:
    print("started", flush=True)
    executor.wait(30)
except KeyboardInterrupt:
    print("interrupted", flush=True)
    while not (events := executor.wait(5)):
        pass
    print(type(events[0].body).__name__, flush=True)
executor.close()
""",
    )
    driver = subprocess.Popen(
        [sys.executable, path], cwd=tmp_path, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert driver.stdout.readline() == "started\n"
    os.killpg(driver.pid, signal.SIGINT)
    rest, _ = driver.communicate(timeout=30)
    assert rest == "interrupted\nResult\n"


def test_close_leaves_no_process(make, log):
    def perform(job, channel):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        channel.built({"child": subprocess.Popen(["sleep", "60"]).pid})
        while True:
            time.sleep(1)

    others = {child.pid for child in psutil.Process().children(recursive=True)}
    executor = make(2, limits=WorkerLimits(exit_timeout_s=0.3))
    executor.start(perform)
    executor.submit(0, trial(0), log=str(log))
    pids = []
    while len(pids) < 2:
        for event in executor.wait(5.0):
            pids.append(event.body.pid if isinstance(event.body, Started) else event.body.params["child"])
    children = {child.pid for child in psutil.Process().children(recursive=True)} - others
    assert set(pids) <= children
    assert len(children) == 4  # and the idle worker, and what both are copies of
    executor.close()
    assert not gone_within(children, 0.5)


def test_idle_workers_exit_by_themselves(make, log, tmp_path):
    def perform(job, channel):
        import atexit

        atexit.register((tmp_path / "clean exit").touch)
        return DONE

    executor = make()
    executor.start(perform)
    drive(executor, [trial(0)], log)
    started_s = time.monotonic()
    executor.close()
    assert time.monotonic() - started_s < 1.5
    assert (tmp_path / "clean exit").exists()


def test_a_second_ctrl_c_ends_the_patience_of_close(make, log):
    def perform(job, channel):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        channel.built({})
        while True:
            time.sleep(1)

    executor = make(limits=WorkerLimits(exit_timeout_s=30.0))
    executor.start(perform)
    executor.submit(0, trial(0), log=str(log))
    pid = wait_for(executor, Started)[-1].body.pid
    wait_for(executor, Built)
    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
    started_s = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        executor.close()
    assert time.monotonic() - started_s < 3
    assert not gone_within([pid], 0)
