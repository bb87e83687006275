"""Folders of pictures: one sub-folder a class; what is wrong names the file."""

import numpy as np
import pytest
from PIL import Image

from hpsearch.datasets import load_data
from hpsearch.errors import DataError
from hpsearch.experiment import DataSection

COLOURS = {"blue": (0, 0, 255), "green": (0, 255, 0), "red": (255, 0, 0)}


def load(path, **options):
    return load_data(DataSection(name="image_folder", options={"path": str(path), **options}))


def paint(root, rows=6, size=(8, 6)):
    for name, colour in COLOURS.items():
        (root / name).mkdir(parents=True)
        for row in range(rows):
            ending = ".jpg" if row % 2 else ".PNG"
            Image.new("RGB", size, colour).save(root / name / f"{row}{ending}")
    return root


@pytest.fixture
def folder(tmp_path):
    return paint(tmp_path / "pictures")


def test_a_sub_folder_is_a_class(folder):
    (folder / "notes.txt").write_text("not a class")
    (folder / ".cache").mkdir()
    (folder / "red" / "Thumbs.db").write_text("no picture")
    data = load(folder)
    assert data.class_names == ("blue", "green", "red")
    assert data.input_shape == (6, 8, 3)
    assert data.train.x.dtype == np.float32
    for split in (data.train, data.validation, data.test):
        brightest = split.x.mean(axis=(1, 2)).argmax(axis=1)
        np.testing.assert_array_equal(brightest, 2 - split.y)
        assert split.x.max() == pytest.approx(1.0, abs=0.02)


def test_pictures_are_scaled_and_made_grey(folder):
    Image.new("RGB", (20, 20), COLOURS["red"]).save(folder / "red" / "large.png")
    assert load(folder, size=4).input_shape == (4, 4, 3)
    assert load(folder, size=[4, 5], grey=True).input_shape == (4, 5, 1)


def test_folders_may_come_already_split(tmp_path):
    for part, rows in (("train", 5), ("test", 2)):
        paint(tmp_path / part, rows)
    data = load(tmp_path)
    assert data.summary().sizes == {"train": 12, "validation": 3, "test": 6}
    (tmp_path / "test" / "red").rename(tmp_path / "test" / "rot")
    with pytest.raises(DataError, match=r"test: other classes than in training; .*blue, green, rot"):
        load(tmp_path, size=8)


def test_mistakes_name_the_file(folder):
    mistakes = []

    def refused(expected, **options):
        with pytest.raises(DataError, match=expected):
            load(folder, **options)
        mistakes.append(expected)

    refused(r"data.options.size: wrong value; .*\[height, width\]; received \[4\]", size=[4])
    refused("data.options.size: wrong value", size=0)
    Image.new("RGB", (9, 6)).save(folder / "green" / "wide.png")
    refused(r"green/wide.png: another size .* 8x6 pixels as 0.PNG; received 9x6.*data.options.size")
    (folder / "green" / "wide.png").unlink()
    whole = (folder / "red" / "1.jpg").read_bytes()
    (folder / "red" / "1.jpg").write_bytes(whole[: len(whole) // 2])
    refused(r"red/1.jpg: the picture cannot be read; received OSError")
    (folder / "red" / "1.jpg").write_bytes(b"")
    refused(r"red/1.jpg: the picture cannot be read; received UnidentifiedImageError")
    (folder / "red" / "1.jpg").unlink()
    (folder / "yellow").mkdir()
    refused(r"yellow: class `yellow` has no pictures; expected \*.png.*an empty folder")
    (folder / "yellow" / "a.tiff").write_text("")
    refused(r"class `yellow` has no pictures; .*received a.tiff")
    assert len(mistakes) == 7


def test_mistakes_in_the_folder_itself(tmp_path):
    with pytest.raises(DataError, match=r"data.options.path: the folder does not exist.*/nowhere"):
        load(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"too few classes; .*received no sub-folder"):
        load(tmp_path)
