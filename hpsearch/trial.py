"""Values that travel between the driver, the workers and the tracker.

Only these frozen dataclasses cross a process border. A *job* is what the driver asks a worker to do,
an *outcome* is what comes back; a failure is an outcome like any other, never an exception.

    Probe       -> ProbeResult      build the model once: space, metrics, shapes
    TrialSpec   -> Result           train one trial (an `Epoch` after each epoch)
    Evaluation  -> EvaluationResult the held-out test data, once
    Export      -> ExportResult     a verified file for deployment
    RateRange   -> RateRangeResult  train the default model as its learning rate grows (an `Epoch` a step)
    any of them -> Failure
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Self

from hpsearch.parts import Part, PartResult
from hpsearch.space import Space

Value = bool | int | float | str
"""What a hyperparameter can be."""

MODEL_FILE = "model.keras"
"""In a trial's folder: the model of its best epoch."""
SYSTEM_FILE = "system_metrics.jsonl"
"""There: what its worker took of the machine, where that is asked for."""
CHECKPOINTS_FOLDER = "checkpoints"
"""There: its models of other epochs, where they are asked for."""
SAMPLES_FILE, TRUTH_FILE, CALIBRATION_FILE = "samples.npz", "truth.npz", "calibration.npz"
"""Beside a test evaluation: test rows, what is true of them, and training rows."""
PREPROCESSING_FILE = "preprocessing.json"
"""There: the Keras layers, with their statistics, that made a table's columns the model's inputs."""
VOCABULARY_FILE = "vocabulary.txt"
"""In a trial's folder: a text model's tokens by their ids. Beside an export it is called after the file."""
ONLY_OUTPUT = "output"
"""Name, among what is true, of the target of a model with one output."""
STATE_FILES = "state*.npz"
"""There: what a trial that has not ended needs to go on."""


class TrialState(StrEnum):
    """How a trial stands; the names are Optuna's."""

    RUNNING = "RUNNING"
    COMPLETE = "COMPLETE"
    PRUNED = "PRUNED"
    FAILED = "FAILED"


class FailureKind(StrEnum):
    """Why a job failed."""

    BUILD = "build"
    DATA = "data"
    NAN = "nan"
    OUT_OF_MEMORY = "out_of_memory"
    CRASH = "crash"
    TIMEOUT = "timeout"
    INTERRUPTED = "interrupted"
    EXPORT = "export"
    ERROR = "error"


@dataclass(frozen=True)
class Probe:
    """Job: load the data, build the model once with default values, train nothing."""

    folder: str
    """Where the job may write; absolute."""


@dataclass(frozen=True)
class TrialSpec:
    """Job: train one trial. With the experiment it determines every number of the result."""

    number: int
    params: Mapping[str, Value]
    """Values already chosen, by the user's names (all of them when a trial is run again); the worker
    asks the driver for every other hyperparameter at the moment the model declares it."""
    seed: int
    folder: str
    """The trial's own folder, absolute: `<workdir>/<study>/trials/0007`."""
    prunable: bool = False
    """Whether the worker must wait for *keep* or *prune* after each epoch."""
    attempt: int = 1
    """How often it has been tried, this time included; no number of the result depends on it."""
    pause_after: int | None = None
    """Epoch, or part, at whose end it pauses, unless it has ended by then. Default: it trains to its end."""
    part: Part | None = None
    """Which training of a trial of several this is. Default: all of them, or the only one."""


@dataclass(frozen=True)
class Evaluation:
    """Job: evaluate the model in a trial's folder on the test data."""

    trial: int
    model: str
    """The `.keras` file, absolute."""
    folder: str
    """Receives `samples.npz`, `test_predictions.csv`, pictures; absolute."""
    part: Part | None = None
    """The part that the model is of: it was trained on that part's rows, with their preprocessing."""


@dataclass(frozen=True)
class Export:
    """Job: convert a model, run the file, compare it with Keras on real samples."""

    model: str
    """The `.keras` file, absolute."""
    samples: str
    """`samples.npz` written by an `Evaluation`: one array an input, named by input; absolute."""
    target: str
    """The file to write, absolute; it appears only when it is right."""
    format: str = "float32"
    tolerance: float = 1e-4
    """Largest difference to Keras allowed, relative to the largest absolute output (at least 1)."""
    min_agreement: float = 0.95
    """Of a quantized file: least share of samples with Keras's class, or R² to Keras's amounts."""
    max_loss: float = 0.02
    """Of a quantized file: largest loss of accuracy, macro F1 or R² on the samples."""
    task: str | None = None
    """`classification` or `regression`. Default: inferred from the loss and the outputs."""
    class_names: tuple[str, ...] = ()
    """Written beside the file, in the order of their numbers."""
    truth: str | None = None
    """What is true of the samples, from the same `Evaluation`. Default: unknown, so nothing is scored."""
    calibration: str | None = None
    """Training rows like the samples, from the same `Evaluation`; `int8` and `int16x8` need them."""
    integer_io: bool = False
    """Whether such a file takes and returns integers."""
    measure: bool = False
    """Whether the file's speed and memory are measured."""
    source: Mapping[str, str] = field(default_factory=dict)
    """Where the model comes from, written beside the file: study, trial, MLflow run."""


@dataclass(frozen=True)
class RateRange:
    """Job: train the model with default values for a while, its learning rate growing geometrically."""

    low: float
    high: float
    steps: int
    picture: str | None = None
    """The `.png` file to draw, absolute. Default: none."""


@dataclass(frozen=True)
class Survey:
    """Job: build the model at its default and at random points of the space, train nothing."""

    points: int
    """Random ones."""
    timeout_s: float
    """No build begins later."""
    folder: str
    """Receives the default model as `model.keras`, and `params.json`; absolute."""


Job = Probe | TrialSpec | Evaluation | Export | RateRange | Survey


@dataclass(frozen=True)
class Epoch:
    """What one epoch of a trial measured; or, of a trial of several parts, their mean when one has ended."""

    number: int
    """From 1; of the part, where it is such a mean."""
    metrics: Mapping[str, float]
    ended_at_s: float
    """Unix time, seconds."""
    part: Part | None = None
    """The part whose epoch this is: people see it, no pruner does."""


@dataclass(frozen=True)
class DataSummary:
    """A data set in a few words."""

    name: str
    digest: str
    """SHA-256 over all splits, 16 hexadecimal digits."""
    task: str
    """`classification` or `regression`."""
    sizes: Mapping[str, int]
    """Rows of `train`, `validation`, `test`."""
    shapes: Mapping[str, str]
    """Shape and type by array, e.g. `x: (64,) float32`."""
    class_names: tuple[str, ...] = ()


@dataclass(frozen=True)
class ProbeResult:
    """What building the model once showed."""

    space: Space
    metrics: tuple[str, ...]
    """Every metric an epoch will report, e.g. `loss`, `val_loss`, `val_f1_macro`."""
    any_metric: bool
    """Whether training is the user's own code (`HyperModel.fit`), so that more metrics may appear."""
    data: DataSummary
    parameters: int
    """Trainable and other weights of the default model, counted one by one."""
    versions: Mapping[str, str]
    """What the worker runs: `python`, `tensorflow`, `keras`, `keras-tuner`, `numpy`, `backend`."""
    of_deployment: tuple[str, ...] = ()
    """Metrics that a trial can have of what will be deployed; no epoch reports them."""
    flops: int | None = None
    """Floating point operations of the default model for one row; None where they cannot be counted."""


@dataclass(frozen=True)
class Result:
    """A trial that ran to its end, or to its pruning."""

    params: Mapping[str, Value]
    """Every hyperparameter the trial used, those that appeared on a branch included."""
    metrics: Mapping[str, float]
    """Those of the best epoch by the first objective, or their means over all parts; names as in `Epoch`."""
    epochs: int
    """Of all parts together."""
    best_epoch: int
    """0 where there are several parts, each with its own."""
    duration_s: float
    pruned: bool = False
    paused: bool = False
    """Whether it only stopped for now, what it needs to go on being kept in its folder."""
    constraints: Mapping[str, float] = field(default_factory=dict)
    """How far the trial is beyond each constraint whose metric is known; at most 0 where it is met."""
    facts: Mapping[str, Value] = field(default_factory=dict)
    """Other things known: `parameters`, `threads`, ..."""
    files: tuple[str, ...] = ()
    """Written into the trial's folder, relative to it; `model.keras` among them."""
    parts: tuple[PartResult, ...] = ()
    """Those that ended, in order; empty where the trial is one training."""

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Makes it of what `dataclasses.asdict` made of it, also after a detour over JSON."""
        parts = tuple(map(PartResult.from_dict, values.get("parts", ())))
        return cls(**{**values, "files": tuple(values["files"]), "parts": parts})

    @property
    def broken(self) -> tuple[str, ...]:
        """The constraints that the trial breaks."""
        return tuple(name for name, violation in self.constraints.items() if violation > 0)


@dataclass(frozen=True)
class EvaluationResult:
    """The test metrics of one model, named `test_...`."""

    metrics: Mapping[str, float]
    samples: str
    """Path of `samples.npz`, absolute."""
    files: tuple[str, ...] = ()
    """Written into the evaluation's folder, relative to it."""


@dataclass(frozen=True)
class ExportResult:
    """A file that agrees with Keras."""

    path: str
    format: str
    size_bytes: int
    largest_difference: float
    mean_difference: float
    agreement: float | None
    """Share of samples with the same predicted class; None for regression."""
    samples: int
    ops: tuple[str, ...] = ()
    """Operators in the file; all built in."""
    notes: tuple[str, ...] = ()
    """Fallbacks that were needed, e.g. a fixed batch of 1."""
    keras_scores: Mapping[str, float] = field(default_factory=dict)
    """Accuracy, precision, recall and F1, or MAE, RMSE and R², of the Keras model on the samples."""
    scores: Mapping[str, float] = field(default_factory=dict)
    """The same of the file."""
    speed: Speed | None = None
    """Default: it was not measured."""

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Makes it of what `dataclasses.asdict` made of it, also after a detour over JSON."""
        speed = values.get("speed")
        tuples = {name: tuple(values[name]) for name in ("ops", "notes") if name in values}
        return cls(**{**values, **tuples, "speed": Speed.from_dict(speed) if speed else None})


@dataclass(frozen=True)
class Latency:
    """How long one call with one row takes."""

    threads: int
    xnnpack: bool
    """Whether XNNPACK's kernels are used, as they are by default."""
    median_ms: float
    p90_ms: float


@dataclass(frozen=True)
class Speed:
    """What a file costs where it was exported."""

    latencies: tuple[Latency, ...]
    memory_kib: int | None = None
    """By how much the interpreter, the file in it and its calls raised the process's peak."""
    structure: str | None = None
    """Digest of what the file computes but for what was learned: another one with the same is as fast."""

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Makes it of what `dataclasses.asdict` made of it, also after a detour over JSON."""
        latencies = tuple(Latency(**each) for each in values["latencies"])
        return cls(latencies, values["memory_kib"], values.get("structure"))

    @property
    def default(self) -> Latency:
        """One thread, with XNNPACK."""
        return self.latencies[0]


@dataclass(frozen=True)
class RateRangeResult:
    """What a learning-rate range test found."""

    suggestion: float | None
    """The rate at which the loss falls most steeply; None if it does not fall."""
    low: float | None
    """Where the range worth searching begins, below the suggestion."""
    high: float | None
    """Where it ends: the rate at which the loss is lowest, and above which it no longer falls."""
    rates: tuple[float, ...]
    """One a step, until the loss ran away."""
    losses: tuple[float, ...]
    """Of the steps' batches."""
    smoothed: tuple[float, ...]
    """The losses without their noise."""
    optimizer: str
    """Keras's name of it; another one has other rates."""
    batch_size: int
    picture: str | None = None
    notes: tuple[str, ...] = ()
    """What a person should know, one sentence each."""


@dataclass(frozen=True)
class Build:
    """What building the model at one point of the space showed."""

    params: Mapping[str, Value]
    """As far as they were declared."""
    parameters: int = 0
    """Trainable and other weights, counted one by one."""
    memory_bytes: int = 0
    """What training holds: weights, gradients, the optimizer's state and a batch's activations, estimated."""
    cause: str | None = None
    """Why there is no model, in one line. Default: there is."""


@dataclass(frozen=True)
class SurveyResult:
    """What building the model at random points of the space showed."""

    builds: tuple[Build, ...]
    """The default first."""
    model: str | None
    """The default model's file, absolute; None if it cannot be saved."""


@dataclass(frozen=True)
class Failure:
    """A job that did not succeed."""

    kind: FailureKind
    cause: str
    """One line."""
    detail: str = ""
    """The traceback or the end of the log."""
    usage: bool = False
    """Whether the cause is what the user wrote (a `UsageError`)."""


Outcome = ProbeResult | Result | EvaluationResult | ExportResult | RateRangeResult | SurveyResult | Failure
