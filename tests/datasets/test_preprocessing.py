"""What is fitted before training sees the training rows only."""

import numpy as np
import pytest

from hpsearch.datasets import load_data
from hpsearch.errors import DataError
from hpsearch.experiment import DataSection

X = np.arange(100, dtype=np.float32)[:, None]
Y = X[:, 0] * 0.5


def load(preprocess, x=X, **options):
    target = {"x": x, "y": Y, "preprocess": preprocess}
    return load_data(DataSection(name="given", target=target, options=options))


@pytest.mark.parametrize("split", ["random", "ordered"])
def test_it_is_fitted_once_on_the_training_rows_alone(split):
    seen = []

    def centre(x):
        seen.append(x.copy())
        return lambda rows: rows - x.mean()

    data = load(centre, split=split)
    [fitted_on] = seen
    np.testing.assert_array_equal(fitted_on, data.train.y[:, None] * 2)
    for part in (data.train, data.validation, data.test):
        np.testing.assert_allclose(part.x[:, 0] + fitted_on.mean(), part.y * 2, rtol=1e-5)
    assert data.train.x.mean() == pytest.approx(0.0, abs=1e-4)
    assert data.preprocessing(np.float32([[7.0]])) == 7.0 - fitted_on.mean()


def test_several_inputs_may_become_one_and_one_several():
    joined = load(lambda _x: lambda x: np.concatenate([x["a"], x["b"]], 1), x={"a": X, "b": -X})
    assert joined.input_shape == (2,)
    apart = load(lambda _x: lambda x: {"low": x, "high": x + 1})
    assert apart.input_shape == {"low": (1,), "high": (1,)}


def test_what_it_does_is_part_of_the_digest():
    assert load(lambda _x: lambda x: x * 2).digest != load(lambda _x: lambda x: x * 3).digest


@pytest.mark.parametrize(
    ("preprocess", "problem"),
    [
        (lambda _x: 1 / 0, "the preprocessing failed; received ZeroDivisionError"),
        (lambda _x: lambda x: x[:5], "the arrays differ in length"),
        (lambda _x: lambda x: object(), "`x` is not an array"),
    ],
)
def test_what_is_wrong_is_said(preprocess, problem):
    with pytest.raises(DataError) as caught:
        load(preprocess)
    assert problem in str(caught.value)
