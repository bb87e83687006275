"""What the workers of a machine share."""

import subprocess
import sys
import tempfile

import numpy as np
import psutil
import pytest

from hpsearch import shared as module
from hpsearch.datasets import load_data
from hpsearch.experiment import DataSection
from hpsearch.shared import shared, use


@pytest.fixture
def file(monkeypatch):
    monkeypatch.setattr(module, "_descriptor", None)
    with tempfile.TemporaryFile() as file:
        use(file.fileno())
        yield file


def _never():
    pytest.fail("it was loaded")


WORKER = """
import sys, time
import numpy as np
from hpsearch.shared import shared, use

use(int(sys.argv[1]))

def load():
    with open(sys.argv[2], "a") as loads:
        loads.write("x")
    time.sleep(0.3)
    if sys.argv[3] == "dies":
        raise SystemExit(9)
    return {"x": np.arange(100_000), "name": "rows"}

found = shared("rows", load)
print(found["x"].sum(), found["name"])
"""


def _worker(file, loads, how="lives"):
    command = [sys.executable, "-c", WORKER, str(file.fileno()), str(loads), how]
    return subprocess.Popen(command, pass_fds=[file.fileno()], stdout=subprocess.PIPE, text=True)


def test_processes_that_start_together_load_once(file, tmp_path):
    workers = [_worker(file, tmp_path / "loads") for _ in range(3)]
    told = [worker.communicate(timeout=60)[0] for worker in workers]
    assert told == [f"{sum(range(100_000))} rows\n"] * 3
    assert (tmp_path / "loads").read_text() == "x"


def test_another_loads_when_the_first_has_died(file, tmp_path):
    first = _worker(file, tmp_path / "loads", "dies")
    first.communicate(timeout=60)
    assert first.returncode == 9
    told = _worker(file, tmp_path / "loads").communicate(timeout=60)[0]
    assert told == f"{sum(range(100_000))} rows\n"
    assert (tmp_path / "loads").read_text() == "xx"


def test_half_a_copy_is_none(file):
    file.write(b"\0" * 64 + b"half of the rows")
    file.flush()
    assert shared("rows", lambda: [1, 2]) == [1, 2]
    assert shared("rows", _never) == [1, 2]


def test_memory_is_mapped_and_written_once(file):
    x = np.ones(8 * 1024**2)  # 64 MiB

    before = psutil.Process().memory_info().rss
    copy = shared("rows", lambda: {"x": x, "same": x.reshape(2, -1)})
    assert psutil.Process().memory_info().rss - before < x.nbytes / 4
    assert file.seek(0, 2) < x.nbytes + 4096
    np.testing.assert_array_equal(copy["x"], x)
    assert np.shares_memory(copy["x"], copy["same"])


def test_there_is_room_for_one_thing(file):
    assert shared("rows", lambda: 1) == 1
    assert shared("others", lambda: 2) == 2
    assert shared("rows", _never) == 1


def test_what_cannot_be_pickled_is_the_processs_own(file):
    def rows():
        yield from ()

    made = rows()
    assert shared("rows", lambda: made) is made
    assert file.seek(0, 2) == 0


def test_an_error_leaves_the_others_their_turn(file):
    with pytest.raises(ZeroDivisionError):
        shared("rows", lambda: 1 / 0)
    assert shared("rows", lambda: 1) == 1


def test_a_full_disk_is_no_error(small_disk, monkeypatch):
    monkeypatch.setattr(module, "_descriptor", None)
    with open(small_disk.path / "shared", "w+b") as file:
        use(file.fileno())
        rows = np.zeros(2**23)
        assert shared("rows", lambda: rows) is rows
        assert file.seek(0, 2) == 0


@pytest.mark.parametrize(
    "section",
    [
        DataSection(name="digits"),
        DataSection(name="digits", options={"reconstruct": True}),
        DataSection(name="phrases"),
        DataSection(name="given", target=({"a": np.arange(40.0), "b": np.ones((40, 2))}, np.arange(40) % 2)),
    ],
    ids=["arrays", "reconstructed", "text", "several inputs"],
)
def test_data_is_the_same_from_the_copy(file, monkeypatch, section):
    import hpsearch.datasets

    monkeypatch.setattr(hpsearch.datasets, "_last", [])
    first = load_data(section)
    hpsearch.datasets._last.clear()
    monkeypatch.setattr(hpsearch.datasets, "_load", _never)
    second = load_data(section)
    assert second is not first
    for part in ("train", "validation", "test"):
        pairs = zip(getattr(first, part).arrays(), getattr(second, part).arrays(), strict=True)
        for (label, array), (same, other) in pairs:
            assert label == same
            assert not other.flags.writeable
            np.testing.assert_array_equal(array, other)
    for fact in ("name", "task", "class_names", "digest", "input_shape"):
        assert getattr(first, fact) == getattr(second, fact)
    if first.preprocessing is not None:
        text = np.array(["a good film"])
        np.testing.assert_array_equal(first.preprocessing(text), second.preprocessing(text))
    assert (first.labelled is None) == (second.labelled is None)
