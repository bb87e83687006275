"""HDF5 files: inputs stay on disk, a batch is read when it is needed."""

import json
import subprocess
import sys

import h5py
import numpy as np
import pytest

from hpsearch.datasets import load_data
from hpsearch.datasets.streamed import Streamed
from hpsearch.errors import DataError
from hpsearch.experiment import DataSection, Experiment
from hpsearch.testing.trials import FakeDriver, overlapping, small
from hpsearch.training.run import run_trial
from hpsearch.trial import Result, TrialSpec

X, Y = overlapping()


def section(path, seed=0, name="hdf5", **options):
    return DataSection(name=name, options={"path": str(path), **options}, seed=seed)


def write(path, **arrays):
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file[name] = array
    return path


@pytest.fixture
def file(tmp_path):
    return write(tmp_path / "rows.h5", x=X, y=Y)


def test_rows_are_those_of_the_same_arrays_in_memory(file):
    streamed = load_data(section(file))
    in_memory = load_data(DataSection(name="arrays", target=(X, Y)))
    assert isinstance(streamed.train.x, Streamed)
    assert streamed.input_shape == (4,)
    assert streamed.classes == 3
    assert streamed.summary().shapes == in_memory.summary().shapes
    for part in ("train", "validation", "test"):
        ours, theirs = getattr(streamed, part), getattr(in_memory, part)
        np.testing.assert_array_equal(ours.y, theirs.y)
        np.testing.assert_array_equal(ours.x[:], theirs.x)
        rows = np.array([3, 1, 1, 0])
        np.testing.assert_array_equal(ours.take(rows).x, theirs.take(rows).x)
        np.testing.assert_array_equal(ours.x[2:7], theirs.x[2:7])


def test_a_trial_is_the_same_as_on_arrays_in_memory(file, tmp_path):
    results = []
    for name, data in (("disk", section(file)), ("memory", DataSection(name="arrays", target=(X, Y)))):
        experiment = Experiment(
            name=name,
            model=small,
            data=data,
            objective="val_f1_macro",
            training={"epochs": 2, "batch_size": 16},
        )
        spec = TrialSpec(0, {}, seed=3, folder=str(tmp_path / name))
        results.append(run_trial(experiment, spec, FakeDriver()))
    disk, memory = results
    assert isinstance(disk, Result), disk
    assert disk.metrics == memory.metrics


def test_splits_groups_and_names_of_ones_own(tmp_path):
    names = np.array([f"kind {label}" for label in Y], dtype=object)
    given = write(tmp_path / "given.h5", x_train=X, y_train=Y, x_test=X[:30], y_test=Y[:30])
    assert load_data(section(given)).summary().sizes == {"train": 96, "validation": 24, "test": 30}
    several = write(tmp_path / "several.h5", **{"in/a": X, "in/b": X[:, :2].astype("f8"), "label": names})
    data = load_data(section(several, x="in", y="label"))
    assert data.input_shape == {"a": (4,), "b": (2,)}
    assert data.class_names == ("kind 0", "kind 1", "kind 2")
    assert data.train.take(slice(5)).x["b"].dtype == np.float32


def test_weights_of_rows(tmp_path):
    data = load_data(section(write(tmp_path / "w.h5", x=X, y=Y, sample_weight=X[:, 0] + 10)))
    np.testing.assert_array_equal(data.train.sample_weight, data.train.x[:][:, 0] + 10)


def test_the_digest_sees_splits_and_values(file, tmp_path):
    digest = load_data(section(file)).digest
    assert load_data(section(file, seed=1)).digest != digest
    assert load_data(section(write(tmp_path / "same.h5", x=X, y=Y))).digest == digest
    assert load_data(section(write(tmp_path / "other.h5", x=X + 1, y=Y))).digest != digest


MEASURE = """
import resource, sys
import h5py, numpy as np, sklearn.model_selection
from hpsearch.datasets import load_data
from hpsearch.experiment import DataSection
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
data = load_data(DataSection(name="hdf5", options={"path": sys.argv[1]}))
order = np.random.default_rng(0).permutation(len(data.train))
for start in range(0, len(order), 32):
    data.train.x[order[start:start + 32]]
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def test_an_epoch_needs_a_fraction_of_the_files_size_in_memory(tmp_path):
    rows, width = 1600, 16_384  # 100 MB
    with h5py.File(tmp_path / "large.h5", "w") as file:
        x = file.create_dataset("x", (rows, width), "f4")
        for start in range(0, rows, 200):
            x[start : start + 200] = 1.0
        file["y"] = np.arange(rows) % 2
    command = [sys.executable, "-c", MEASURE, str(tmp_path / "large.h5")]
    out = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(out.stdout) < 25


TRAIN = """
import json, resource, sys
import h5py, keras, numpy as np
from hpsearch.datasets import load_data
from hpsearch.experiment import Experiment
from hpsearch.testing.trials import FakeDriver, small, overlapping
from hpsearch.training.evaluate import evaluate
from hpsearch.training.run import run_trial
from hpsearch.trial import Evaluation, TrialSpec

file, folder, limit = sys.argv[1], sys.argv[2], int(sys.argv[3])

class OwnStep(keras.Model):  # measured by Keras's `evaluate` and `predict`
    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(1, activation="sigmoid")
    def call(self, x):
        return self.dense(x)
    def test_step(self, data):
        return super().test_step(data)

def build(hp):
    model = OwnStep() if hp.Boolean("own_step") else keras.Sequential([keras.layers.Dense(1, "sigmoid")])
    model.compile(keras.optimizers.SGD(0.1), "binary_crossentropy", metrics=["accuracy"])
    return model

def trial(number, model, data, **params):
    experiment = Experiment(name="t", model=model, data=data, objective="val_loss", training={"epochs": 1})
    return experiment, run_trial(experiment, TrialSpec(number, params, 3, f"{folder}/{number}"), FakeDriver())

with h5py.File(f"{folder}/tiny.h5", "w") as tiny:
    tiny["x"], tiny["y"] = overlapping()
trial(0, small, {"name": "hdf5", "options": {"path": f"{folder}/tiny.h5"}})  # makes threads and graphs
in_use = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmData")) * 1024
resource.setrlimit(resource.RLIMIT_DATA, (in_use + limit, -1))

data = {"name": "hdf5", "options": {"path": file}}
found = {}
for number, own_step in ((1, False), (2, True)):
    experiment, result = trial(number, build, data, own_step=own_step)
    found[number] = [getattr(result, "cause", None) or result.metrics["val_accuracy"]]
    if number == 1:
        tested = evaluate(experiment, Evaluation(1, f"{folder}/1/model.keras", f"{folder}/test"))
        found[number].append(getattr(tested, "cause", None) or tested.metrics["test_accuracy"])
try:
    load_data(experiment.data).train.x[:]
except MemoryError:
    found["the limit holds"] = True
print(json.dumps(found))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's limit of a process's data")
def test_a_trial_trains_in_a_quarter_of_the_files_size(tmp_path):
    rows, width, told = 12_800, 16_384, 16
    size = rows * width * 4  # 800 MB, most of it a hole in the file
    y = np.arange(rows) % 2
    with h5py.File(tmp_path / "large.h5", "w") as file:
        x = file.create_dataset("x", (rows, width), "f4")
        x[:, :told] = np.random.default_rng(0).normal(size=(rows, told)) + 0.7 * (2 * y[:, None] - 1)
        file["y"] = y
    assert (tmp_path / "large.h5").stat().st_size > size
    command = [sys.executable, "-c", TRAIN, str(tmp_path / "large.h5"), str(tmp_path), str(size // 4)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found.pop("the limit holds")
    assert all(value > 0.95 for values in found.values() for value in values), found


BROKEN = [
    ({"y": Y}, {}, ["data.options.x", "rows.h5 has no `x`", "expected y"]),
    ({"x": X, "labels": Y}, {}, ["data.options.y", "has no `y`", "labels"]),
    ({"x": X, "y": Y}, {"x": "X"}, ["has no `X`"]),
    ({"x": X, "y": Y[:50]}, {}, ["data hdf5: the arrays differ in length", "x: 120, y: 50"]),
    ({"x": 3.0, "y": Y}, {}, ["rows.h5: /x: cannot be an input", "shape ()"]),
    ({"x": np.array([b"a", b"b"]), "y": Y[:2]}, {}, ["/x: cannot be an input", "type |S1"]),
    ({"x": X, "y/deep": Y}, {}, ["rows.h5: /y: is no array"]),
    ({"x": X, "y": np.where(Y == 1, np.nan, Y)}, {}, ["the target has missing or infinite values", "40 NaN"]),
]


@pytest.mark.parametrize(("arrays", "options", "said"), BROKEN, ids=[row[2][-1] for row in BROKEN])
def test_what_is_wrong_is_said(arrays, options, said, tmp_path):
    with pytest.raises(DataError) as caught:
        load_data(section(write(tmp_path / "rows.h5", **arrays), **options))
    assert [part for part in said if part not in str(caught.value)] == [], str(caught.value)


def test_a_file_that_is_none_is_said(tmp_path):
    with pytest.raises(DataError, match=r"data.options.path: the file does not exist"):
        load_data(section(tmp_path / "no.h5"))
    (tmp_path / "text.h5").write_text("hello")
    with pytest.raises(DataError, match=r"text.h5: cannot be read as HDF5"):
        load_data(section(tmp_path / "text.h5"))
