"""One background thread that sends, so that a search never waits for a server.

`put` costs microseconds. The thread takes what has gathered for a key and delivers it in one go, at most
about once a second; when the server does not answer it keeps everything and tries again, ever more
seldom. Delivering is idempotent, so what a failed attempt had half done is simply done again.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

logger = logging.getLogger("hpsearch.tracking")

Message = TypeVar("Message")

STUDY = 2**62
"""Key of the study's own messages: above any trial's number, so that they are delivered last."""
LONGEST_PAUSE_S = 30.0


class Sender(Generic[Message]):
    """Delivers messages in order for each key; keys in ascending order.

    One key that the server cannot digest does not hold up the others.

    Args:
        deliver: Sends the messages of one key. Called on the sender's thread only.
        is_outage: Whether an exception of `deliver` will pass, so that the messages are kept and sent
            again; any other loses them, with an error in the log.
        to: Where it sends, for the log; no secrets.
        explain: Writes an exception in one line, without secrets.
        interval_s: Least time between two rounds, in seconds.
        most: Messages kept at most; beyond it `put` refuses those that may be dropped.
    """

    def __init__(
        self,
        deliver: Callable[[int, Sequence[Message]], None],
        *,
        is_outage: Callable[[Exception], bool],
        to: str,
        explain: Callable[[Exception], str] = str,
        interval_s: float = 1.0,
        most: int = 50_000,
    ) -> None:
        self._deliver = deliver
        self._is_outage = is_outage
        self._to = to
        self._explain = explain
        self._interval_s = interval_s
        self._most = most
        self._pending: dict[int, list[Message]] = {}
        self._count = 0
        self._lost: list[str] = []
        self._failing: set[int] = set()
        self._hurry = 0
        self._closed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="hpsearch-tracking", daemon=True)
        self._thread.start()

    def put(self, key: int, message: Message, *, may_drop: bool = False) -> bool:
        """Hands over a message.

        Returns:
            False if it was refused: the sender is closed, or it is full and the message may be dropped.
        """
        with self._changed:
            if self._closed or (may_drop and self._count >= self._most):
                return False
            self._pending.setdefault(key, []).append(message)
            self._count += 1
            if self._count == 1:
                self._changed.notify_all()
            return True

    def drain(self, timeout_s: float) -> bool:
        """Waits until everything is delivered, or nothing is for `timeout_s` seconds.

        Returns:
            Whether everything is delivered.
        """
        left = self._count + 1
        while self._count < left and self._count:
            left = self._count
            self._hurry_up(timeout_s, less_than=left)
        return self._count == 0

    def _hurry_up(self, timeout_s: float, less_than: int) -> None:
        """Delivers without pauses until fewer messages are left, for at most `timeout_s` seconds."""
        with self._changed:
            self._hurry += 1
            self._changed.notify_all()
            try:
                self._changed.wait_for(lambda: self._count < less_than, timeout_s)
            finally:
                self._hurry -= 1

    def close(self, timeout_s: float) -> list[str]:
        """Delivers what is left, and stops; gives up when nothing was delivered for `timeout_s` seconds.

        Safe to call twice.

        Returns:
            What was not delivered, a line each.
        """
        self._hurry_up(min(2.0, timeout_s), less_than=1)
        if self._count:
            logger.warning(
                "Sending the last %d records to %s; giving up when none arrives for %.0f s.",
                self._count,
                self._to,
                timeout_s,
            )
            self.drain(timeout_s)
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            left = [f"{len(messages)} records of {_name(key)}" for key, messages in self._pending.items()]
            unsent = self._count - sum(map(len, self._pending.values()))
        if unsent:  # the thread hangs in a request: it ends with the process
            left.append(f"{unsent} records on their way")
        else:
            self._thread.join(timeout=1.0)
        return [*self._lost, *left]

    def _run(self) -> None:
        failures = 0
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._pending or self._closed)
                if self._closed:
                    return
            failures = 0 if self._round() else failures + 1
            self._pause(failures)

    def _pause(self, failures: int) -> None:
        with self._changed:
            if failures == 0:
                self._changed.wait_for(lambda: self._closed or self._hurry, self._interval_s)
            elif self._hurry:
                self._changed.wait_for(lambda: self._closed, 0.5)
            else:
                pause_s = min(LONGEST_PAUSE_S, 2.0 ** min(failures - 1, 10))
                self._changed.wait_for(lambda: self._closed or self._hurry, pause_s)

    def _round(self) -> bool:
        """Delivers what is pending; returns whether the server took any of it."""
        with self._changed:
            # All at once: what the study's run says of a trial never overtakes the trial's own records.
            taken, self._pending = self._pending, {}
        answered, failures_in_a_row = False, 0
        for key in sorted(taken):
            if failures_in_a_row == 2:  # it is not this one key: the server is away
                self._keep(key, taken[key])
                continue
            try:
                self._send(key, taken[key])
            except Exception as error:
                failures_in_a_row += 1
                self._keep(key, taken[key])
                self._note(key, error)
                continue
            answered, failures_in_a_row = True, 0
            self._note(key, None)
            with self._changed:
                self._count -= len(taken[key])
                self._changed.notify_all()
        return answered

    def _send(self, key: int, messages: list[Message]) -> None:
        """Delivers messages, or loses those that are refused; raises in an outage."""
        try:
            self._deliver(key, messages)
        except Exception as error:
            if self._is_outage(error):
                raise
            if len(messages) > 1:  # one of them is at fault; the others need not suffer
                for message in messages:
                    self._send(key, [message])
                return
            reason = self._explain(error)
            logger.error("%s refuses a record of %s: %s", self._to, _name(key), reason)
            self._lost.append(f"a record of {_name(key)}: {reason}")

    def _keep(self, key: int, messages: list[Message]) -> None:
        with self._changed:
            self._pending[key] = [*messages, *self._pending.get(key, [])]

    def _note(self, key: int, error: Exception | None) -> None:
        """Says when an outage begins and when it is over, once each."""
        if error is None:
            if self._failing == {key}:
                logger.warning("%s answers again.", self._to)
            self._failing.discard(key)
            return
        if not self._failing:
            logger.warning(
                "%s does not answer; the search goes on, records are kept and sent later. Cause: %s",
                self._to,
                self._explain(error),
            )
        self._failing.add(key)


def _name(key: int) -> str:
    return f"trial {key}" if key < STUDY else "the study"
