"""A saved model with the user's own layers loads back in another process."""

import subprocess
import sys

import cloudpickle
import keras
import pytest

from hpsearch.errors import ModelError
from hpsearch.experiment import ModelSection
from hpsearch.models import register_custom_objects
from hpsearch.references import resolve

NET = """
import keras

class Doubled(keras.layers.Layer):
    def call(self, x):
        return 2 * x

def swing(x):
    return keras.ops.sin(x)

def build(hp):
    return keras.Sequential([keras.Input((2,)), Doubled(), keras.layers.Activation(swing)])
"""

LOAD = """
import sys, cloudpickle, keras, numpy as np
from hpsearch.models import register_custom_objects
for given in sys.argv[1:]:
    keras.saving.get_custom_objects().clear()
    register_custom_objects(cloudpickle.load(open(f"{given}.pkl", "rb")))
    print(float(keras.models.load_model(f"{given}.keras")(np.ones((1, 2)))[0, 0]))
"""


def test_own_layers_and_functions_load_in_another_process(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "hp_custom_net.py").write_text(NET)
    in_a_file = ModelSection(name=f"{tmp_path}/hp_custom_net.py:build")
    notebook = {"__name__": "__main__"}
    exec(NET, notebook)
    from_a_notebook = ModelSection(name="build", target=notebook["build"])
    builds = {
        "file": (in_a_file, resolve(in_a_file.name, where="model.name", error=ModelError)),
        "notebook": (from_a_notebook, notebook["build"]),
    }
    for given, (section, build) in builds.items():
        build(None).save(tmp_path / f"{given}.keras")
        (tmp_path / f"{given}.pkl").write_bytes(cloudpickle.dumps(section))
    command = [sys.executable, "-c", LOAD, *builds]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    assert [float(line) for line in done.stdout.split()] == pytest.approx([0.9092974] * 2, abs=1e-6)


def test_a_function_called_like_keras_own_does_not_replace_it():
    def relu(x):
        return x

    def build(hp):
        return relu

    register_custom_objects(ModelSection(name="build", target=build))
    assert keras.activations.get("relu") is keras.activations.relu


def test_built_in_models_need_nothing():
    before = dict(keras.saving.get_custom_objects())
    register_custom_objects(ModelSection(name="mlp"))
    assert keras.saving.get_custom_objects() == before
