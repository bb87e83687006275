"""Data sets become `Data`: found, loaded, split once, always the same way."""

import gzip
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hpsearch.datasets import describe, load_data, names
from hpsearch.errors import DataError
from hpsearch.experiment import DataSection

BUILT_IN = ("blobs", "digits", "fashion_mnist", "mnist", "npz", "plane")


def section(name="blobs", **changes):
    return DataSection(name=name, **changes)


def given(target, **changes):
    return DataSection(name="given", target=target, **changes)


def unchecked(**changes):
    return section().model_copy(update=changes)


def write_idx(path: Path, array: np.ndarray) -> None:
    header = bytes([0, 0, 8, array.ndim]) + b"".join(size.to_bytes(4, "big") for size in array.shape)
    path.write_bytes(gzip.compress(header + array.astype(np.uint8).tobytes()))


@pytest.fixture
def mnist_folder(tmp_path):
    generator = np.random.default_rng(0)
    for prefix, rows in (("train", 60), ("t10k", 20)):
        write_idx(tmp_path / f"{prefix}-images-idx3-ubyte.gz", generator.integers(0, 256, (rows, 28, 28)))
        write_idx(tmp_path / f"{prefix}-labels-idx1-ubyte.gz", np.arange(rows) % 10)
    return tmp_path


def test_built_in_data_sets_are_found_by_their_files():
    assert set(names()) >= set(BUILT_IN)
    assert all(describe(name) for name in names())


def test_the_list_needs_no_heavy_library():
    code = (
        "import sys, hpsearch.datasets as d; d.names(); [d.describe(n) for n in d.names()];"
        "print([m for m in ('keras', 'tensorflow', 'sklearn', 'pandas') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_digits_is_scaled_and_split_by_class():
    data = load_data(section("digits"))
    assert data.input_shape == (64,)
    assert data.classes == 10
    assert data.task == "classification"
    assert data.class_names == tuple("0123456789")
    assert data.summary().sizes == {"train": 1079, "validation": 359, "test": 359}
    assert data.summary().shapes == {"x": "(64,) float32", "y": "() int32"}
    assert data.train.x.min() == 0.0
    assert data.train.x.max() == 1.0
    for split in (data.train, data.validation, data.test):
        share = np.bincount(split.y) / len(split)
        np.testing.assert_allclose(share, 0.1, atol=0.01)


def test_digits_as_images():
    assert load_data(section("digits", options={"flat": False})).input_shape == (8, 8, 1)


def test_every_row_is_in_exactly_one_split():
    x = np.arange(100, dtype=np.float32).reshape(100, 1)
    data = load_data(given((x, x[:, 0] * 0.5), validation=0.1, test=0.3))
    parts = [data.train.x, data.validation.x, data.test.x]
    assert [len(part) for part in parts] == [60, 10, 30]
    assert sorted(np.concatenate(parts)[:, 0]) == list(range(100))
    for split in (data.train, data.validation, data.test):
        np.testing.assert_array_equal(split.x[:, 0] * np.float32(0.5), split.y)


def test_the_split_depends_on_the_seed_alone():
    first, other = load_data(section(seed=1)), load_data(section(seed=2))
    np.random.seed(99)
    again = load_data(section(seed=1))
    assert first.digest == again.digest != other.digest
    np.testing.assert_array_equal(first.test.x, again.test.x)


def test_an_equal_section_is_loaded_once():
    calls = []

    def loader(rows):
        calls.append(rows)
        return np.zeros((rows, 2)), np.arange(rows) * 0.5

    one = load_data(given(loader, options={"rows": 20}))
    assert load_data(given(loader, options={"rows": 20})) is one
    assert load_data(given(loader, options={"rows": 30})) is not one
    assert calls == [20, 30]


def test_arrays_are_read_only_and_the_users_stay_writable():
    x, y = np.zeros((20, 2), np.float32), np.arange(20, dtype=np.float32)
    data = load_data(given(((x[:10], y[:10]), (x[10:], y[10:]))))
    with pytest.raises(ValueError, match="read-only"):
        data.test.x[0] = 1
    x[0] = 1


def test_the_digest_sees_values_types_and_splits():
    x, y = np.arange(40.0).reshape(20, 2), np.arange(20) * 0.5
    digest = load_data(given((x, y))).digest
    assert len(digest) == 16
    assert digest == load_data(given((x.copy(), y.copy()))).digest
    changed = x.copy()
    changed[3, 1] += 1e-3
    assert digest != load_data(given((changed, y))).digest
    assert digest != load_data(given((x.astype(np.int64), y))).digest
    assert digest != load_data(given((x, y), seed=1)).digest


def test_mnist_from_a_folder_of_idx_files(mnist_folder):
    data = load_data(section("mnist", options={"path": str(mnist_folder), "flat": True, "train_rows": 50}))
    assert data.summary().sizes == {"train": 40, "validation": 10, "test": 20}
    assert data.input_shape == (784,)
    assert data.train.x.dtype == np.float32
    assert data.test.x.max() <= 1.0
    np.testing.assert_array_equal(data.test.y, np.arange(20) % 10)


def test_mnist_under_the_data_root(mnist_folder, monkeypatch):
    (mnist_folder.parent / "fashion_mnist").symlink_to(mnist_folder)
    monkeypatch.setenv("HPSEARCH_DATA_DIR", str(mnist_folder.parent))
    data = load_data(section("fashion_mnist"))
    assert data.input_shape == (28, 28, 1)
    assert data.class_names[9] == "Ankle boot"


def test_npz_with_its_own_test_rows(tmp_path):
    x = np.arange(30, dtype=np.float32).reshape(30, 1)
    np.savez(tmp_path / "d.npz", x_train=x[:20], y_train=x[:20, 0], x_test=x[20:], y_test=x[20:, 0])
    data = load_data(section("npz", options={"path": str(tmp_path / "d.npz")}, validation=0.25))
    np.testing.assert_array_equal(data.test.x, x[20:])
    assert (len(data.train), len(data.validation)) == (15, 5)
    assert data.task == "regression"


def test_a_loader_in_a_file_may_import_its_neighbours(tmp_path, monkeypatch):
    (tmp_path / "my_neighbour_rows.py").write_text("ROWS = 30\n")
    (tmp_path / "my_loader.py").write_text(
        "import numpy as np\nfrom my_neighbour_rows import ROWS\n"
        "def load(scale=1.0):\n    return np.ones((ROWS, 2)) * scale, np.arange(ROWS) * 0.5\n"
    )
    monkeypatch.setattr(sys, "path", list(sys.path))
    data = load_data(section(f"{tmp_path}/my_loader.py:load", options={"scale": 3}))
    assert len(data.train) == 18
    assert data.train.x[0, 0] == 3


X, Y = np.zeros((40, 3)), np.arange(40) * 0.5


@pytest.mark.parametrize(
    "target",
    [
        (X, Y),
        (X, Y, np.ones(40)),
        ((X, Y), (X, Y)),
        ((X, Y), (X, Y), (X, Y)),
        ([[1.0]] * 40, list(Y)),
        {"x": X, "y": Y, "sample_weight": np.ones(40)},
        {"x_train": X, "y_train": Y, "x_val": X, "y_val": Y, "x_test": X, "y_test": Y},
        {"x": {"left": X, "right": X[:, :2]}, "y": Y},
        lambda: (X, Y),
        lambda: load_data(given((X, Y))),
    ],
)
def test_forms_a_loader_may_return(target):
    data = load_data(given(target))
    assert data.task == "regression"
    assert len(data.validation)
    assert len(data.test)


def test_several_inputs_stay_together():
    rows = np.arange(50)
    data = load_data(given({"x": {"a": rows[:, None], "b": -rows[:, None]}, "y": rows * 0.5}))
    assert data.input_shape == {"a": (1,), "b": (1,)}
    np.testing.assert_array_equal(data.train.x["a"], -data.train.x["b"])
    np.testing.assert_array_equal(data.train.x["a"][:, 0], data.train.y * 2)
    assert list(data.summary().shapes) == ["x[a]", "x[b]", "y"]


def test_sample_weights_follow_their_rows():
    rows = np.arange(50)
    data = load_data(given((rows[:, None], rows * 0.5, rows.astype(float))))
    np.testing.assert_array_equal(data.test.x[:, 0], data.test.sample_weight)


BROKEN = [
    (section("digts"), "data.name: unknown data set; expected blobs, ", "Did you mean `digits`?"),
    (
        section("digits", options={"flatt": True}),
        "unexpected keyword argument 'flatt'",
        "Did you mean `flat`?",
    ),
    (
        section("npz"),
        "missing a required argument: 'path'",
        "expected options among path, task, stratify, one_hot",
    ),
    (section("npz", options={"path": "no.npz"}), "data.options.path: the file does not exist", "no.npz"),
    (section("no_such_module:load"), "there is no module `no_such_module`", "path/to/file.py:name"),
    (section("no/such/file.py:load"), "data.name: the file does not exist", "no/such/file.py"),
    (section("json:lod"), "`json` has no `lod`", "Did you mean `load`?"),
    (section(":load"), "half a reference", ":load"),
    (
        section("mnist", options={"path": "/no/where"}),
        "`/no/where` does not exist",
        "the four IDX files of mnist",
    ),
    (unchecked(test=1.5), "data.test: out of range", "received 1.5"),
    (unchecked(test=0.5, validation=0.5), "no rows are left for training", "received 0.5 + 0.5"),
    (section(options={"rows": 6}), "6 rows are too few to split", "1 rows for test, 3 classes"),
    (section(options={"task": "ranking"}), "data.options.task: unknown task", "received ranking"),
    (section(options={"one_hot": "yes"}), "data.options.one_hot: wrong value", "received yes"),
    (given((X, Y[:30])), "data given: the arrays differ in length", "x: 40, y: 30"),
    (given((X[:0], Y[:0])), "there are no rows", "x: 0"),
    (given({"x": X}), "data given: there is no `y`", "received x"),
    (given({"x": X, "y": Y, "Z": 1}), "unknown key `Z`", "x, y, Z"),
    (given({"x": X, "y": Y, "x_train": X}), "both `x` and `x_train`", ""),
    (given(42), "not a form that is understood", "received int"),
    (given((X, Y), options={"a": 1}), "the data is given, nothing loads it", "received a"),
    (given(lambda: None), "the loader returned nothing", ""),
    (
        given(lambda: 1 / 0),
        "the loader failed; received ZeroDivisionError: division by zero",
        "test_load_data.py:",
    ),
    (given((np.array([{}] * 40), Y)), "`x` is not an array", "values of type dict"),
    (given((X, Y), validation=0.01), "40 rows are too few to split", "0 rows for validation"),
    (given(((X, Y), (X[:, :2], Y))), "the splits' inputs differ", "(3,)"),
]


@pytest.mark.parametrize(("broken", "problem", "detail"), BROKEN, ids=[row[1][:40] for row in BROKEN])
def test_what_is_wrong_is_said(broken, problem, detail):
    with pytest.raises(DataError) as caught:
        load_data(broken)
    assert problem in str(caught.value)
    assert detail in str(caught.value)
    assert "\n" not in str(caught.value)


def test_malformed_files_are_said(tmp_path, mnist_folder):
    (tmp_path / "text.npz").write_text("hello")
    with pytest.raises(DataError, match="cannot be read as a NumPy archive"):
        load_data(section("npz", options={"path": str(tmp_path / "text.npz")}))
    np.savez(tmp_path / "objects.npz", x=np.array([{}]), y=np.array([1]))
    with pytest.raises(DataError, match="plain arrays"):
        load_data(section("npz", options={"path": str(tmp_path / "objects.npz")}))
    labels = mnist_folder / "train-labels-idx1-ubyte.gz"
    labels.write_bytes(gzip.compress(gzip.decompress(labels.read_bytes())[:-3]))
    with pytest.raises(DataError, match=r"is cut off; expected 68 bytes for \(60,\); received 65 bytes"):
        load_data(section("mnist", options={"path": str(mnist_folder)}))
    labels.unlink()
    with pytest.raises(DataError, match=r"holds no train-labels-idx1-ubyte\(.gz\)"):
        load_data(section("mnist", options={"path": str(mnist_folder)}))


def test_an_import_error_names_the_users_line(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "my_broken_loader.py").write_text("import numpy\n\nboom = undefined_name\n")
    with pytest.raises(DataError, match=r"NameError: .*undefined_name.*my_broken_loader.py:3: boom"):
        load_data(section(f"{tmp_path}/my_broken_loader.py:load"))
    (tmp_path / "my_loader_with_typo.py").write_text("def load(:\n    pass\n")
    with pytest.raises(DataError, match=r"SyntaxError: .*my_loader_with_typo.py:1: def load"):
        load_data(section(f"{tmp_path}/my_loader_with_typo.py:load"))
