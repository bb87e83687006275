"""Made-up shapes."""

import numpy as np

from hpsearch.datasets import load_data
from hpsearch.datasets.shapes import NAMES, load
from hpsearch.experiment import DataSection


def test_every_class_has_the_area_of_its_shape():
    made = load(rows=80, size=64, noise=0.0)
    shares = {name: [] for name in NAMES}
    for image, number in zip(made["x"], made["y"], strict=True):
        shape = np.abs(image - image[0, 0]).max(axis=-1) > 1e-3
        down, right = np.flatnonzero(shape.any(axis=1)), np.flatnonzero(shape.any(axis=0))
        box = (down[-1] - down[0] + 1) * (right[-1] - right[0] + 1)
        shares[NAMES[number]].append(shape.sum() / box)
    means = {name: float(np.mean(values)) for name, values in shares.items()}
    assert all(len(values) == 20 for values in shares.values())
    assert means["square"] > 0.99
    assert abs(means["disc"] - np.pi / 4) < 0.05
    assert abs(means["triangle"] - 0.5) < 0.06
    assert abs(means["cross"] - 0.51) < 0.06


def test_it_is_a_data_set():
    data = load_data(DataSection(name="shapes", options={"rows": 40, "size": 16}))
    assert (data.input_shape, data.class_names) == ((16, 16, 3), NAMES)
    assert data.train.x.dtype == np.float32
    assert data.train.x.min() >= 0
    assert data.train.x.max() <= 1
    again = load(rows=40, size=16)
    np.testing.assert_array_equal(again["x"], load(rows=40, size=16)["x"])
    assert not np.array_equal(again["x"], load(rows=40, size=16, seed=1)["x"])
