"""An export in a process of its own: whatever happens to it, the caller gets an outcome."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hpsearch.errors import ModelError
from hpsearch.export import child
from hpsearch.references import resolve
from hpsearch.trial import Export, ExportResult, Failure, FailureKind

DOUBLED = """
import keras

@keras.saving.register_keras_serializable("mine")
class Doubled(keras.layers.Layer):
    def call(self, x):
        return 2 * x

def save(folder):
    model = keras.Sequential([keras.layers.Input((3,), name="x"), keras.layers.Dense(2), Doubled()])
    model.save(f"{folder}/model.keras")
"""

CRASH = """
import faulthandler, os, signal
import hpsearch.export.deliver
from mine import Doubled

faulthandler.disable()

def crash(*args, **options):
    print("the last words", flush=True)
    os.kill(os.getpid(), signal.SIGSEGV)

hpsearch.export.deliver.verify = crash
"""

ABSENT = Export(model="/nowhere/model.keras", samples="/nowhere/samples.npz", target="/nowhere/best.tflite")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Holds a model with a class of its own, defined in `mine.py`."""
    folder = tmp_path_factory.mktemp("exported [in] a child")
    (folder / "mine.py").write_text(DOUBLED)
    (folder / "crash.py").write_text(CRASH)
    save = resolve(f"{folder}/mine.py:save", where="test", error=ModelError)
    save(folder)
    np.savez(folder / "samples.npz", x=np.random.default_rng(0).normal(size=(5, 3)))
    return folder


def job(folder: Path, target: str) -> Export:
    return Export(
        str(folder / "model.keras"), str(folder / "samples.npz"), str(folder / target / "best.tflite")
    )


@pytest.mark.slow
def test_child_exports_a_model_with_a_class_of_the_users(folder):
    result = child.export(
        dataclasses.replace(job(folder, "right"), class_names=("a", "b")),
        imports=[f"{folder}/mine.py:Doubled"],
    )
    assert isinstance(result, ExportResult), result
    assert Path(result.path).stat().st_size == result.size_bytes
    assert result.samples == 5
    assert isinstance(result.ops, tuple)
    assert '"class_names": [\n    "a"' in Path(f"{result.path}.json").read_text()


@pytest.mark.slow
def test_crash_costs_only_the_child(folder):
    failure = child.export(job(folder, "crash"), imports=[f"{folder}/crash.py:crash"])
    assert isinstance(failure, Failure)
    assert failure.kind is FailureKind.CRASH
    assert failure.cause == "The converter's process was killed by SIGSEGV."
    assert "the last words" in failure.detail
    assert list((folder / "crash").iterdir()) == []


def test_child_that_takes_too_long_is_ended(tmp_path):
    (tmp_path / "sleep.py").write_text("import time\ntime.sleep(100)\n")
    failure = child.export(ABSENT, imports=[f"{tmp_path}/sleep.py:x"], timeout_s=1)
    assert isinstance(failure, Failure)
    assert failure.kind is FailureKind.TIMEOUT
    assert failure.cause == "The export took longer than its 1 s."


def test_failure_comes_back_as_a_value():
    failure = child.export(ABSENT)
    assert isinstance(failure, Failure)
    assert failure.kind is FailureKind.DATA
    assert failure.usage
    assert failure.cause.startswith("/nowhere/samples.npz: the samples do not exist")


def test_import_that_fails_is_the_users_mistake(tmp_path):
    failure = child.export(ABSENT, imports=[f"{tmp_path}/absent.py:Layer"])
    assert isinstance(failure, Failure)
    assert failure.usage
    assert "the file does not exist" in failure.cause


def test_caller_does_not_import_tensorflow():
    code = "import sys, hpsearch.export.child; print(sorted({'keras', 'tensorflow'} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"
