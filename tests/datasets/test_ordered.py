"""Splits that keep the order of the rows, and what they refuse."""

import numpy as np
import pytest

from hpsearch.datasets import load_data
from hpsearch.errors import DataError
from hpsearch.experiment import DataSection

ROWS = 103
X = np.arange(ROWS, dtype=np.float32)[:, None]
Y = X[:, 0] * 0.5


def given(target, **options):
    return DataSection(name="given", target=target, options=options)


def numbers(split):
    return split.x[:, 0].astype(int).tolist()


def test_the_past_is_for_training_and_the_future_for_the_test():
    data = load_data(given((X, Y), split="ordered"))
    assert numbers(data.train) + numbers(data.validation) + numbers(data.test) == list(range(ROWS))
    assert len(data.test) == len(data.validation) == 21


@pytest.mark.parametrize("share", [0.1, 0.3])
def test_validation_rows_are_those_of_keras_validation_split(share):
    import keras

    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mean_absolute_error")
    model.optimizer.learning_rate = 0.0
    theirs = model.fit(X, Y, validation_split=share, verbose=0).history["val_loss"][0]
    section = given({"x_train": X, "y_train": Y, "x_test": X, "y_test": Y}, split="ordered")
    data = load_data(section.model_copy(update={"validation": share}))
    assert numbers(data.train) == list(range(len(data.train)))
    assert numbers(data.validation)[-1] == ROWS - 1
    assert model.evaluate(data.validation.x, data.validation.y, verbose=0) == pytest.approx(theirs, rel=1e-6)


def test_a_gap_is_left_out_between_two_parts():
    data = load_data(given((X, Y), split="ordered", gap=5))
    assert numbers(data.validation)[0] - numbers(data.train)[-1] == 6
    assert numbers(data.test)[0] - numbers(data.validation)[-1] == 6


def test_overlapping_windows_are_kept_apart_unasked():
    steps = 12
    windows = np.lib.stride_tricks.sliding_window_view(np.arange(200.0), steps)
    loaded = {"x": windows, "y": windows[:, -1] * 0.5, "overlap": steps - 1}
    data = load_data(given(loaded))
    seen = [set(split.x.astype(int).ravel()) for split in (data.train, data.validation, data.test)]
    assert not seen[0] & seen[1]
    assert not seen[1] & seen[2]
    assert max(seen[0]) < min(seen[1])
    wider = load_data(given(loaded, gap=20))
    assert wider.validation.x[0, 0] - wider.train.x[-1, -1] == 20 - steps + 2


SERIES = {"x": X, "y": Y, "overlap": 3}
SORTED = (X, np.repeat(["a", "b", "c"], [60, 20, 23]))
BROKEN = [
    (given((X, Y), split="last"), "data.options.split: unknown split", "random or ordered"),
    (given(SERIES, split="random"), "cannot be split at random", "training would see what comes after"),
    (given(SERIES, gap=2), "each row shares something with the 3 after it", "at least 3"),
    (given((X, Y), gap=2), "data.options.gap: is for `split: ordered`", "received 2"),
    (given((X, Y), split="ordered", gap=-1), "data.options.gap: wrong value", "received -1"),
    (given((X, Y), split="ordered", gap=90), "103 rows are too few to split in order", "90 left out"),
    (given((X[:3], Y[:3]), split="ordered", gap=1), "too few to split in order", "none for train"),
    (given(SORTED, split="ordered"), "class `c` has rows for test and none for training", "sorted"),
    (given(SORTED, split="ordered", stratify=True), "data.options.stratify: an ordered split cannot", ""),
    (given(((X, Y), (X, Y), (X, Y)), split="ordered"), "data given comes already split", "ordered"),
]


@pytest.mark.parametrize(("broken", "problem", "detail"), BROKEN, ids=[row[1][:45] for row in BROKEN])
def test_what_would_leak_or_cannot_be_is_refused(broken, problem, detail):
    with pytest.raises(DataError) as caught:
        load_data(broken)
    assert problem in str(caught.value)
    assert detail in str(caught.value)


def test_a_random_split_may_be_asked_for():
    assert load_data(given((X, Y), split="random")).digest == load_data(given((X, Y))).digest
