"""Experiment and its parts: one file of `experiments/`, or the same object in Python.

Experiment.load("experiments/digits_mlp.yaml", ["search.trials=5"])
Experiment(name="mine", model=build, data=(x, y), objective="val_accuracy", search={"trials": 5})
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import AfterValidator, BeforeValidator, Field, PrivateAttr, ValidationError, model_validator
from pydantic.json_schema import SkipJsonSchema

from hpsearch import experiment_file
from hpsearch.errors import ExperimentError, fault
from hpsearch.experiment_checkpoints import CheckpointsSection
from hpsearch.experiment_errors import Expected, Origin, explain, reject
from hpsearch.experiment_evaluation import EvaluationSection
from hpsearch.experiment_forms import (
    Count,
    Section,
    as_data,
    as_model,
    as_objectives,
    as_tuple,
    different_metrics,
    flatten,
    plain,
)
from hpsearch.experiment_search import SearchSection, Seconds, Seed, TfliteFormat
from hpsearch.experiment_training import TrainingSection
from hpsearch.trial import Value

ExportFormat = Literal[
    "float32",
    "float16",
    "dynamic_range",
    "int8",
    "int16x8",
    "onnx",
    "saved_model",
    "keras",
    "h5",
    "architecture",
    "weights",
]
Fraction = Annotated[float, Field(gt=0, lt=1)]


class _Named(Section):
    """Something found by name, or given from Python."""

    name: str = Field(min_length=1)
    options: dict[str, Any] = Field(default_factory=dict)
    """Keyword arguments of its constructor or loader."""
    target: SkipJsonSchema[Any] = Field(default=None, exclude=True, repr=False)
    """What was given from Python: a function, a `HyperModel`, arrays, ..."""

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self) or not isinstance(other, _Named):
            return NotImplemented
        # What was given from Python may be arrays, which have no truth value: it is the same or it is not.
        return self.target is other.target and self.model_dump() == other.model_dump()

    __hash__ = None  # type: ignore[assignment]


class ModelSection(_Named):
    """What is searched: a built-in model, `package.module:name` or `path/to/file.py:name`."""


class DataSection(_Named):
    """What it learns from: a built-in data set, `package.module:function` or `path/to/file.py:function`."""

    validation: Fraction = 0.2
    """Share of the rows that chooses between trials."""
    test: Fraction = 0.2
    """Share of the rows that no trial sees; the best model is evaluated on them once."""
    seed: Seed = 0
    """Of the split."""

    @model_validator(mode="after")
    def _leaves_something_to_train(self) -> Self:
        if self.validation + self.test >= 1:
            raise reject(
                "nothing is left to train on",
                expected="`validation` and `test` that sum to less than 1",
                received=f"validation={self.validation}, test={self.test}",
            )
        return self


class ObjectiveSection(Section):
    """A metric to optimise."""

    metric: str = Field(min_length=1)
    """What an epoch reports, e.g. `val_loss`, `val_f1_macro`."""
    direction: Literal["minimize", "maximize"] | None = None
    """Default: inferred from the metric's name."""


class ResourcesSection(Section):
    """Where trials run."""

    executor: Literal["local", "inline", "ray"] = "local"
    """`local`: in worker processes; `inline`: in this process, for debugging; `ray`: on a Ray cluster."""
    address: Annotated[
        str | None, Field(pattern=r"^(auto|[^/\s]+:\d+)$"), Expected("`auto` or `host:port`")
    ] = None
    """Of the Ray cluster to join. Default: none, one is started on this machine."""
    slots: Count | None = None
    """Trials at a time. Default: as many as the GPUs serve, else one a `cores_per_trial`; of all machines."""
    cores_per_trial: Count | None = None
    """Threads of a trial. Default: 1; where there are GPUs, its part of the cores, which compile for it."""
    gpus_per_trial: Count = 1
    """Where there are GPUs; with several, set `training.distribute`."""
    trials_per_gpu: Count = 1
    """Trials that share a GPU, each with a limited part of its memory."""
    trial_timeout_s: Seconds | None = None
    """Seconds after which a trial fails."""
    silence_timeout_s: Seconds | None = None
    """Seconds after which a trial fails if it says nothing: longer than data, model or an epoch may take."""

    @property
    def cores(self) -> int:
        """Threads of a trial where there is no GPU."""
        return self.cores_per_trial or 1

    @model_validator(mode="after")
    def _divides_one_way(self) -> Self:
        if self.gpus_per_trial > 1 and self.trials_per_gpu > 1:
            raise reject(
                "a trial has several GPUs, or shares one",
                expected="`gpus_per_trial` or `trials_per_gpu` above 1",
                received=f"gpus_per_trial={self.gpus_per_trial}, trials_per_gpu={self.trials_per_gpu}",
            )
        return self


class TrackingSection(Section):
    """Where records go."""

    uri: str = Field(default="sqlite:///mlflow.db", min_length=1)
    """MLflow's tracking URI."""
    experiment: str | None = Field(default=None, min_length=1)
    """MLflow experiment. Default: the experiment's name."""
    report: bool = True
    """Whether a report with charts is written, now and then during the search and at its end, and sent to the
    study's run."""
    system_metrics: bool = False
    """Whether each trial's run shows CPU, memory and GPUs of its worker, sampled every 5 seconds."""


class ExportSection(Section):
    """What the best model becomes."""

    formats: Annotated[
        tuple[ExportFormat, ...],
        Field(strict=False),
        BeforeValidator(as_tuple, json_schema_input_type=ExportFormat | list[ExportFormat]),
    ] = ("float32",)
    """LiteRT: `float32`, and quantized `float16`, `dynamic_range`, `int8`, `int16x8`; `onnx`; TensorFlow:
    `saved_model`; Keras: `keras`, `h5`, and half of it `architecture`, `weights`."""
    tolerance: float = Field(default=1e-4, gt=0)
    """Largest difference to Keras allowed, relative to the largest absolute output (at least 1). Quantized
    files are judged by what they decide, on test rows:"""
    min_agreement: float = Field(default=0.95, ge=0, le=1)
    """Least share of rows for which a quantized file predicts Keras's class; in regression least R² of its
    outputs to Keras's."""
    max_loss: float = Field(default=0.02, ge=0)
    """Largest loss of accuracy or macro F1, in regression of R², by quantization."""
    integer_io: bool = False
    """Whether `int8` and `int16x8` files take and return integers; the record beside the file says which
    real numbers these stand for."""
    measure: bool = True
    """Whether latency and memory of `.tflite` files are measured on this machine."""
    register_as: Annotated[
        str | None, Field(min_length=1, pattern=r"^[^/:]+$"), Expected("a name without `/` and `:`")
    ] = None
    """Registered model. Default: the experiment's name."""


class Experiment(Section):
    """A model, a data set, an objective and a budget.

    Args:
        name: Names the study and its folder. In a file, the default is the file's stem.
        model: Name of a built-in model, `package.module:name` or `path/to/file.py:name`, or from Python
            a `build(hp)` function, a `keras_tuner.HyperModel` or a class of one.
        data: Name of a built-in data set, `package.module:function` or `path/to/file.py:function`, or
            from Python `(x, y)`, a dict of arrays, a `Data` or a function returning one of them.
        objective: A metric, a mapping of `metric` and `direction`, or a list of these; the first leads.
        search: Strategy, overrides of the space, budget.
        training: Epochs, batch size, optimizer, early stopping.
        evaluation: Whether a trial is judged by one training or by several: folds, repeats.
        resources: Where trials run, and how many at a time.
        tracking: Where records go.
        checkpoints: Which models are written, and which stay on the disk.
        export: What the best model becomes.
        workdir: Folder of the studies. Default: `runs`.

    Raises:
        ExperimentError: A value is wrong; the message lists all that are.
    """

    name: Annotated[
        str,
        Field(pattern=r"^\w([\w .-]*\w)?$", max_length=100),
        Expected("letters, digits, spaces, `_`, `-` and `.`, at most 100"),
    ]
    model: Annotated[
        ModelSection,
        BeforeValidator(as_model, json_schema_input_type=str | ModelSection),
        Expected("a built-in model, `package.module:name` or `path/to/file.py:name`"),
    ]
    data: Annotated[
        DataSection,
        BeforeValidator(as_data, json_schema_input_type=str | DataSection),
        Expected("a built-in data set, `package.module:function` or `path/to/file.py:function`"),
    ]
    objective: Annotated[
        tuple[ObjectiveSection, ...],
        Field(strict=False),
        BeforeValidator(
            as_objectives, json_schema_input_type=str | ObjectiveSection | list[str | ObjectiveSection]
        ),
        AfterValidator(different_metrics),
        Expected("a metric, a mapping with `metric` and `direction`, or a list of these"),
    ]
    search: SearchSection = SearchSection()
    training: TrainingSection = TrainingSection()
    evaluation: EvaluationSection = EvaluationSection()
    resources: ResourcesSection = ResourcesSection()
    tracking: TrackingSection = TrackingSection()
    checkpoints: CheckpointsSection = CheckpointsSection()
    export: ExportSection = ExportSection()
    workdir: str = Field(default="runs", min_length=1)
    """Folder of the studies, from the working folder."""

    _origin: Origin = PrivateAttr(Origin("Experiment"))

    def __init__(self, origin: Origin = Origin("Experiment"), /, **values: Any) -> None:  # noqa: B008 (frozen)
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise ExperimentError(explain(error, Experiment, origin, given=values)) from None
        self._origin = origin

    @classmethod
    def load(cls, path: str | Path, overrides: Iterable[str] = ()) -> Self:
        """Reads an experiment file.

        Args:
            path: YAML. Relative paths in it start at its folder, or else at the working folder.
            overrides: `key.path=value`, set in this order, e.g. `search.trials=5`.

        Raises:
            ExperimentError: The file cannot be read, or a value is wrong; the message lists all that are.
        """
        path = Path(path)
        values = experiment_file.read(path)
        overridden = tuple(experiment_file.assign(values, override) for override in overrides)
        origin = Origin(str(path), overridden)
        for key in ("model", "data"):
            if isinstance(values.get(key), dict) and "target" in values[key]:
                advice = (
                    "`target` is for objects given from Python; a file names them: `path/to/file.py:name`."
                )
                raise ExperimentError(fault(origin.place((key, "target")), "unknown key", advice=advice))
        experiment = cls(origin, **values)
        return experiment.model_copy(
            update={key: _located(getattr(experiment, key), origin, key) for key in ("model", "data")}
        )

    @property
    def where(self) -> str:
        """What messages name: the file it was read from, or `Experiment`."""
        return self._origin.where

    @property
    def tflite_format(self) -> str:
        """The format of the file whose metrics are objectives or constrained."""
        exported = (each for each in self.export.formats if each in get_args(TfliteFormat))
        return self.search.tflite_format or next(exported, "float32")

    def to_yaml(self) -> str:
        """Writes the experiment as a file that `load` reads; objects given from Python by their names."""
        return experiment_file.write(self._plain())

    def settings(self) -> dict[str, Value]:
        """Returns every setting by its dotted key, e.g. `search.strategy.name`."""
        return flatten(self._plain())

    def identity(self) -> dict[str, Value]:
        """Returns the settings that must not change when a study continues.

        Budgets, resources, tracking and export may change; so may the folders of the user's files, and
        what is written beside the results.
        """
        values = self._plain()
        for key in ("model", "data"):
            values[key]["name"] = _without_folder(values[key]["name"])
            if "path" in values[key].get("options", {}):
                values[key]["options"]["path"] = Path(str(values[key]["options"]["path"])).name
        kept_of_search = ("strategy", "seed", "space", "constraints")
        search = {key: values["search"][key] for key in kept_of_search if key in values["search"]}
        metrics = (*(each.metric for each in self.objective), *(self.search.constraints or ()))
        if any(metric.startswith("tflite_") for metric in metrics):
            search["tflite_format"] = self.tflite_format
        values["training"].pop("tensorboard", None)
        kept = {key: values[key] for key in ("model", "data", "objective", "training")}
        if self.evaluation.parts:
            values["evaluation"].pop("select")
            kept["evaluation"] = values["evaluation"]
        return flatten({**kept, "search": search})

    def _plain(self) -> dict[str, Any]:
        values = plain(self)
        for name in ("epochs", "batch_size"):  # what is not written leaves a model its own
            if name not in self.training.model_fields_set:
                values["training"].pop(name)
        metrics = [each if "direction" in each else each["metric"] for each in values["objective"]]
        return {**values, "objective": metrics if len(metrics) > 1 else metrics[0]}

    def digest(self) -> str:
        """Returns SHA-256 of `identity`, 16 hexadecimal digits."""
        text = json.dumps(self.identity(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def schema() -> dict[str, Any]:
    """Returns the JSON schema of experiment files, for editors."""
    found = Experiment.model_json_schema()
    found["required"].remove("name")
    found["properties"]["name"]["description"] = "Default: the file's name without its ending."
    found["description"] = "An experiment of hpsearch: a model, a data set, an objective and a budget."
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **found}


def _located(section: _Named, origin: Origin, key: str) -> _Named:
    """Makes the paths of a section that was read from a file absolute."""
    folder = Path(origin.where).parent
    name = experiment_file.resolve_reference(section.name, folder, origin.place((key, "name")))
    options = dict(section.options)
    if isinstance(options.get("path"), str):
        options["path"] = str(experiment_file.find(options["path"], folder))
    return section.model_copy(update={"name": name, "options": options})


def _without_folder(reference: str) -> str:
    source, colon, name = reference.rpartition(":")
    return f"{Path(source).name}{colon}{name}"
