"""`training.augmentation`: Keras's random layers in the data, drawn from (seed, epoch, batch) alone."""

import dataclasses

import keras
import keras_tuner
import numpy as np
import pytest

from hpsearch.datasets import load_data
from hpsearch.errors import ExperimentError
from hpsearch.experiment import DataSection
from hpsearch.testing.trials import FakeDriver, overlapping
from hpsearch.training.augmentation import augmentation
from hpsearch.training.feed import Shuffled
from hpsearch.training.probe import probe
from hpsearch.training.run import run_trial
from hpsearch.trial import Failure, Probe, Result

RNG = np.random.default_rng(0)
GREY = RNG.random((60, 8, 8), np.float32)
COLOUR = RNG.random((60, 8, 8, 3), np.float32)
CLASSES = np.arange(60) % 3
SEVERAL = {
    "random_flip": "horizontal",
    "random_rotation": 0.1,
    "random_translation": [0.1, 0.1],
    "random_zoom": {"height_factor": 0.2},
}


def data_of(x=COLOUR, y=CLASSES, **options):
    return load_data(DataSection(name="images", target={"x": x, "y": y}, options=options))


def changed(settings, data, seed=3, epoch=0, batch=0):
    return augmentation(settings, data, seed=seed)(data.train.x[:16], None, epoch, batch)[0]


def build(hp):
    model = keras.Sequential([keras.Input((8, 8)), keras.layers.Flatten(), keras.layers.Dense(3, "softmax")])
    model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


# === The layers ===

ARGUMENTS = {
    "random_brightness": 0.3,
    "random_color_degeneration": 0.9,
    "random_color_jitter": {"brightness_factor": 0.2, "hue_factor": 0.2},
    "random_contrast": 0.5,
    "random_crop": [8, 8],
    "random_gaussian_blur": {"sigma": [1.0, 1.0]},
    "random_hue": 0.5,
    "random_posterization": 2,
    "random_rotation": 0.2,
    "random_saturation": 0.9,
    "random_sharpness": 0.9,
    "random_shear": [0.3, 0.3],
    "random_translation": [0.2, 0.2],
    "random_zoom": 0.5,
}
"""Of the layers that need some; `random_crop` to the whole image leaves it as it is."""


def snake_case(name):
    return "".join("_" + letter.lower() if letter.isupper() else letter for letter in name)[1:]


@pytest.mark.parametrize(
    "name", [snake_case(name) for name in dir(keras.layers) if name.startswith("Random")]
)
def test_every_random_layer_of_keras(name):
    data = data_of()
    settings = {name: ARGUMENTS.get(name)}
    first = changed(settings, data)
    assert first.shape == (16, 8, 8, 3)
    assert first.dtype == np.float32
    assert first.min() >= -1e-6
    assert first.max() <= 1 + 1e-6
    assert np.array_equal(first, data.train.x[:16]) == (name == "random_crop")
    np.testing.assert_array_equal(changed(settings, data), first)
    if name not in ("random_crop", "random_posterization"):
        assert not np.array_equal(changed(settings, data, seed=4), first)  # the others draw nothing here


def test_the_ways_to_write_arguments():
    data = data_of()
    zooms = [{"random_zoom": given} for given in (0.3, [0.3], {"height_factor": 0.3})]
    first, *others = (changed(zoom, data) for zoom in zooms)
    for other in others:
        np.testing.assert_array_equal(other, first)
    both = changed({"random_zoom": [0.3, 0.1]}, data)
    assert not np.array_equal(both, first)


def test_layers_are_applied_in_order():
    lighter, inverted = (
        {"random_brightness": {"factor": [0.5, 0.5]}},
        {"random_invert": {"factor": [1.0, 1.0]}},
    )
    data = data_of()
    assert changed({**lighter, **inverted}, data).mean() < 0.2
    assert changed({**inverted, **lighter}, data).mean() > 0.8


def test_what_keras_does_is_done():
    data = data_of()
    flipped = changed({"random_flip": "horizontal"}, data)
    kinds = [
        np.array_equal(after, before) + 2 * np.array_equal(after, before[:, ::-1])
        for after, before in zip(flipped, data.train.x, strict=False)
    ]
    assert set(kinds) == {1, 2}


def test_images_without_channels_and_of_integers():
    grey = data_of(GREY)
    assert changed({"random_rotation": 0.2}, grey).shape == (16, 8, 8)
    bytes_ = data_of((GREY * 255).astype(np.uint8))
    found = changed({"random_contrast": {"factor": 0.9, "value_range": [0, 255]}}, bytes_)
    assert found.dtype == np.float32
    assert found.max() > 200


# === From (seed, epoch, batch) alone ===


def batches(epochs, *, seed=3, settings=SEVERAL):
    """Returns all batches of the last of `epochs`, as training sees them."""
    data = data_of(GREY)
    source = Shuffled(data.train, 16, seed, augmentation(settings, data, seed=seed))
    for epoch in epochs:
        source.turn(epoch)
        found = [source[number] for number in range(len(source))]
    return found


def test_a_batch_does_not_depend_on_those_before_it():
    np.random.seed(0)
    through = batches([0, 1, 2])
    directly = batches([2])
    for (left, one), (right, two) in zip(through, directly, strict=True):
        np.testing.assert_array_equal(one, two)
        np.testing.assert_array_equal(left, right)
    data = data_of(GREY)
    source = Shuffled(data.train, 16, 3, augmentation(SEVERAL, data, seed=3))
    source.turn(2)
    np.testing.assert_array_equal(source[2][0], directly[2][0])
    np.testing.assert_array_equal(source[0][0], directly[0][0])


def test_seeds_epochs_and_batches_differ():
    data = data_of(GREY)
    augment, other = (augmentation(SEVERAL, data, seed=seed) for seed in (3, 4))
    x = data.train.x[:16]
    found = [augment(x, None, 0, 0), augment(x, None, 0, 1), augment(x, None, 1, 0), other(x, None, 0, 0)]
    assert len({images.tobytes() for images, _ in found}) == 4


def test_nothing_is_drawn_from_the_users_generators():
    import random

    data = data_of(GREY)
    keras.utils.set_random_seed(1)
    states = random.getstate(), np.random.get_state()[1].tobytes()
    changed(SEVERAL, data)
    assert states == (random.getstate(), np.random.get_state()[1].tobytes())


# === In a trial ===


def images(make_experiment, **training):
    x, y = overlapping(60)
    pictures = np.clip(0.5 + 0.2 * np.repeat(np.repeat(x.reshape(-1, 2, 2), 4, 1), 4, 2), 0, 1)
    return make_experiment(build, (pictures, y), epochs=2, augmentation=SEVERAL, **training)


def test_a_trial_is_reproducible_and_its_model_holds_no_augmentation(make_experiment, spec, driver, tmp_path):
    experiment = images(make_experiment, deterministic=True)
    one = run_trial(experiment, spec, driver)
    assert isinstance(one, Result), one
    run_trial(images(make_experiment, batch_size=8), dataclasses.replace(spec, seed=9), FakeDriver())
    again = dataclasses.replace(spec, folder=str(tmp_path / "again"))
    two = run_trial(experiment, again, FakeDriver())
    assert one.metrics == two.metrics

    model = keras.saving.load_model(f"{again.folder}/model.keras")
    assert [type(layer).__name__ for layer in model.layers] == ["Flatten", "Dense"]
    data = load_data(experiment.data)
    loss = model.evaluate(data.validation.x, data.validation.y, verbose=0)[0]  # validation is not augmented
    assert two.metrics["val_loss"] == pytest.approx(loss, rel=1e-5)

    plain = experiment.model_copy(
        update={"training": experiment.training.model_copy(update={"augmentation": {}})}
    )
    without = run_trial(plain, dataclasses.replace(spec, folder=str(tmp_path / "plain")), FakeDriver())
    assert without.metrics["loss"] != one.metrics["loss"]


def test_an_autoencoders_targets_are_its_changed_images():
    data = data_of(GREY, reconstruct=True)
    source = Shuffled(data.train, 16, 3, augmentation({"random_rotation": 0.2}, data, seed=3))
    x, y = source[0]
    np.testing.assert_array_equal(x, y)
    assert not np.array_equal(x, Shuffled(data.train, 16, 3)[0][0])


# === What is wrong ===


class Own(keras_tuner.HyperModel):
    def build(self, hp):
        return build(hp)

    def fit(self, hp, model, *args, **kwargs):
        raise AssertionError("a probe trains nothing")


X4, Y4 = overlapping(60)
FLIP = {"random_flip": "horizontal"}
WRONG = {
    "unknown": (
        {"random_flop": 1},
        "training.augmentation.random_flop: Keras has no such layer; expected random",
    ),
    "close": ({"random_flop": 1}, "Did you mean `random_flip`?"),
    "not random": ({"center_crop": [4, 4]}, "training.augmentation.center_crop: Keras has no such layer"),
    "a value": (
        {"random_flip": "sideways"},
        "random_flip: these are no arguments of keras.layers.RandomFlip; ",
    ),
    "a name": ({"random_zoom": {"hight": 0.1}}, "expected height_factor, width_factor, fill_mode"),
    "too few": ({"random_translation": 0.1}, "missing a required argument: 'width_factor'"),
    "too many": ({"random_flip": ["vertical", 1, 2, 3, 4]}, "too many positional arguments"),
    "a seed": ({"random_flip": {"seed": 1}}, "random_flip: `seed` is not to be given"),
    "smaller": ({"random_crop": [4, 4]}, "the images' size changes; expected (8, 8); received (4, 4)"),
    "colours": ({"random_flip": "vertical", "random_hue": 0.1}, "random_hue: does not work on the images"),
}


@pytest.mark.parametrize("case", WRONG)
def test_the_probe_says_what_is_wrong(case, make_experiment, tmp_path):
    settings, message = WRONG[case]
    experiment = make_experiment(build, (GREY, CLASSES), augmentation=settings)
    with pytest.raises(ExperimentError) as caught:
        probe(experiment, Probe(str(tmp_path)))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


UNFIT = {
    "rows": ((X4, Y4), {}, "the inputs of images are no images; expected one input of shape (height, width)"),
    "two": (({"a": GREY, "b": GREY}, CLASSES), {}, "no images; expected one input"),
    "masks": ((GREY, GREY), {"task": "regression"}, "the targets are images themselves"),
    "bytes": (
        ((GREY * 255).astype(int), CLASSES),
        {},
        "values are not between 0 and 1; expected `value_range`",
    ),
}


@pytest.mark.parametrize("case", UNFIT)
def test_data_that_cannot_be_augmented(case):
    (x, y), options, message = UNFIT[case]
    settings = {"random_contrast": 0.2} if case == "bytes" else FLIP
    with pytest.raises(ExperimentError) as caught:
        augmentation(settings, data_of(x, y, **options), seed=0)
    assert message in str(caught.value)


@pytest.mark.parametrize("model", ["own", "transfer"])
def test_a_fit_of_its_own_is_refused(model, make_experiment, tmp_path, spec, driver):
    data = (GREY, CLASSES) if model == "own" else (np.repeat(COLOUR, 4, 1).repeat(4, 2), CLASSES)
    chosen = Own() if model == "own" else {"name": "transfer", "options": {"weights": None}}
    experiment = make_experiment(chosen, data, augmentation=FLIP)
    with pytest.raises(
        ExperimentError, match=r"training.augmentation: model .* trains in a `fit` of its own"
    ):
        probe(experiment, Probe(str(tmp_path)))
    failure = run_trial(experiment, spec, driver)
    assert isinstance(failure, Failure)
    assert failure.usage
