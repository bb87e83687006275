"""Transfer learning: a network trained on ImageNet, and a head that learns to read it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import keras_tuner
import numpy as np

from hpsearch.models.backbones import BACKBONES, build_backbone, size_for, unfreeze
from hpsearch.models.compiled import compiled_with, inner_optimizer, recompile

UNFROZEN = [0, 5, 20, 50]


class Transfer(keras_tuner.HyperModel):  # type: ignore[misc]  # untyped library
    """Transfer learning for images: a frozen backbone, average pooling, and a small head that is trained.

    Input: `(batch, height, width, channels)` of floats in 0..1, 1 or 3 channels; grey becomes colour,
    images too small for a backbone are enlarged, and each backbone's own preprocessing is part of the
    model. Output: `(batch, classes)` probabilities, or `(batch, outputs)` numbers.

    While the backbone is frozen its features are computed once, not once an epoch. With `unfrozen`
    layers that is the first half of the epochs, or until early stopping; then those layers learn too, at
    the learning rate reached so far times `fine_tuning`, with a fresh optimizer of the same settings.
    BatchNormalization stays frozen, unless the weights are random.

    Hyperparameters:

    | name | range | default |
    | --- | --- | --- |
    | `backbone` | the names in `backbones` | its first |
    | `head_units` | 0 (no hidden layer), 64, 128, 256 | 0 |
    | `dropout` | 0.0 to 0.5 in steps of 0.1, before the head | 0.0 |
    | `unfrozen` | 0, 5, 20, 50 last layers of the backbone | 0 |
    | `fine_tuning` | 0.03, 0.1, 0.3 of the learning rate; with `unfrozen` layers only | 0.1 |
    | `optimizer` | adam, rmsprop | adam |
    | `learning_rate` | 1e-4 to 1e-2, logarithmic | 1e-3 |

    Source: https://keras.io/guides/transfer_learning and https://keras.io/api/applications

    Args:
        input_shape: Shape of one image.
        classes: Number of classes; None for regression. Default: None.
        outputs: Numbers to predict an image, for regression. Default: 1.
        one_hot: Whether the targets are one-hot rows instead of class numbers. Default: False.
        weights: `imagenet`, `none` for random ones, or the path of a file, in which `{backbone}` stands
            for the backbone's name. Default: `imagenet`.
        backbones: Names of functions in `keras.applications`. Default: all in `BACKBONES`.
        image_size: Height and width to resize images to. Default: as they are.
        alpha: Width of MobileNet and MobileNetV2. Default: 1.0.
        scale: What pixels are multiplied by to be in 0..255. Default: 255.

    Example:
        >>> tuner = keras_tuner.RandomSearch(Transfer((96, 96, 3), classes=5), objective="val_accuracy")
    """

    per_step_schedules = False  # they would begin anew with the second stage

    def __init__(
        self,
        input_shape: Sequence[int],
        classes: int | None = None,
        outputs: int = 1,
        *,
        one_hot: bool = False,
        weights: str | None = "imagenet",
        backbones: Sequence[str] = tuple(BACKBONES),
        image_size: int | None = None,
        alpha: float = 1.0,
        scale: float = 255.0,
    ) -> None:
        super().__init__(name="transfer")
        if isinstance(input_shape, Mapping) or len(input_shape) != 3 or input_shape[-1] not in (1, 3):
            raise ValueError(
                "transfer learning takes images, (height, width, 1 or 3 channels); "
                f"received {dict(input_shape) if isinstance(input_shape, Mapping) else tuple(input_shape)}"
            )
        unknown = [name for name in backbones if name not in BACKBONES]
        if unknown or not backbones:
            raise ValueError(
                f"`backbones` must be among {', '.join(BACKBONES)}; received {', '.join(backbones) or 'none'}"
            )
        self.input_shape = tuple(input_shape)
        self.classes = classes
        self.outputs = outputs
        self.one_hot = one_hot
        self.weights = None if weights in (None, "none") else str(weights)
        self.backbones = list(backbones)
        self.image_size = image_size
        self.alpha = alpha
        self.scale = scale

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        """Builds and compiles the network, its backbone frozen.

        Args:
            hp: Hyperparameters, of Keras Tuner or of hpsearch.

        Returns:
            A compiled functional model with the layers `backbone` and `pool`.

        Raises:
            ModelError: The backbone's weights cannot be had.
        """
        name = hp.Choice("backbone", self.backbones)
        head_units = hp.Choice("head_units", [0, 64, 128, 256])
        dropout = hp.Float("dropout", 0.0, 0.5, step=0.1)
        hp.Choice("unfrozen", UNFROZEN)
        with hp.conditional_scope("unfrozen", UNFROZEN[1:]):
            hp.Choice("fine_tuning", [0.03, 0.1, 0.3], default=0.1)

        # === Functional model ===
        inputs = keras.Input(self.input_shape, name="image")
        x = keras.layers.Rescaling(self.scale, name="pixels")(inputs)
        if self.input_shape[-1] == 1:
            x = keras.layers.Concatenate(name="colour")([x, x, x])
        wanted = (self.image_size, self.image_size) if self.image_size else self.input_shape[:2]
        size = size_for(name, wanted)
        if size != self.input_shape[:2]:
            x = keras.layers.Resizing(*size, name="resize")(x)
        x = keras.applications.imagenet_utils.preprocess_input(x, mode=BACKBONES[name].mode)
        backbone = build_backbone(name, size, self.weights, self.alpha)
        backbone.trainable = False
        x = keras.layers.GlobalAveragePooling2D(name="pool")(backbone(x))
        if dropout:
            x = keras.layers.Dropout(dropout, name="dropout")(x)
        if head_units:
            x = keras.layers.Dense(head_units, "relu", name="head")(x)
        model = keras.Model(inputs, self._output(x), name="transfer")

        # === Training ===
        optimizer = keras.optimizers.get(hp.Choice("optimizer", ["adam", "rmsprop"]))
        optimizer.learning_rate = hp.Float("learning_rate", 1e-4, 1e-2, sampling="log", default=1e-3)
        if self.classes is None:
            model.compile(optimizer, "mean_squared_error", metrics=["mean_absolute_error"])
        else:
            loss = f"{'' if self.one_hot else 'sparse_'}categorical_crossentropy"
            model.compile(optimizer, loss, metrics=["accuracy"])
        return model

    def fit(
        self,
        hp: keras_tuner.HyperParameters,
        model: keras.Model,
        x: Any,
        y: Any,
        validation_data: Any = None,
        epochs: int = 1,
        batch_size: int = 32,
        callbacks: Sequence[keras.callbacks.Callback] = (),
        sample_weight: Any = None,
        **kwargs: Any,
    ) -> keras.callbacks.History:
        """Trains the head on features computed once, then the head and the unfrozen layers.

        Args:
            hp: What `build` was given.
            model: What `build` returned.
            x: Images.
            y: Targets.
            validation_data: `(x, y)` or `(x, y, sample_weight)`.
            epochs: Of both stages together.
            batch_size: Rows a step.
            callbacks: See every epoch of both stages, with `model`.
            sample_weight: One a row.
            **kwargs: Of `model.fit`, for the second stage.

        Returns:
            The history of both stages.
        """
        unfrozen = hp.get("unfrozen")
        history = keras.callbacks.History()
        watchers = [*callbacks, history]
        frozen_epochs = epochs - epochs // 2 if unfrozen else epochs
        self._fit_head(model, (x, y, sample_weight), validation_data, frozen_epochs, batch_size, watchers)
        done = len(history.epoch)
        if unfrozen and frozen_epochs < epochs:
            unfreeze(model.get_layer("backbone"), unfrozen, batch_norm=self.weights is None)
            steps = model.steps_per_execution
            recompile(model, "optimizer", optimizer=_like(model.optimizer, hp.get("fine_tuning")))
            model.steps_per_execution = steps
            model.fit(
                x,
                y,
                batch_size=batch_size,
                epochs=done + epochs - frozen_epochs,
                initial_epoch=done,
                validation_data=validation_data,
                callbacks=watchers,
                sample_weight=sample_weight,
                **kwargs,
            )
        return history

    def _fit_head(
        self,
        model: keras.Model,
        train: tuple[Any, Any, Any],
        validation: Any,
        epochs: int,
        batch_size: int,
        watchers: Sequence[keras.callbacks.Callback],
    ) -> None:
        """Trains the layers after the pooling on its outputs; callbacks see the whole model."""
        pool = model.get_layer("pool")
        trunk = keras.Model(model.inputs, pool.output)
        features = y = keras.Input(pool.output.shape[1:])
        for layer in model.layers[model.layers.index(pool) + 1 :]:
            y = layer(y)
        head = keras.Model(features, y)
        # The model's own optimizer, so that a callback which changes its learning rate changes the head's.
        head.compile(**{**compiled_with(model), "optimizer": model.optimizer})
        head.steps_per_execution = model.steps_per_execution
        inputs = trunk.predict(train[0], batch_size=batch_size, verbose=0)
        held_out = None
        if validation is not None:
            held_out = (trunk.predict(validation[0], batch_size=batch_size, verbose=0), *validation[1:])
        generator = np.random.default_rng(np.random.randint(2**31))  # seeded with all else

        watching = keras.callbacks.CallbackList(watchers, model=model)
        model.stop_training = False
        watching.on_train_begin()
        for epoch in range(epochs):
            watching.on_epoch_begin(epoch)
            order = generator.permutation(len(inputs))
            rows = [None if array is None else array[order] for array in (inputs, *train[1:])]
            logs = head.fit(
                rows[0],
                rows[1],
                sample_weight=rows[2],
                batch_size=batch_size,
                shuffle=False,
                validation_data=held_out,
                verbose=0,
            ).history
            watching.on_epoch_end(epoch, {name: values[-1] for name, values in logs.items()})
            if model.stop_training:
                break
        watching.on_train_end()

    def _output(self, x: Any) -> Any:
        # float32 even under mixed precision: softmax and errors need it
        if self.classes is None:
            return keras.layers.Dense(self.outputs, dtype="float32", name="predictions")(x)
        return keras.layers.Dense(self.classes, activation="softmax", dtype="float32", name="predictions")(x)


def _like(optimizer: keras.optimizers.Optimizer, factor: float) -> keras.optimizers.Optimizer:
    """Returns a fresh optimizer of the same kind and settings, its learning rate multiplied."""
    inner = inner_optimizer(optimizer)
    fresh = type(inner).from_config(inner.get_config())
    fresh.learning_rate = float(inner.learning_rate) * factor
    return fresh
