"""Classes are told from amounts, numbered from 0, and keep their names."""

import numpy as np
import pytest

from hpsearch.datasets.data import Split
from hpsearch.datasets.source import read_source
from hpsearch.datasets.targets import class_numbers, classes_of, read_targets
from hpsearch.errors import DataError

ROWS = 60


def targets(y, *, task=None, class_names=None, one_hot=False):
    source = read_source((np.zeros((ROWS, 2)), y), where="data toy")
    return read_targets([source.train], task=task, class_names=class_names, where="data toy", one_hot=one_hot)


def cycle(*values):
    return [values[row % len(values)] for row in range(ROWS)]


@pytest.mark.parametrize(
    ("y", "names", "first"),
    [
        (cycle(0, 1, 2), ("0", "1", "2"), [0, 1, 2]),
        (cycle(3, 7), ("3", "7"), [0, 1]),
        (cycle(-1, 1), ("-1", "1"), [0, 1]),
        (cycle("dog", "cat", "ant"), ("ant", "cat", "dog"), [2, 1, 0]),
        (cycle(b"no", b"yes"), ("no", "yes"), [0, 1]),
        (cycle(True, False), ("False", "True"), [1, 0]),
        (np.array(cycle("b", "a"), dtype=object), ("a", "b"), [1, 0]),
        (np.array(cycle(4, 5))[:, None], ("4", "5"), [0, 1]),
    ],
)
def test_classes_are_numbered_and_named(y, names, first):
    found = targets(y)
    assert found.task == "classification"
    assert found.class_names == names
    assert found.splits[0].y.dtype == np.int32
    assert found.splits[0].y[: len(first)].tolist() == first


def test_one_hot_rows_stay_one_hot():
    found = targets(np.eye(3)[np.arange(ROWS) % 3])
    assert found.task == "classification"
    assert found.class_names == ("0", "1", "2")
    assert found.splits[0].y.shape == (ROWS, 3)
    assert class_numbers(found.splits[0].y)[:4].tolist() == [0, 1, 2, 0]


def test_class_numbers_become_one_hot_rows_on_demand():
    found = targets(cycle("b", "a"), one_hot=True)
    assert found.splits[0].y.dtype == np.float32
    assert found.splits[0].y[:2].tolist() == [[0, 1], [1, 0]]
    assert found.class_names == ("a", "b")
    with pytest.raises(DataError, match=r"`data.options.one_hot` is for classes"):
        targets(np.linspace(0, 1, ROWS), one_hot=True)


def test_a_class_without_rows_keeps_its_number():
    found = targets(cycle(0, 2), class_names=("a", "b", "c"))
    assert found.class_names == ("a", "b", "c")
    assert found.splits[0].y[:2].tolist() == [0, 2]
    named = targets(cycle("c", "a"), class_names=("a", "b", "c"))
    assert named.splits[0].y[:2].tolist() == [2, 0]


def test_a_class_only_in_the_test_rows_is_counted():
    train, test = (Split(np.zeros((4, 1)), np.array(y)) for y in ([0, 0, 2, 2], [1, 1, 0, 2]))
    found = read_targets([train, test], task=None, class_names=None, where="data toy")
    assert found.class_names == ("0", "1", "2")
    assert found.splits[0].y.tolist() == [0, 0, 2, 2]


@pytest.mark.parametrize("y", [np.linspace(0, 1, ROWS), np.ones((ROWS, 2)) * 0.5, np.float64(cycle(0, 1))])
def test_fractions_are_amounts(y):
    found = targets(y)
    assert found.task == "regression"
    assert found.class_names == ()
    assert found.splits[0].y.dtype == np.float32


def test_the_user_may_say_the_task():
    assert targets(np.float64(cycle(0, 1)), task="classification").class_names == ("0", "1")
    amounts = targets(np.arange(ROWS), task="regression")
    assert amounts.splits[0].y.dtype == np.float32
    assert targets(cycle(0, 1), task="regression").class_names == ()


def test_several_outputs_need_the_task():
    y = {"a": np.zeros(ROWS), "b": np.ones((ROWS, 2))}
    with pytest.raises(DataError, match=r"with several outputs .*`data.options.task`"):
        targets(y)
    found = targets(y, task="regression")
    assert set(found.splits[0].y) == {"a", "b"}


@pytest.mark.parametrize(
    ("column", "message"),
    [(np.array(["x"] * ROWS), r"target `y\[b\]` is text"), (np.full(ROWS, np.nan), r"`y\[b\]` has missing")],
)
def test_each_of_several_outputs_is_finite_numbers(column, message):
    with pytest.raises(DataError, match=message):
        targets({"a": np.zeros(ROWS), "b": column}, task="classification")


@pytest.mark.parametrize(
    ("y", "task", "classes"),
    [
        (np.array([0, 4, 1]), "classification", 5),
        (np.array([[0.0], [2.0]]), "classification", 3),
        (np.eye(3), "classification", 3),
        (np.array([0.5, 1.0]), "classification", None),
        (np.array([0, 1]), "regression", None),
        (np.array([[1, 1], [0, 1]]), "classification", 0),
    ],
)
def test_classes_of_one_output_among_several(y, task, classes):
    assert classes_of(y, task) == classes


BROKEN = [
    ({"y": np.arange(ROWS)}, "integers could be classes or amounts", "60 different integers in 60 rows"),
    ({"y": np.array(cycle(1.0, np.nan))}, "missing or infinite values", "30 NaN or infinite of 60"),
    ({"y": np.array(cycle(1.0, np.inf))}, "missing or infinite values", "30 NaN or infinite of 60"),
    ({"y": cycle("a", "b"), "task": "regression"}, "text cannot be the target", "expected numbers"),
    ({"y": np.array(cycle(0.5, 1.0)), "task": "classification"}, "not one class a row", "type float32"),
    ({"y": np.ones((ROWS, 3)), "task": "classification"}, "not one class a row", "shape (60, 3)"),
    ({"y": cycle(1)}, "there is only one class", "received 1"),
    ({"y": cycle(0, 3), "class_names": ("a", "b")}, "class `3` has no name", "a, b"),
    ({"y": cycle("a", "z"), "class_names": ("a", "b")}, "class `z` has no name", "received z"),
    ({"y": np.eye(3)[np.arange(ROWS) % 3], "class_names": ("a",)}, "`class_names` does not fit", "3 names"),
]


@pytest.mark.parametrize(("arguments", "problem", "detail"), BROKEN, ids=[row[1] for row in BROKEN])
def test_what_is_wrong_is_said(arguments, problem, detail):
    with pytest.raises(DataError) as caught:
        targets(**arguments)
    assert str(caught.value).startswith("data toy: ")
    assert problem in str(caught.value)
    assert detail in str(caught.value)


@pytest.mark.parametrize("hole", [None, float("nan")])
def test_a_hole_in_text_labels_is_said(hole):
    with pytest.raises(DataError, match="a value is missing"):
        targets(np.array(cycle("a", hole), dtype=object))


def test_a_class_too_rare_to_stratify_is_said():
    from hpsearch.datasets import load_data
    from hpsearch.experiment import DataSection

    y = np.array(["rare", "rare", *cycle("a", "b")[2:]])
    section = DataSection(name="toy", target=(np.zeros((ROWS, 1)), y))
    with pytest.raises(
        DataError, match="class `rare` has too few rows to be in every split; expected at least 3"
    ):
        load_data(section)
    unstratified = section.model_copy(update={"options": {"stratify": False}})
    assert load_data(unstratified).class_names == ("a", "b", "rare")
