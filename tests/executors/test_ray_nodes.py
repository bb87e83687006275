"""Several raylets on this machine stand for the machines of a cluster; one of them dies."""

from __future__ import annotations

import re
import signal
import time
from contextlib import suppress

import psutil
import pytest

from hpsearch.driver import End
from hpsearch.executors import Started
from hpsearch.executors.ray import RayExecutor
from hpsearch.experiment import ResourcesSection
from hpsearch.listener import Listener
from hpsearch.testing.driving import DONE, PATIENCE_S, drive, trial, wait_for
from hpsearch.testing.searching import ToySearch
from hpsearch.trial import Failure, FailureKind, TrialState

ray = pytest.importorskip("ray", reason="needs Ray: pip install 'hpsearch[ray]'")
from ray.cluster_utils import Cluster  # noqa: E402

pytestmark = pytest.mark.slow

NODE = {"num_cpus": 1, "object_store_memory": 100 * 1024**2, "include_dashboard": False}
NOTICED_SOON = {"health_check_period_ms": 1000, "health_check_failure_threshold": 10}


@pytest.fixture(scope="module")
def cluster():
    cluster = Cluster(initialize_head=True, head_node_args=NODE | {"_system_config": NOTICED_SOON})
    before = signal.getsignal(signal.SIGTERM)
    ray.init(cluster.address, log_to_driver=False)
    signal.signal(signal.SIGTERM, before)
    yield cluster
    ray.shutdown()
    cluster.shutdown()


@pytest.fixture(autouse=True)
def _head_alone(cluster):
    """Waits until the nodes that a test lost count as lost: until then their cores are room for a slot."""
    yield
    until_s = time.monotonic() + PATIENCE_S
    while sum(node["Alive"] for node in ray.nodes()) > 1:
        assert time.monotonic() < until_s, "the loss of a node is not noticed"
        time.sleep(0.1)


def lose(cluster, node):
    """Kills a node and all that runs on it at once, as when a machine loses its power."""
    raylet = psutil.Process(node.all_processes["raylet"][0].process.pid)
    for process in [raylet, *raylet.children(recursive=True)]:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    cluster.remove_node(node, allow_graceful=False)


def await_all(executor):
    until_s = time.monotonic() + PATIENCE_S
    while any(slot.place is None for slot in executor._slots):
        assert time.monotonic() < until_s, "an actor does not stand"
        executor.wait(0.1)


def test_a_job_whose_node_dies_is_interrupted_and_the_slot_is_lost(cluster, tmp_path):
    def perform(job, channel):
        while job.params["wait"]:
            time.sleep(0.01)
        return DONE

    node = cluster.add_node(**NODE)
    executor = RayExecutor(ResourcesSection(executor="ray"))
    try:
        executor.start(perform)
        assert executor.slots == 2
        for key in range(2):
            executor.submit(key, trial(key, wait=True), log=str(tmp_path / f"{key}.txt"))
        slots = {}
        while len(slots) < 2:
            slots |= {event.key: event.body.slot for event in wait_for(executor, Started)}
        places = {key: executor._slots[slot].place for key, slot in slots.items()}
        [doomed] = [key for key, place in places.items() if place.node_id == node.node_id]

        lose(cluster, node)
        [event] = wait_for(executor, Failure)
        assert (event.key, event.body.kind) == (doomed, FailureKind.INTERRUPTED)
        assert event.body.cause == f"the node {places[doomed].node} of the Ray cluster was lost"
        assert executor.slots == 1
        executor.cancel(1 - doomed)
        [event] = wait_for(executor, Failure)
        assert (event.key, event.body.cause) == (1 - doomed, "the job was cancelled")
        drive(executor, [trial(number, wait=False) for number in range(2, 5)], tmp_path / "log.txt")

        node = cluster.add_node(**NODE)
        await_all(executor)
        assert executor.slots == 2
    finally:
        executor.close()
        cluster.remove_node(node)


def test_a_search_survives_the_death_of_a_node(cluster, tmp_path):
    node = cluster.add_node(**NODE)

    class Killer(Listener):
        """Kills the node while a trial is in its middle there."""

        messages: list[str] = []

        def on_epoch(self, number, epoch):
            on_it = (s for s in executor._slots if s.place and s.place.node_id == node.node_id)
            if (
                number >= 2
                and not self.messages
                and any(s.running and s.running.key == number for s in on_it)
            ):
                self.messages.append("killed")
                lose(cluster, node)

        def on_message(self, text):
            self.messages.append(text)

    class Complete(RayExecutor):
        def start(self, perform):
            super().start(perform)
            await_all(self)

    executor = Complete(ResourcesSection(executor="ray"))
    killer = Killer()
    search = ToySearch(tmp_path / "s", trials=8, toy={"pause_s": 0.3}, executor=lambda: executor)
    assert search.run(killer) is End.TRIALS
    assert re.fullmatch(
        r"killed, trial \d runs again, .*: interrupted: the node .* of the Ray cluster was lost",
        ", ".join(killer.messages),
    )
    assert [(t.number, t.state, t.attempts) for t in search.study.trials] == [
        (number, TrialState.COMPLETE, 1) for number in range(8)
    ]
