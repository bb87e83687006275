"""How a trial trains: the section `training` of an experiment."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from hpsearch.experiment_errors import Expected
from hpsearch.experiment_forms import (
    Count,
    Section,
    as_class_weight,
    as_loss,
    as_plug_in,
    as_steps,
    as_tuple,
    name_or_mapping,
)

Schedule = Literal["constant", "exponential", "cosine", "plateau"]


class EarlyStopping(Section):
    """Stops a trial whose metric no longer improves; the best epoch's weights are kept in any case."""

    patience: Count = 5
    """Epochs without an improvement."""
    min_delta: float = Field(default=0.0, ge=0)
    """A smaller change is no improvement."""
    monitor: str | None = Field(default=None, min_length=1)
    """Default: the first objective."""


class Checkpoints(Section):
    """Models kept beside `model.keras`, which is the best epoch's, in the trial's folder `checkpoints/`."""

    last: bool = False
    """Whether to keep the last epoch's model."""
    every: Count | None = None
    """Keep the model after each of so many epochs."""


class TrainingSection(Section):
    """How each trial trains.

    `epochs`, `batch_size` and all from `optimizer` to `label_smoothing` may be searched in `search.space`
    instead, under the same names.
    """

    epochs: Count = 10
    batch_size: Count = 32
    optimizer: Annotated[
        str | dict[str, Any] | None,
        BeforeValidator(name_or_mapping),
        Expected("a Keras optimizer's name, or a mapping with `name`"),
    ] = None
    """A Keras optimizer's name, or a mapping of `name` and arguments. Default: the model's own."""
    learning_rate: float | None = Field(default=None, gt=0)
    """Default: what the model compiled with."""
    schedule: Annotated[
        str | dict[str, Any] | None, as_plug_in(Schedule), Expected("a name, or a mapping with `name`")
    ] = None
    """Of the learning rate: a name, or a mapping of `name` and arguments. Default: the model's own."""
    warmup_epochs: float | None = Field(default=None, ge=0)
    """Epochs during which the learning rate rises from 0. Default: none."""
    momentum: float | None = Field(default=None, ge=0, lt=1)
    """Of the optimizers that have it: `sgd`, `rmsprop`."""
    weight_decay: float | None = Field(default=None, ge=0)
    """Of the optimizer, decoupled from the loss."""
    clip_norm: float | None = Field(default=None, gt=0)
    """Largest norm of all gradients together."""
    clip_value: float | None = Field(default=None, gt=0)
    """Largest absolute value in a gradient."""
    label_smoothing: float | None = Field(default=None, ge=0, lt=1)
    """Of a cross-entropy over one-hot or binary targets."""
    loss: Annotated[
        str | dict[str, Any] | None,
        BeforeValidator(as_loss),
        Expected("a Keras loss's name, a mapping with `name`, or either by the output's name"),
    ] = None
    """A Keras loss's name, a mapping of `name` and arguments, or either of these by output. Default: the
    model's own."""
    class_weight: Annotated[
        Literal["balanced"] | dict[str, float] | None,
        BeforeValidator(as_class_weight),
        Expected("`balanced`, or a weight by class"),
    ] = None
    """`balanced`, or a weight by the class's name; others weigh 1."""
    early_stopping: EarlyStopping | None = None
    frozen: Annotated[
        tuple[str, ...],
        Field(strict=False),
        BeforeValidator(as_tuple, json_schema_input_type=str | list[str]),
        Expected("a pattern, or a list of them"),
    ] = ()
    """Layers that do not learn: patterns of their names, such as `conv_*`."""
    augmentation: dict[str, Any] = Field(default_factory=dict)
    """Keras's random layers for the training images, by name, in order: `random_flip: horizontal`; a value,
    a list of values, or a mapping of arguments."""
    dtype_policy: Literal["float32", "mixed_float16", "mixed_bfloat16"] | None = None
    """Keras's policy; the mixed ones compute in 16 bits. Default: the model's own."""
    steps_per_execution: Annotated[
        Count | Literal["epoch"] | None, BeforeValidator(as_steps), Expected("a number of steps, or `epoch`")
    ] = None
    """Steps in one call of the backend. Default: the model's own."""
    distribute: Literal["data"] | None = None
    """`data`: each batch is divided among the slot's GPUs, or among `cores_per_trial` CPU devices."""
    checkpoints: Checkpoints = Checkpoints()
    tensorboard: bool = False
    """Whether to write TensorBoard's logs, into the trial's folder `tensorboard/`."""
    deterministic: bool = False
    """Whether a trial gives the same bits every time, on one thread; slower."""
