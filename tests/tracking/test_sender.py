import logging
import threading
import time

import pytest

from hpsearch.tracking.sender import STUDY, Sender


class Flaky:
    """A server in a list: down while `down`, refusing what is in `refused`."""

    def __init__(self):
        self.got = []
        self.attempts = 0
        self.down = False
        self.broken_keys = set()
        self.refused = set()

    def __call__(self, key, messages):
        self.attempts += 1
        if self.down or key in self.broken_keys:
            raise ConnectionError("https://me:secret@host does not answer")
        if self.refused & set(messages):
            raise ValueError("cannot take it")
        self.got.append((key, list(messages)))

    def messages(self, key):
        return [message for each, messages in self.got if each == key for message in messages]


def sending(flaky, **options):
    is_outage = lambda error: isinstance(error, ConnectionError)  # noqa: E731
    return Sender(flaky, is_outage=is_outage, to="a list", interval_s=0.05, **options)


@pytest.fixture
def flaky():
    return Flaky()


@pytest.fixture
def sender(flaky):
    sender = sending(flaky)
    yield sender
    flaky.down = False
    sender.close(5)


def wait_until(condition, timeout_s=5.0):
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s, "it never happened"
        time.sleep(0.005)


def test_what_gathers_while_it_sends_goes_in_one_delivery(flaky, sender):
    sender.put(1, 0)
    wait_until(lambda: flaky.got)
    for message in range(1, 500):
        sender.put(1, message)
    assert sender.drain(5)
    assert flaky.messages(1) == list(range(500))
    assert flaky.attempts < 20


def test_an_outage_loses_and_repeats_nothing(flaky, sender, caplog):
    flaky.down = True
    for message in range(20):
        sender.put(message % 3, message)
    wait_until(lambda: flaky.attempts >= 2)
    assert not sender.drain(0.01)
    flaky.down = False
    assert sender.drain(5)
    for key in range(3):
        assert flaky.messages(key) == [message for message in range(20) if message % 3 == key]
    said = [record.message for record in caplog.records if record.levelno == logging.WARNING]
    assert len(said) == 2
    assert "does not answer; the search goes on" in said[0]
    assert said[1] == "a list answers again."


def test_one_key_the_server_cannot_digest_does_not_hold_up_the_others(flaky, sender):
    flaky.broken_keys = {0}
    sender.put(0, "stuck")
    wait_until(lambda: flaky.attempts >= 1)
    sender.put(1, "free")
    sender.put(2, "free too")
    wait_until(lambda: flaky.messages(1) and flaky.messages(2))
    flaky.broken_keys = set()
    assert sender.drain(5)
    assert flaky.messages(0) == ["stuck"]


def test_a_refused_record_is_lost_alone_and_named_at_the_end(flaky, caplog):
    sender = sending(flaky)
    flaky.refused = {"bad"}
    for message in ("good", "bad", "better"):
        sender.put(7, message)
    assert sender.close(5) == ["a record of trial 7: cannot take it"]
    assert flaky.messages(7) == ["good", "better"]
    assert "a list refuses a record of trial 7: cannot take it" in caplog.text


def test_the_study_is_delivered_after_its_trials(flaky):
    flaky.down = True
    sender = sending(flaky)
    for key in (STUDY, 3, 12):
        sender.put(key, "x")
    wait_until(lambda: flaky.attempts >= 3)
    flaky.down = False
    sender.close(5)
    assert [key for key, _ in flaky.got] == [3, 12, STUDY]


def test_when_full_it_refuses_only_what_may_be_dropped(flaky):
    flaky.down = True
    sender = sending(flaky, most=3)
    assert [sender.put(0, n, may_drop=True) for n in range(5)] == [True, True, True, False, False]
    assert sender.put(0, "end")
    flaky.down = False
    assert sender.close(5) == []
    assert flaky.messages(0) == [0, 1, 2, "end"]


def test_closing_in_an_outage_ends_in_time_and_says_what_is_left(flaky, caplog):
    flaky.down = True
    sender = sending(flaky)
    for key in (4, 4, STUDY):
        sender.put(key, "x")
    begin_s = time.monotonic()
    left = sender.close(1.5)
    assert time.monotonic() - begin_s < 4.5
    assert sorted(left) == ["1 records of the study", "2 records of trial 4"]
    assert "Sending the last 3 records to a list; giving up when" in caplog.text
    assert not sender.put(4, "late")
    assert sorted(sender.close(0.1)) == sorted(left)


def test_closing_does_not_wait_for_a_request_that_hangs():
    hang = threading.Event()
    sender = Sender(lambda *_: hang.wait(), is_outage=lambda _: True, to="a tar pit")
    sender.put(0, "x")
    begin_s = time.monotonic()
    assert sender.close(0.3) == ["1 records on their way"]
    assert time.monotonic() - begin_s < 2
    hang.set()


def test_handing_over_costs_microseconds_even_in_an_outage(flaky, sender):
    flaky.down = True
    begin_s = time.perf_counter()
    for message in range(10_000):
        sender.put(message % 8, message)
    assert (time.perf_counter() - begin_s) / 10_000 < 100e-6


def test_closing_goes_on_as_long_as_records_arrive(flaky):
    def slowly(key, messages):
        time.sleep(0.2)
        flaky(key, messages)

    sender = Sender(slowly, is_outage=lambda _: True, to="a slow list")
    for key in range(8):
        sender.put(key, "x")
    assert sender.close(0.7) == []
    assert len(flaky.got) == 8
