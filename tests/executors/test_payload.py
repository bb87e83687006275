from __future__ import annotations

import io
import os
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import psutil
import pytest

from hpsearch import mapped
from hpsearch.errors import SearchError, UsageError
from hpsearch.executors import payload


def written(objects):
    file = tempfile.TemporaryFile()  # noqa: SIM115
    payload.write(file, objects)
    return file


def test_arrays_are_mapped_not_copied():
    x = np.ones(8 * 1024**2, np.float64)  # 64 MiB
    with written({"x": x, "again": [x]}) as file:
        assert os.fstat(file.fileno()).st_size < x.nbytes + 4096  # once
        before = psutil.Process().memory_info().rss
        objects = payload.read(file.fileno())
        assert psutil.Process().memory_info().rss - before < x.nbytes / 4
    assert objects["again"][0] is objects["x"]
    assert objects["x"].ctypes.data % mapped.ALIGNMENT == 0
    np.testing.assert_array_equal(objects["x"], x)


def test_a_reader_writes_to_its_own_copy():
    with written({"x": np.zeros(1000), "odd": np.arange(3, dtype=np.int8)}) as file:
        one, two = payload.read(file.fileno()), payload.read(file.fileno())
    one["x"][0] = 1.0
    assert two["x"][0] == 0.0
    assert list(two["odd"]) == [0, 1, 2]


@dataclass
class Experiment:
    target: object
    others: dict[str, object] = field(default_factory=dict)


class Guarded:
    def __init__(self):
        self._guard = threading.Lock()

    def build(self, hp):
        return self._guard


def opened(hp):
    return hp


@pytest.mark.parametrize(
    ("made", "path"),
    [
        (lambda: Experiment(threading.Lock()), "perform(0).target: "),
        (lambda: Experiment(1, {"a": 1, "b": [0, Guarded()]}), "perform(0).others['b'][1]._guard: "),
        (lambda: Experiment(Guarded().build), "perform(0).target._guard: "),
        (lambda: Experiment(partial(opened, hp={"x": threading.Lock()})), "perform(0).target.hp['x']: "),
    ],
)
def test_the_smallest_unpicklable_part_is_named(made, path):
    with pytest.raises(UsageError) as caught:
        payload.write(io.BytesIO(), {"perform": partial(opened, made()), "warm_up": None})
    message = str(caught.value)
    assert message.startswith(path + "cannot be sent to the worker processes; "), message
    assert "`_thread.lock`" in message
    assert "resources.executor: inline" in message


def test_a_cycle_is_no_trap():
    one, two = Experiment(None), Experiment(None)
    one.target, two.target, two.others = two, one, {"lock": threading.Lock()}
    with pytest.raises(UsageError, match=r"perform\.target\.others\['lock'\]: "):
        payload.write(io.BytesIO(), {"perform": one})


def test_an_object_that_refuses_names_its_own_reason():
    class Session:
        def __reduce__(self):
            raise RuntimeError("a session belongs to its process")

    with pytest.raises(UsageError, match=r"Session` \(a session belongs to its process\)"):
        payload.write(io.BytesIO(), {"perform": Experiment(Session())})


def test_no_room_is_told_with_advice():
    with open("/dev/full", "wb") as file, pytest.raises(SearchError, match=r"No space left.*TMPDIR"):
        payload.write(file, {"x": np.zeros(10_000)})


def test_what_main_defines_is_found_there_by_name(tmp_path):
    (tmp_path / "script.py").write_text(
        "import subprocess, sys, tempfile\n"
        "from hpsearch.executors import payload\n"
        "class Layer: pass\n"
        "def loss(): return Layer\n"
        "def outer():\n    def inner(): pass\n    return inner\n"
        "file = tempfile.TemporaryFile()\n"
        "payload.write(file, {'perform': loss, 'inner': outer()})\n"
        "code = 'import sys, __main__; from hpsearch.executors import payload; '"
        " 'objects = payload.read(int(sys.argv[1])); '"
        ' \'print(objects["perform"]() is __main__.Layer, __main__.loss is objects["perform"], \''
        ' \'*sorted(n for n in vars(__main__) if n in ("Layer", "loss", "inner", "outer", "file")))\'\n'
        "fd = file.fileno()\n"
        "subprocess.run([sys.executable, '-c', code, str(fd)], pass_fds=[fd], check=True)\n"
    )
    done = subprocess.run(
        [sys.executable, tmp_path / "script.py"], capture_output=True, text=True, timeout=60
    )
    assert (done.stdout, done.stderr) == ("True True Layer loss\n", "")
