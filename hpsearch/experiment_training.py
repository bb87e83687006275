"""How a trial trains: the section `training` of an experiment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from hpsearch.backends import Backend
from hpsearch.experiment_errors import Expected, reject
from hpsearch.experiment_forms import (
    Count,
    Section,
    as_class_weight,
    as_loss,
    as_named,
    as_steps,
    as_tuple,
    name_or_mapping,
)

ScheduleName = Literal["constant", "exponential", "cosine", "plateau"]
_ARGUMENTS = {
    "constant": (),
    "exponential": ("decay_rate", "decay_epochs", "staircase"),
    "cosine": ("decay_epochs", "alpha"),
    "plateau": ("monitor", "mode", "factor", "patience", "min_delta", "cooldown", "min_lr"),
}
_OF_OPTIMIZER = {
    "learning_rate": "learning_rate",
    "momentum": "momentum",
    "weight_decay": "weight_decay",
    "clip_norm": "global_clipnorm",
    "clip_value": "clipvalue",
}
"""Settings that Keras knows as arguments of an optimizer, with Keras's names."""


class ScheduleSection(Section):
    """How the learning rate changes; a name alone takes the defaults.

    | name | the rate | arguments |
    | --- | --- | --- |
    | `constant` | stays | |
    | `exponential` | falls by a factor, before every step | `decay_rate`, `decay_epochs`, `staircase` |
    | `cosine` | falls along half a cosine, before every step | `decay_epochs`, `alpha` |
    | `plateau` | falls when a metric no longer improves, after an epoch | `monitor`, `mode`, `factor`, \
    `patience`, `min_delta`, `cooldown`, `min_lr` |

    Keras calls them `ExponentialDecay`, `CosineDecay` and `ReduceLROnPlateau`; its steps are epochs here.
    """

    name: ScheduleName
    decay_rate: float | None = Field(default=None, gt=0, le=1)
    """Of `exponential`: what is left of the rate after `decay_epochs`. Default: so that a hundredth is left
    at the end of the training."""
    decay_epochs: float | None = Field(default=None, gt=0)
    """Of `exponential`: epochs in which the rate falls by `decay_rate`; default 1. Of `cosine`: epochs until
    it is at its lowest; default all after the warm-up."""
    staircase: bool | None = None
    """Of `exponential`: whether the rate stays until `decay_epochs` are over. Default: false."""
    alpha: float | None = Field(default=None, ge=0, le=1)
    """Of `cosine`: the lowest rate, as a part of the first. Default: 0."""
    monitor: str | None = Field(default=None, min_length=1)
    """Of `plateau`: default the first objective."""
    mode: Literal["min", "max"] | None = None
    """Of `plateau`: whether `monitor` is to fall or to rise. Default: inferred from its name."""
    factor: float | None = Field(default=None, gt=0, lt=1)
    """Of `plateau`: what the rate is multiplied by. Default: 0.1."""
    patience: Count | None = None
    """Of `plateau`: epochs without an improvement. Default: 3."""
    min_delta: float | None = Field(default=None, ge=0)
    """Of `plateau`: a smaller change is no improvement. Default: 1e-4."""
    cooldown: Annotated[int, Field(ge=0)] | None = None
    """Of `plateau`: epochs after a reduction that do not count. Default: 0."""
    min_lr: float | None = Field(default=None, ge=0)
    """Of `plateau`: the lowest rate. Default: 0."""

    @model_validator(mode="after")
    def _takes_these(self) -> Self:
        known = _ARGUMENTS[self.name]
        for key, value in self:
            if key != "name" and key not in known and value is not None:
                raise reject(
                    f"`{self.name}` has no argument `{key}`",
                    expected=f"one of {', '.join(known)}" if known else "no arguments",
                    received=f"{key}={value}",
                )
        return self

    def arguments(self) -> dict[str, Any]:
        """Returns the arguments that are given."""
        return {key: value for key, value in self if key != "name" and value is not None}


class EarlyStopping(Section):
    """Stops a trial whose metric no longer improves; the best epoch's weights are kept in any case."""

    patience: Count = 5
    """Epochs without an improvement."""
    min_delta: float = Field(default=0.0, ge=0)
    """A smaller change is no improvement."""
    monitor: str | None = Field(default=None, min_length=1)
    """Default: the first objective."""


class TrainingSection(Section):
    """How each trial trains.

    `epochs`, `batch_size` and all from `optimizer` to `label_smoothing` may be searched in `search.space`
    instead, under the same names, for every model. What neither gives is what the model compiled with. Where
    the name of an optimizer or schedule is searched, arguments given here are for the trials that have it.
    """

    backend: Backend = "tensorflow"
    """What Keras computes with; `jax` and `torch` are extras to install. `KERAS_BACKEND` is not read."""
    epochs: Count = 10
    batch_size: Count = 32
    optimizer: Annotated[
        str | dict[str, Any] | None,
        BeforeValidator(name_or_mapping),
        Expected("a Keras optimizer's name, or a mapping with `name`"),
    ] = None
    """A Keras optimizer's name, or a mapping of `name` and arguments, which makes it anew. Learning rate,
    momentum, weight decay and clipping among them become the settings below. Default: the model's own."""
    learning_rate: float | None = Field(default=None, gt=0)
    """Where a schedule begins, or a warm-up ends. Default: what the model compiled with."""
    schedule: Annotated[
        ScheduleSection | None,
        BeforeValidator(as_named, json_schema_input_type=ScheduleName | ScheduleSection | None),
        Expected("a schedule's name, or a mapping with `name`"),
    ] = None
    """Of the learning rate, which is then the metric `learning_rate`. Default: the model's own."""
    warmup_epochs: float | None = Field(default=None, ge=0)
    """Epochs during which the learning rate rises from 0, before every step; not with `plateau`. Default:
    none."""
    momentum: float | None = Field(default=None, ge=0, lt=1)
    """Of the optimizers that have it: `sgd`, `rmsprop`, `muon`; where others are searched too, of these."""
    weight_decay: float | None = Field(default=None, ge=0)
    """Of any optimizer, decoupled from the loss."""
    clip_norm: float | None = Field(default=None, gt=0)
    """Largest norm of all gradients together (Keras's `global_clipnorm`)."""
    clip_value: float | None = Field(default=None, gt=0)
    """Largest absolute value in a gradient; not with `clip_norm`."""
    label_smoothing: float | None = Field(default=None, ge=0, lt=1)
    """Of every cross-entropy over one-hot or binary targets; `data.options.one_hot` makes class numbers
    one-hot rows."""
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
    """Layers that do not learn, at any depth: patterns of their names, such as `conv_*`."""
    augmentation: dict[str, Any] = Field(default_factory=dict)
    """Keras's random layers for the training images, by name, in order: `random_flip: horizontal`; a value,
    a list of values, or a mapping of arguments."""
    dtype_policy: Literal["float32", "mixed_float16", "mixed_bfloat16"] | None = None
    """Keras's policy; the mixed ones compute in 16 bits. Default: the model's own."""
    steps_per_execution: Annotated[
        Count | Literal["epoch"] | None, BeforeValidator(as_steps), Expected("a number of steps, or `epoch`")
    ] = None
    """Steps in one call of the backend: the same numbers, sooner if the model is small. Default: the model's
    own."""
    distribute: Literal["data"] | None = None
    """`data`: each batch is divided among the slot's GPUs, or among `cores_per_trial` CPU devices. A train
    step or loop of your own must do what `tf.distribute` asks of one. Of the backend `tensorflow`."""
    tensorboard: bool = False
    """Whether to write TensorBoard's logs, into the trial's folder `tensorboard/`."""
    deterministic: bool = False
    """Whether a trial gives the same bits every time, on one thread; slower."""

    @model_validator(mode="before")
    @classmethod
    def _arguments_that_are_settings(cls, values: Any) -> Any:
        """Has `optimizer: {name: sgd, learning_rate: 0.1}` mean `optimizer: sgd` and `learning_rate: 0.1`."""
        optimizer = values.get("optimizer") if isinstance(values, Mapping) else None
        if not isinstance(optimizer, Mapping):
            return values
        moved = {name: optimizer[key] for name, key in _OF_OPTIMIZER.items() if key in optimizer}
        for name in moved:
            if values.get(name) is not None:
                key = _OF_OPTIMIZER[name]
                raise reject(
                    f"`{name}` is given twice",
                    expected="it once",
                    received=f"{name}={values[name]}, optimizer.{key}={moved[name]}",
                )
        rest = {key: value for key, value in optimizer.items() if key not in _OF_OPTIMIZER.values()}
        return {**values, **moved, "optimizer": rest["name"] if set(rest) == {"name"} else rest}

    @model_validator(mode="after")
    def _can_be_had(self) -> Self:
        """Refuses what a backend cannot do."""
        if self.distribute is not None and self.backend != "tensorflow":
            raise reject(
                "only the backend `tensorflow` trains a model on several devices",
                expected="`distribute` with `backend: tensorflow`, or neither",
                received=f"distribute={self.distribute}, backend={self.backend}",
            )
        if self.steps_per_execution not in (None, 1) and self.backend == "torch":
            raise reject(
                "the backend `torch` takes one step at a time",
                expected="`steps_per_execution` 1, or none given",
                received=f"steps_per_execution={self.steps_per_execution}, backend=torch",
            )
        return self
