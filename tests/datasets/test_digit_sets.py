"""Data sets made of images of digits: pairs, and one image with two targets."""

import numpy as np
import pytest

from hpsearch.datasets import load_data
from hpsearch.errors import DataError
from hpsearch.experiment import DataSection


def load(name, **options):
    return load_data(DataSection(name=name, options=options))


def splits(data):
    return data.train, data.validation, data.test


def images_in(split):
    stacked = np.concatenate(list(split.x.values())) if isinstance(split.x, dict) else split.x
    return {image.tobytes() for image in stacked}


@pytest.mark.parametrize("name", ["digit_pairs", "digit_parity"])
def test_no_image_is_in_two_splits(name):
    task = {"task": "classification"} if name == "digit_parity" else {}
    train, validation, test = map(images_in, splits(load(name, **task)))
    assert not train & validation
    assert not train & test
    assert not validation & test


def test_pairs_are_balanced_and_right():
    data = load("digit_pairs", pairs=1000)
    assert data.input_shape == {"first": (8, 8), "second": (8, 8)}
    assert data.class_names == ("no", "yes")
    assert [len(split) for split in splits(data)] == [600, 200, 200]
    for split in splits(data):
        assert 0.45 < split.y.mean() < 0.62


@pytest.mark.parametrize(
    ("target", "related"),
    [("same", lambda a, b: a == b), ("larger", lambda a, b: a > b), ("sum", lambda a, b: a + b)],
)
def test_the_target_is_what_it_says(target, related):
    digits = load_data(DataSection(name="digits", options={"flat": False}))
    known = {
        image.tobytes(): digit
        for split in splits(digits)
        for image, digit in zip(split.x[..., 0], split.y, strict=True)
    }
    split = load("digit_pairs", target=target, pairs=60).train
    first, second = (
        np.array([known[image.tobytes()] for image in split.x[name]]) for name in ("first", "second")
    )
    np.testing.assert_array_equal(split.y, related(first, second))


def test_pairs_depend_on_the_seed_alone():
    one, same, other = (
        load("digit_pairs", pairs=60 + extra, seed=seed) for seed, extra in ((1, 0), (1, 1), (2, 0))
    )
    assert one.digest != same.digest
    again = load("digit_pairs", pairs=60, seed=1)
    assert again is not one
    assert again.digest == one.digest != other.digest


def test_parity_has_two_targets():
    data = load("digit_parity", task="classification")
    assert set(data.train.y) == {"digit", "odd"}
    np.testing.assert_array_equal(data.test.y["digit"] % 2, data.test.y["odd"])
    assert [len(split) for split in splits(data)] == [1078, 360, 359]


def test_mnist_is_cut_and_its_test_images_stay_apart(tmp_path):
    pixels = np.arange(80, dtype=np.uint8)[:, np.newaxis, np.newaxis] * np.ones((1, 28, 28), np.uint8)
    labels = np.arange(80, dtype=np.uint8) % 10
    arrays = {"x_train": pixels[:60], "y_train": labels[:60], "x_test": pixels[60:], "y_test": labels[60:]}
    np.savez(tmp_path / "mnist.npz", **arrays)
    data = load("digit_parity", images="mnist", path=str(tmp_path), task="classification")
    assert [len(split) for split in splits(data)] == [50, 10, 20]
    np.testing.assert_allclose(data.test.x[:, 0, 0], np.arange(60, 80) / 255, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("digit_pairs", {"target": "other"}, "no such target; expected same, larger, sum; received other"),
        ("digit_pairs", {"pairs": 3}, "at least 50; received 3"),
        ("digit_parity", {"images": "cats"}, "no such images; expected digits or mnist; received cats"),
    ],
)
def test_wrong_options_are_refused(name, options, message):
    with pytest.raises(DataError, match=message):
        load(name, **options)
