"""A slot of a Ray cluster as the driver sees it: its actor, the job in it, and what becomes of that job.

actor:  waiting for room ── Place ──→ standing ── lost ──→ a fresh one waits for room
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from operator import methodcaller
from textwrap import shorten
from typing import Any

import ray
from ray.exceptions import ActorUnavailableError, OutOfMemoryError, RayError

from hpsearch.errors import HpsearchError, SearchError, UsageError, fault
from hpsearch.executors import Event, Started
from hpsearch.executors.process import tail
from hpsearch.executors.ray_host import LISTEN, ORDER, Broken, Left, Order, Place, Said
from hpsearch.trial import Failure, FailureKind, Outcome

MAX_FAILED_STARTS = 3
"""Losses in a row, in one slot, before its actor stood anywhere."""
LONGEST_CAUSE = 160  # characters, of what Ray says


@dataclass
class Submitted:
    """A job that is not over."""

    key: int
    order: Order
    """Has a host run it."""
    log: str
    log_start: int
    started: bool = False
    cancelled: bool = False


class RaySlot:
    """Gives jobs to its actor, and whatever happens to that or its node, one outcome to each job.

    Args:
        index: From 0.
        spawn: Asks Ray for an actor of the class `Host`.
        emit: Receives the events.
        give_back: Receives a job that was lost before it began.
        heard: Receives the slot, the actor and what `listen` returned; called in a thread of Ray's.
    """

    def __init__(
        self,
        index: int,
        *,
        spawn: Callable[[], Any],
        emit: Callable[[Event], None],
        give_back: Callable[[Submitted], None],
        heard: Callable[[RaySlot, Any, Future[list[Said]]], None],
    ) -> None:
        self._index = index
        self._spawn = spawn
        self._emit = emit
        self._give_back = give_back
        self._heard = heard
        self._failed_starts = 0
        self.running: Submitted | None = None
        self.error: HpsearchError | None = None
        self.lost = False
        self.left = False
        self._leaving = False
        self._stand()

    def _stand(self) -> None:
        self.place: Place | None = None
        self._host = self._spawn()
        self._listen()

    def _listen(self) -> None:
        host = self._host
        future = host.listen.options(concurrency_group=LISTEN).remote().future()
        future.add_done_callback(partial(self._heard, self, host))

    def take(self, job: Submitted) -> None:
        """Runs a job; the slot must be free and its actor stand."""
        self.running = job
        self.order(job.order)

    def order(self, order: Order | None) -> None:
        """Has something done by the actor; nothing happens if it is lost, which `receive` will see."""
        self._host.order.options(concurrency_group=ORDER).remote(order)

    def receive(self, host: Any, said: Future[list[Said]]) -> None:
        """Takes what an actor has said, or its loss."""
        if host is not self._host:
            return
        if (error := said.exception()) is not None:
            self._on_loss(error)
            return
        for each in said.result():
            match each:
                case Place():
                    self._on_place(each)
                case Event():
                    self._on_event(each)
                case Broken(error):
                    self.error = error
                case Left():
                    self.left = True
        if not self.left:
            self._listen()

    def cancel(self) -> None:
        """Stops the job in it."""
        if self.running is not None:
            self.running.cancelled = True
            self.order(methodcaller("cancel", self.running.key))

    def leave(self) -> None:
        """Has the actor stop its worker; `left` tells when it has, or does not have to."""
        self._leaving = True
        self.left = self.left or self.place is None
        self.order(None)

    def kill(self) -> None:
        """Ends the actor and what it started."""
        with suppress(RayError):  # the cluster may be gone
            ray.kill(self._host)

    def _on_place(self, place: Place) -> None:
        self.place, self.lost, self._failed_starts = place, False, 0
        if not place.sees_workdir:
            what = f"the node {place.node} of the Ray cluster does not see this folder, or cannot write to it"
            advice = "Put it where all nodes find it by this path, or use `resources.executor: local`."
            self.error = UsageError(fault("workdir", what, received=place.workdir, advice=advice))

    def _on_event(self, event: Event) -> None:
        if self.running is None:
            return
        body = event.body
        if isinstance(body, Started):
            self.running.started = True
            body = replace(body, slot=self._index)
        elif isinstance(body, Outcome):
            self.running = None
        self._emit(Event(event.key, body))

    def _on_loss(self, error: BaseException) -> None:
        job, place = self.running, self.place
        self.running = None
        if place is None:
            self._on_failed_start(error)
        elif job is not None and job.cancelled:
            self._emit(Event(job.key, Failure(FailureKind.INTERRUPTED, "the job was cancelled")))
        elif job is not None and job.started:
            detail = f"{tail(job.log, job.log_start)}\n{error}".strip()
            self._emit(Event(job.key, replace(_failure_of_loss(error, place), detail=detail)))
        elif job is not None:
            self._give_back(job)
        if self._leaving:
            self.left = True
        elif self.error is None:
            self.kill()  # should it be out of reach only
            self.lost = True
            self._stand()

    def _on_failed_start(self, error: BaseException) -> None:
        """Tries again, up to a limit: what is wrong with one actor is mostly wrong with the next."""
        self._failed_starts += 1
        if self._failed_starts >= MAX_FAILED_STARTS:
            what = "the Ray actors of a slot die before they can take a job"
            received = f"{self._failed_starts} deaths in a row; the last time, {_last_line(error)}"
            advice = "All nodes of the cluster need the same hpsearch. The whole message:"
            message = fault("executor", what, received=received, advice=advice)
            self.error = SearchError(f"{message}\n{error}")


def _failure_of_loss(error: BaseException, place: Place) -> Failure:
    """Returns the failure of a job whose actor was lost; a node that was lost is not the job's fault."""
    if isinstance(error, OutOfMemoryError):
        cause = f"Ray ended the worker: the memory of the node {place.node} ran low"
        return Failure(FailureKind.OUT_OF_MEMORY, cause)
    if isinstance(error, ActorUnavailableError) or not _is_alive(place.node_id):
        return Failure(FailureKind.INTERRUPTED, f"the node {place.node} of the Ray cluster was lost")
    cause = f"the actor of the worker on the node {place.node} died: {_last_line(error)}"
    return Failure(FailureKind.CRASH, cause)


def _is_alive(node_id: str) -> bool:
    return any(node["NodeID"] == node_id and node["Alive"] for node in ray.nodes())


def _last_line(error: BaseException) -> str:
    """Returns the line of Ray's message that holds the reason, be it a traceback or a report."""
    return shorten(str(error).strip().splitlines()[-1], LONGEST_CAUSE, placeholder=" ...")
