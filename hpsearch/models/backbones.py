"""Networks trained on ImageNet, from `keras.applications`: what each takes, and where its weights lie."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import keras

from hpsearch.errors import ModelError, fault
from hpsearch.models.frozen import is_frozen

_KERNELS = "weights_tf_dim_ordering_tf_kernels"


@dataclass(frozen=True)
class Backbone:
    """What to know of one network.

    Attributes:
        mode: Its preprocessing, as `keras.applications.imagenet_utils.preprocess_input` calls it: `tf`
            (-1..1), `caffe` (BGR, means subtracted) or `torch` (standardised).
        least: Least height and width.
        file: Name of the file with its ImageNet weights, without the classes' layer. `{rows}` and
            `{alpha}` stand for the image's height and the network's width.
        sizes: If not empty, the heights with weights of their own; every other image uses the last's.
    """

    mode: str
    least: int
    file: str
    sizes: tuple[int, ...] = ()


BACKBONES = {
    "MobileNetV2": Backbone(
        "tf", 32, f"mobilenet_v2_{_KERNELS}_{{alpha}}_{{rows}}_no_top.h5", sizes=(96, 128, 160, 192, 224)
    ),
    "MobileNet": Backbone("tf", 32, "mobilenet_{alpha}_{rows}_tf_no_top.h5", sizes=(128, 160, 192, 224)),
    "Xception": Backbone("tf", 71, f"xception_{_KERNELS}_notop.h5"),
    "VGG16": Backbone("caffe", 32, f"vgg16_{_KERNELS}_notop.h5"),
    "VGG19": Backbone("caffe", 32, f"vgg19_{_KERNELS}_notop.h5"),
    "ResNet50": Backbone("caffe", 32, f"resnet50_{_KERNELS}_notop.h5"),
    "InceptionV3": Backbone("tf", 75, f"inception_v3_{_KERNELS}_notop.h5"),
    "InceptionResNetV2": Backbone("tf", 75, f"inception_resnet_v2_{_KERNELS}_notop.h5"),
    "DenseNet121": Backbone("torch", 32, f"densenet121_{_KERNELS}_notop.h5"),
    "DenseNet169": Backbone("torch", 32, f"densenet169_{_KERNELS}_notop.h5"),
    "DenseNet201": Backbone("torch", 32, f"densenet201_{_KERNELS}_notop.h5"),
    "NASNetMobile": Backbone("tf", 32, "nasnet_mobile_no_top.h5"),
    "NASNetLarge": Backbone("tf", 32, "nasnet_large_no_top.h5"),
}
"""By their names in `keras.applications`; the lightest first."""


def size_for(name: str, image: Sequence[int]) -> tuple[int, int]:
    """Returns the height and width that a network wants of an image: its own, unless they are too small.

    Args:
        name: Of the network.
        image: Height and width.
    """
    least = BACKBONES[name].least
    return max(image[0], least), max(image[1], least)


def build_backbone(name: str, size: tuple[int, int], weights: str | None, alpha: float) -> keras.Model:
    """Builds a network without its classes, with its weights.

    Args:
        name: Of the network.
        size: Height and width.
        weights: `imagenet`, the path of a file (`{backbone}` stands for the name), or None for random.
        alpha: Width of MobileNet and MobileNetV2; of no meaning for the others.

    Returns:
        A model from preprocessed images, `(batch, height, width, 3)`, to features, `(batch, ., ., .)`.

    Raises:
        ModelError: The weights cannot be had.
    """
    options = {"alpha": alpha} if "{alpha}" in BACKBONES[name].file else {}
    make = getattr(keras.applications, name)

    def made(start: str | None) -> keras.Model:
        return make(include_top=False, weights=start, input_shape=(*size, 3), name="backbone", **options)

    if weights == "imagenet":
        file = weights_file(name, size, alpha)
        try:
            return made(weights)
        except Exception as failure:
            raise ModelError(
                fault(
                    "model.options.weights",
                    f"the ImageNet weights of {name} cannot be had",
                    expected=f"a download by Keras, or the file {file}",
                    received=" ".join(str(failure).split())[:300],
                    advice=f"Download the file elsewhere, put it to {file.parent}, or set `weights` to the "
                    "path of a file, or to none.",
                )
            ) from failure
    backbone = made(None)
    if weights is not None:
        _load(backbone, Path(weights.replace("{backbone}", name)).expanduser(), name)
    return backbone


def weights_file(name: str, size: tuple[int, int], alpha: float) -> Path:
    """Returns the file in Keras's cache that holds a network's ImageNet weights, if they were loaded once."""
    known = BACKBONES[name]
    rows = size[0] if known.sizes and size[0] == size[1] and size[0] in known.sizes else 224
    # MobileNet's file for 0.75 is called 7_5, that for 1.0 is called 1_0
    width = {1.0: "1_0", 0.75: "7_5", 0.5: "5_0", 0.25: "2_5"}.get(alpha) if name == "MobileNet" else None
    home = Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser()
    return home / "models" / known.file.format(alpha=width or float(alpha), rows=rows)


def unfreeze(backbone: keras.Model, count: int, *, batch_norm: bool) -> int:
    """Lets the last layers of a network learn, but those that `training.frozen` names, and no other.

    Args:
        backbone: The network.
        count: How many of its layers, from the end.
        batch_norm: Whether BatchNormalization among them learns too. What it has learned from ImageNet
            is worth more than the statistics of a small data set.

    Returns:
        How many layers learn that have anything to learn.
    """
    backbone.trainable = True
    first = len(backbone.layers) - count
    for index, layer in enumerate(backbone.layers):
        normalises = isinstance(layer, keras.layers.BatchNormalization)
        layer.trainable = index >= first and (batch_norm or not normalises) and not is_frozen(layer)
    return sum(bool(layer.trainable_weights) for layer in backbone.layers)


def _load(backbone: keras.Model, file: Path, name: str) -> None:
    where = "model.options.weights"
    if not file.is_file():
        raise ModelError(
            fault(
                where,
                "the weights' file does not exist",
                expected=f"{file}, weights of {name} without its top",
            )
        )
    try:
        backbone.load_weights(file)
    except Exception as failure:
        raise ModelError(
            fault(
                where,
                f"{file} does not fit {name}",
                expected=f"weights of `keras.applications.{name}(include_top=False)`, `.weights.h5` or `.h5`",
                received=" ".join(str(failure).split())[:300],
            )
        ) from failure
