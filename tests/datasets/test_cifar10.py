"""CIFAR-10 in all its forms."""

import pickle

import keras
import numpy as np
import pytest

from hpsearch.datasets import load_data
from hpsearch.datasets.cifar10 import load
from hpsearch.errors import DataError
from hpsearch.experiment import DataSection

ROWS = 20
BATCHES = [f"data_batch_{number}" for number in range(1, 6)]


@pytest.fixture(scope="module")
def pictures():
    """As Keras returns them, 100 for training and 20 for the test."""
    generator = np.random.default_rng(0)
    x = generator.integers(0, 256, (6 * ROWS, 32, 32, 3)).astype(np.uint8)
    y = (np.arange(6 * ROWS) % 10).astype(np.uint8).reshape(-1, 1)
    return {"x_train": x[:100], "y_train": y[:100], "x_test": x[100:], "y_test": y[100:]}


def parts(pictures):
    """Yields each batch's name, its pixels as the files order them, and its labels."""
    x = np.concatenate([pictures["x_train"], pictures["x_test"]]).transpose(0, 3, 1, 2).reshape(-1, 3072)
    y = np.concatenate([pictures["y_train"], pictures["y_test"]]).reshape(-1)
    for number, name in enumerate([*BATCHES, "test_batch"]):
        rows = slice(number * ROWS, (number + 1) * ROWS)
        yield name, x[rows], y[rows]


def write_archive(folder, pictures):
    np.savez(folder / "cifar10.npz", **pictures)


def write_binary(folder, pictures):
    for name, x, y in parts(pictures):
        (folder / f"{name}.bin").write_bytes(np.column_stack([y, x]).tobytes())


def write_pickled(folder, pictures):
    """As Python 2 wrote them: keys that are bytes."""
    (folder / "cifar-10-batches-py").mkdir()
    for name, x, y in parts(pictures):
        batch = {b"data": x, b"labels": y.tolist(), b"batch_label": name.encode()}
        (folder / "cifar-10-batches-py" / name).write_bytes(pickle.dumps(batch, protocol=2))


@pytest.mark.parametrize("write", [write_archive, write_binary, write_pickled])
def test_every_form_gives_the_same_pictures(write, pictures, tmp_path):
    write(tmp_path, pictures)
    loaded = load(str(tmp_path), train_rows=70)
    assert loaded["x_train"].shape == (70, 32, 32, 3)
    assert loaded["x_train"].dtype == np.float32
    for part, rows in (("train", 70), ("test", 20)):
        np.testing.assert_allclose(loaded[f"x_{part}"] * 255, pictures[f"x_{part}"][:rows], rtol=1e-6)
        np.testing.assert_array_equal(loaded[f"y_{part}"], pictures[f"y_{part}"][:rows, 0])


def test_the_data_set_under_the_data_root(pictures, tmp_path, monkeypatch):
    (tmp_path / "cifar10").mkdir()
    write_archive(tmp_path / "cifar10", pictures)
    monkeypatch.setenv("HPSEARCH_DATA_DIR", str(tmp_path))
    data = load_data(DataSection(name="cifar10", validation=0.2))
    assert (len(data.train), len(data.validation), len(data.test)) == (80, 20, 20)
    assert (data.classes, data.class_names[3], data.input_shape) == (10, "cat", (32, 32, 3))


def test_keras_loads_what_is_in_no_folder(pictures, monkeypatch, tmp_path):
    monkeypatch.setenv("HPSEARCH_DATA_DIR", str(tmp_path))
    answer = (pictures["x_train"], pictures["y_train"]), (pictures["x_test"], pictures["y_test"])
    monkeypatch.setattr(keras.datasets.cifar10, "load_data", lambda: answer)
    np.testing.assert_array_equal(load()["y_test"], pictures["y_test"][:, 0])


def test_without_a_network_the_way_out_is_said(monkeypatch):
    def offline():
        raise OSError("URL fetch failure")

    monkeypatch.delenv("HPSEARCH_DATA_DIR", raising=False)
    monkeypatch.setattr(keras.datasets.cifar10, "load_data", offline)
    with pytest.raises(DataError, match=r"cannot be downloaded.*URL fetch failure.*`data.options.path`"):
        load()


class Evil:
    def __reduce__(self):
        return (print, ("this must not run",))


def cut(folder, pictures):
    write_binary(folder, pictures)
    (folder / "data_batch_3.bin").write_bytes(bytes(3000))


def incomplete(folder, pictures):
    write_binary(folder, pictures)
    (folder / "data_batch_5.bin").unlink()


def evil(folder, pictures):
    write_pickled(folder, pictures)
    (folder / "cifar-10-batches-py" / "data_batch_1").write_bytes(pickle.dumps(Evil()))


def other_keys(folder, pictures):
    np.savez(folder / "cifar10.npz", x_train=pictures["x_train"], y_train=pictures["y_train"])


def grey(folder, pictures):
    np.savez(folder / "cifar10.npz", **{**pictures, "x_test": pictures["x_test"][..., :1]})


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (cut, r"data_batch_3.bin: is cut off; expected a multiple of 3073 bytes.*received 3000 bytes"),
        (incomplete, "holds no data_batch_5.bin"),
        (evil, "data_batch_1: not a batch of CIFAR-10.*it refers to builtins.print"),
        (other_keys, "cifar10.npz: has no x_test, y_test"),
        (grey, r"x_test and y_test are not CIFAR-10's.*received \(20, 32, 32, 1\)"),
        (
            lambda *_: None,
            r"data.options.path: `.*` holds no data_batch_1; expected a folder with cifar10.npz",
        ),
    ],
)
def test_what_is_wrong_with_the_files_is_said(write, message, pictures, tmp_path, capsys):
    write(tmp_path, pictures)
    with pytest.raises(DataError, match=message):
        load(str(tmp_path))
    assert "must not run" not in capsys.readouterr().out


def test_what_is_wrong_with_the_options_is_said(pictures, tmp_path):
    write_archive(tmp_path, pictures)
    with pytest.raises(DataError, match=r"data.options.train_rows: out of range; expected 1 to 100"):
        load(str(tmp_path), train_rows=101)
    with pytest.raises(DataError, match="`/no/where` does not exist"):
        load("/no/where")
