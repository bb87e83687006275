"""Which backend a process gets, and that a missing one is said before a worker is started."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import hpsearch
from hpsearch import backends
from hpsearch.errors import ExperimentError
from hpsearch.experiment import Experiment
from hpsearch.testing.trials import overlapping, small


def experiment(**training):
    return Experiment(name="t", model=small, data=overlapping(), objective="val_loss", training=training)


def test_a_missing_package_is_named_with_what_installs_it(monkeypatch):
    monkeypatch.setattr(backends, "find_spec", lambda name: None)
    for backend, package in (
        ("jax", "hpsearch[jax]"),
        ("torch", "hpsearch[torch]"),
        ("tensorflow", "hpsearch"),
    ):
        with pytest.raises(ExperimentError) as caught:
            hpsearch.check(experiment(backend=backend))
        assert str(caught.value) == (
            f"Experiment: training.backend: the package `{backend}` is not installed."
            f" Run `pip install '{package}'`."
        )


def test_workers_are_told_and_tensorflow_leaves_the_gpu_to_others():
    assert backends.environment("tensorflow") == {"KERAS_BACKEND": "tensorflow"}
    told = {"KERAS_BACKEND": "jax", "TF_FORCE_GPU_ALLOW_GROWTH": "true"}
    assert backends.environment("jax") == told


def test_what_jax_compiled_is_kept_where_it_is_told_unless_the_user_says_where(monkeypatch):
    name, folder = "JAX_COMPILATION_CACHE_DIR", Path("/runs/.jax")
    monkeypatch.delenv(name, raising=False)
    assert backends.environment("jax", cache=folder)[name] == "/runs/.jax"
    assert name not in backends.environment("torch", cache=folder)
    monkeypatch.setenv(name, "/mine")
    assert name not in backends.environment("jax", cache=folder)


def test_a_variable_that_asks_for_another_is_not_silently_left(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    assert backends.not_read("tensorflow") == (
        "KERAS_BACKEND=jax is not read: training.backend is tensorflow.",
    )
    assert backends.not_read("jax") == ()
    monkeypatch.delenv("KERAS_BACKEND")
    assert backends.not_read("torch") == ()


def test_it_is_tensorflow_unless_it_is_given_and_part_of_the_identity():
    assert experiment().identity()["training.backend"] == "tensorflow"
    assert experiment(backend="jax").digest() != experiment().digest()


@pytest.mark.parametrize(
    ("training", "message"),
    [
        ({"backend": "theano"}, r"unknown value; expected one of tensorflow, jax, torch; received 'theano'"),
        (
            {"backend": "jax", "distribute": "data"},
            "only the backend `tensorflow` .* several devices.*received distribute=data, backend=jax",
        ),
        (
            {"backend": "torch", "steps_per_execution": "epoch"},
            "the backend `torch` takes one step at a time.*received steps_per_execution=epoch, backend=torch",
        ),
    ],
)
def test_what_a_backend_cannot_do_is_said_when_the_experiment_is_read(training, message):
    with pytest.raises(ExperimentError, match=message):
        experiment(**training)


@pytest.mark.slow
def test_a_process_that_has_keras_keeps_its_backend(tmp_path):
    """In this process trials cannot run then; what to do is said."""
    code = (
        "import keras, hpsearch\n"
        "from hpsearch.testing.trials import overlapping, small\n"
        "data, inline = overlapping(), {'executor': 'inline'}\n"
        "hpsearch.check(hpsearch.Experiment(name='t', model=small, data=data, objective='val_loss',\n"
        "    training={'backend': 'jax'}, resources=inline))\n"
    )
    pytest.importorskip("jax")
    environment = {**os.environ, "KERAS_BACKEND": "torch"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.stderr.strip().splitlines()[-1] == (
        "hpsearch.errors.UsageError: Experiment: training.backend: Keras was imported with another backend in"
        " this process, and keeps it; expected jax; received torch. Use `resources.executor: local`, or set"
        " the environment variable KERAS_BACKEND=jax before anything imports Keras."
    )
