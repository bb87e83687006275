"""The pre-flight beside a search: when it is made, what it says, and that it leaves nothing behind."""

import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

import hpsearch
from hpsearch import companion, wiring
from hpsearch.companion import Pacer
from hpsearch.executors import process
from hpsearch.executors.priority import LOWEST
from hpsearch.listener import Listener
from hpsearch.outlook import Pace
from hpsearch.parts import Part
from hpsearch.testing.trials import overlapping
from hpsearch.trial import Epoch


def unexportable(hp):
    """A model that trains, but holds an operation that LiteRT has not; and too many units do not build."""
    import keras
    import tensorflow as tf

    @keras.saving.register_keras_serializable("test")
    class Digamma(keras.layers.Layer):
        def call(self, x):
            return tf.math.digamma(x + 2.0)

    units = hp.Int("units", 4, 16, default=8)
    if units > 12:
        raise ValueError("too wide")
    inputs = keras.Input((4,))
    x = keras.layers.Dense(units, activation="sigmoid")(inputs)
    model = keras.Model(inputs, keras.layers.Dense(3, activation="softmax")(Digamma()(x)))
    rate = hp.Float("rate", 1e-4, 1e-2, sampling="log")
    model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


class _UntilToldOf(Listener):
    """Stops the search, as a person would, once it has been told of something."""

    def __init__(self, what):
        self._what = what
        self.heard = []

    def on_message(self, text):
        self.heard.append(text)
        if self._what in text:
            os.kill(os.getpid(), signal.SIGINT)


def _experiment(folder, **changes):
    given = {
        "name": "beside",
        "workdir": str(folder),
        "model": unexportable,
        "data": overlapping(),
        "objective": "val_accuracy",
        "search": {"strategy": "random", "timeout_s": 600},
        "training": {"epochs": 30},
        "export": {"formats": ["float32", "keras"]},
        "resources": {"slots": 1},
        "tracking": {"uri": f"sqlite:///{folder}/mlflow.db", "report": False},
    }
    return hpsearch.Experiment(**(given | changes))


@pytest.mark.slow
def test_an_export_that_cannot_work_is_told_while_the_search_runs_and_once(tmp_path, monkeypatch):
    monkeypatch.setattr(companion, "AFTER_S", 0.0)
    monkeypatch.setattr(process, "give_way", lambda _: None)  # beside other tests it would take for ever
    listener = _UntilToldOf("Pre-flight: ")
    study = hpsearch.search(_experiment(tmp_path), listener=listener)
    assert study.state == "interrupted"  # it was in the middle
    told = "\n".join(listener.heard)
    assert "The untrained default model cannot be exported as float32: LiteRT: " in told
    assert "Digamma" in told
    assert "points do not build: " in told
    assert "too wide" in told
    assert re.search(r"The model does not build where `units` is 1[3-6] or more\.", told)
    summary = listener.heard[-1]
    assert "of 21 points build, the largest needs about 0.0 MiB to train" in summary
    assert "the default model can be exported as keras; the search takes at most about 10 min 0 s." in summary
    found = json.loads(study.files.preflight.read_text())
    assert summary == f"Pre-flight: {found['summary']}."
    assert found["pace"]["epoch_s"] > 0
    assert not (study.folder / "preflight").exists()

    def refuse(*_):
        raise AssertionError("a second pre-flight")

    monkeypatch.setattr(wiring, "companion", refuse)
    again = Listener()
    again.on_message = (heard := []).append
    budget = {"strategy": "random", "trials": len(study.trials)}
    hpsearch.search(_experiment(tmp_path, search=budget, export={"formats": ["keras"]}), listener=again)
    assert not any("pre-flight" in text.lower() for text in heard)


@pytest.mark.slow
@pytest.mark.parametrize("after_s", [0.0, None])
def test_a_short_search_has_none_and_a_failing_one_is_only_told(tmp_path, monkeypatch, after_s):
    if after_s is not None:
        monkeypatch.setattr(companion, "AFTER_S", after_s)
    begun = []

    def fail(*_):
        begun.append(1)
        raise OSError("no more processes")

    monkeypatch.setattr(wiring, "companion", fail)
    listener = Listener()
    listener.on_message = (heard := []).append
    search, export = {"strategy": "random", "trials": 2}, {"formats": ["keras"]}
    study = hpsearch.search(_experiment(tmp_path, search=search, export=export), listener=listener)
    assert study.state == "finished"
    assert len(begun) == (after_s == 0.0)
    said = "The pre-flight beside the search ended early: OSError: no more processes"
    assert (said in heard) == bool(begun)
    assert not study.files.preflight.exists()


RUN = """
import sys
from hpsearch import companion
from hpsearch.cli import main
companion.AFTER_S = 0.0
companion.POINTS = 100_000  # it will not be done
sys.argv[1:] = ["run", "x.yaml"]
main()
"""


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_it_gives_way_and_ends_with_the_search(tmp_path, how):
    text = """
        model: mlp
        data: blobs
        objective: val_accuracy
        search: {strategy: random, timeout_s: 900}
        training: {epochs: 3}
        resources: {slots: 1}
        tracking: {report: false}
        export: {formats: [keras]}
    """
    (tmp_path / "x.yaml").write_text(textwrap.dedent(text))
    searching = subprocess.Popen([sys.executable, "-c", RUN], cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    driver, beside = psutil.Process(searching.pid), []
    deadline_s = time.monotonic() + 120
    while not beside and time.monotonic() < deadline_s:  # it need not get as far as to work
        time.sleep(0.1)
        everyone = driver.children(recursive=True)
        beside = [each for each in everyone if each.nice() == LOWEST]
    for each in beside:
        assert each.environ()["CUDA_VISIBLE_DEVICES"] == "-1"
        assert each.pid == os.getpgid(each.pid)
        if Path("/proc").exists():
            assert Path(f"/proc/{each.pid}/oom_score_adj").read_text().strip() == "1000"
    assert len(beside) == 1
    assert len(everyone) > 1  # the search's own are as ever
    searching.send_signal(how)
    searching.communicate(timeout=30)
    assert searching.returncode == (130 if how == signal.SIGINT else -signal.SIGKILL)
    _, left = psutil.wait_procs(everyone, timeout=120)  # each as soon as it is given a core
    assert left == []
    assert not (tmp_path / "runs" / "x" / "preflight.json").exists()


def _epochs(pacer, number, ended_at_s, part=None):
    for count, at_s in enumerate(ended_at_s, start=1):
        pacer.add_epoch(number, Epoch(count, {}, at_s, part))


def _ended(number, epochs, duration_s):
    return SimpleNamespace(number=number, epochs=epochs, duration_s=duration_s)


def test_the_pace_is_that_of_the_trials():
    pacer = Pacer(1)
    assert pacer.pace is None
    _epochs(pacer, 0, [10.0, 12.0, 14.0])
    _epochs(pacer, 1, [20.0])
    assert pacer.pace == Pace(2.0, 0.0)
    pacer.add_trial(_ended(0, 3, 9.0))
    assert pacer.pace == Pace(2.0, 3.0)
    pacer.forget(1)  # it pauses
    pacer.add_epoch(1, Epoch(2, {}, 1000.0))
    assert pacer.pace == Pace(2.0, 3.0)


def test_the_pace_of_trials_of_one_epoch():
    pacer = Pacer(1)
    _epochs(pacer, 0, [10.0])
    assert pacer.pace is None
    pacer.add_trial(_ended(0, 1, 4.0))
    assert pacer.pace == Pace(4.0, 0.0)


def test_the_pace_of_trials_of_several_trainings():
    pacer = Pacer(2)
    for fold in range(2):
        _epochs(pacer, 0, [10.0 * fold + 1, 10.0 * fold + 2], Part(fold + 1, fold + 1))
        pacer.add_epoch(0, Epoch(fold + 1, {}, 10.0 * fold + 3))  # the mean so far
    pacer.add_trial(_ended(0, 4, 10.0))
    assert pacer.pace == Pace(1.0, 3.0)
