"""Small studies whose models take pictures, text, columns; and an environment without hpsearch."""

import contextlib
import os
import sys
from importlib.metadata import distribution, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import hpsearch
from hpsearch.deployment.package import write_package
from hpsearch.deployment.verified import of_study

MODELS = """
import keras
from keras import layers


def pictures(hp):
    hp.Fixed("units", 8)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(4, 3, activation="relu"),
            layers.Flatten(),
            layers.Dense(10, "softmax"),
        ]
    )
    return compiled(model)


def texts(hp):
    hp.Fixed("units", 4)
    body = [layers.Embedding(40, 4), layers.GlobalAveragePooling1D(), layers.Dense(1, "sigmoid")]
    model = keras.Sequential([keras.Input((8,), dtype="int32"), *body])
    model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    return model


def tables(hp, features=12):
    hp.Fixed("units", 4)
    model = keras.Sequential([keras.Input((features,)), layers.Dense(4, "relu"), layers.Dense(2, "softmax")])
    return compiled(model)


def compiled(model):
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model
"""

TABLE = "age,height,city,note,target\n" + "".join(
    f"{'' if row % 7 == 0 else 20 + row},{150 + row % 40},{('Rome', 'Paris', '')[row % 3]},"
    f"{('good; very good', 'bad food', 'good food')[row % 3]},{('no', 'yes')[row % 2]}\n"
    for row in range(60)
)

EXPERIMENT = """
name: {name}
model: {folder}/net.py:{name}
data: {data}
objective: val_accuracy
search: {{strategy: random, trials: 1, space: {{batch_size: 32}}}}
training: {{epochs: {epochs}}}
resources: {{executor: inline}}
tracking: {{uri: "sqlite:///{folder}/mlflow.db", report: false}}
workdir: {folder}/runs
"""

DATA = {
    "pictures": "{name: digits, options: {flat: false}}",
    "texts": "{name: phrases, options: {rows: 96, max_tokens: 40, length: 8}}",
    "tables": "{{name: csv, options: {{path: {folder}/table.csv, target: target, text: note}}}}",
}


@pytest.fixture(scope="session")
def deployed(tmp_path_factory):
    """The folder in which the studies are searched."""
    folder = tmp_path_factory.mktemp("deployed")
    (folder / "net.py").write_text(MODELS)
    (folder / "table.csv").write_text(TABLE)
    return folder


def search(folder, name, epochs=1):
    data = DATA[name].format(folder=folder) if name == "tables" else DATA[name]
    file = folder / f"{name}.yaml"
    file.write_text(EXPERIMENT.format(name=name, folder=folder, data=data, epochs=epochs))
    return hpsearch.search(hpsearch.Experiment.load(file))


@pytest.fixture(scope="session")
def pictures(deployed):
    return search(deployed, "pictures", epochs=3)


@pytest.fixture(scope="session")
def texts(deployed):
    return search(deployed, "texts")


@pytest.fixture(scope="session")
def tables(deployed):
    return search(deployed, "tables")


@pytest.fixture(scope="session")
def packages(tmp_path_factory):
    """Packages a study, once."""
    made = {}

    def package(study, fmt="float32"):
        if (study.name, fmt) not in made:
            folder = tmp_path_factory.mktemp("package") / f"{study.name}-{fmt}"
            write_package(of_study(study, fmt=fmt), folder, with_c_array=True)
            made[study.name, fmt] = folder
        return made[study.name, fmt]

    return package


def _needed(name, found):
    """Adds a distribution and all that it requires."""
    if name.lower() not in found:
        found[name.lower()] = distribution(name)
        for line in requires(name) or ():
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                _needed(requirement.name, found)
    return found


@pytest.fixture(scope="session")
def bare(tmp_path_factory):
    """Returns the start of a command: Python with NumPy and ai-edge-litert, and the environment for it."""
    site = tmp_path_factory.mktemp("site-packages")
    for each in _needed("ai-edge-litert", _needed("numpy", {})).values():
        for name in {Path(str(file)).parts[0] for file in each.files or ()} - {"..", "__pycache__"}:
            with contextlib.suppress(FileExistsError):
                (site / name).symlink_to(each.locate_file(name))
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    return [sys.executable, "-S"], {**environment, "PYTHONPATH": str(site)}
