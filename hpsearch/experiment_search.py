"""The section `search` of an experiment: the strategy, the space's overrides, where to begin, the budget."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from hpsearch.experiment_constraints import ConstraintForm, can_be_met
from hpsearch.experiment_errors import Expected, reject
from hpsearch.experiment_failures import FailureSection
from hpsearch.experiment_forms import (
    Count,
    OverrideForm,
    PointForm,
    Section,
    as_named,
    as_plug_in,
    as_points,
    as_tuple,
)
from hpsearch.space import Override

DEFAULT_TRIALS = 20
"""When none of `ENDS` is given and the strategy is not `grid`, which ends by itself."""
ENDS = ("trials", "timeout_s", "total_epochs", "total_compute_s", "patience", "min_improvement")
"""The keys that end a search."""

Sampler = Literal["tpe", "gp", "cmaes", "nsgaii", "nsgaiii", "qmc", "random", "bayesian"]
Pruner = Literal[
    "none",
    "median",
    "percentile",
    "successive_halving",
    "hyperband",
    "patient",
    "threshold",
    "wilcoxon",
]
StrategyName = Literal["auto", "grid", "random", "bayesian", "hyperband", "asha", "optuna"]
TfliteFormat = Literal["float32", "float16", "dynamic_range", "int8", "int16x8"]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Seconds = Annotated[float, Field(gt=0)]


class StrategySection(Section):
    """How points are proposed and trials pruned."""

    name: StrategyName = "auto"
    """Default: `auto`, which chooses by space and budget; `optuna` if a sampler or pruner is named."""
    sampler: Annotated[
        str | dict[str, Any] | None,
        as_plug_in(Sampler),
        Expected("a sampler's name, or a mapping with `name`"),
    ] = None
    """Of `optuna` and `asha`: a name, or a mapping of `name` and arguments. Default: `tpe`."""
    pruner: Annotated[
        str | dict[str, Any] | None, as_plug_in(Pruner), Expected("a name, or a mapping with `name`")
    ] = None
    """A name, or a mapping of `name` and arguments. Default: `none`."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Arguments of the strategy."""

    @model_validator(mode="after")
    def _is_optunas(self) -> Self:
        named = "name" in self.model_fields_set
        if not named and (self.sampler is not None or self.pruner is not None):
            object.__setattr__(self, "name", "optuna")
        return self


class SearchSection(Section):
    """The strategy, the space's overrides and the budget."""

    strategy: Annotated[
        StrategySection,
        BeforeValidator(as_named, json_schema_input_type=StrategyName | StrategySection),
        Expected("a strategy's name, or a mapping with `name`"),
    ] = StrategySection()
    trials: Count | None = None
    """How many trials end the search. Default: 20, unless another key ends it or the strategy is `grid`."""
    timeout_s: Seconds | None = None
    """Seconds after which no more trials begin."""
    total_epochs: Count | None = None
    """Epochs of all trials together after which no more trials begin."""
    total_compute_s: Seconds | None = None
    """Seconds of all trials together after which no more begin: two side by side use two a second."""
    patience: Count | None = None
    """Trials without a better one after which no more begin; with several objectives, without one on the
    Pareto front. Failed trials do not count."""
    min_improvement: Annotated[float, Field(gt=0)] | None = None
    """Least improvement worth a trial, in the objective's unit: no more begin once a Gaussian process expects
    the most promising point of the space to better the best by less."""
    seed: Seed = 0
    """Every number of the search follows from it."""
    space: dict[str, Annotated[Override, OverrideForm()]] = Field(default_factory=dict)
    """By hyperparameter: a value, a list of values, or `low`, `high`, `step`, `log` of a range. For every
    model `epochs`, `batch_size`, `optimizer`, `learning_rate`, `schedule`, `warmup_epochs`, `momentum`,
    `weight_decay`, `clip_norm`, `clip_value` and `label_smoothing` can be searched."""
    start: Annotated[
        tuple[PointForm, ...] | None,
        BeforeValidator(as_points, json_schema_input_type=list[PointForm] | None),
        Expected("a list of points, each a mapping of hyperparameters and values"),
    ] = None
    """Points to try before all others, each a mapping of hyperparameters and values. What a point does not
    name is chosen by the strategy. A study that goes on tries those that are new."""
    defaults_first: bool = False
    """Whether the very first trial has the defaults that the model declares."""
    warm_start: Annotated[
        tuple[str, ...] | None,
        BeforeValidator(as_points, json_schema_input_type=list[str] | None),
        Expected("a list of studies, by name or folder"),
    ] = None
    """Earlier studies of the same objective. Their best points, five at most, are tried in turn with the
    strategy's own, as long as they are no worse."""
    constraints: Annotated[
        tuple[ConstraintForm, ...] | None,
        Field(strict=False),
        BeforeValidator(as_tuple, json_schema_input_type=str | list[str] | None),
        AfterValidator(can_be_met),
        Expected("a list of constraints, each a metric, `<=`, `>=`, `<` or `>`, and a number"),
    ] = None
    """What a trial must meet to be chosen, e.g. `parameters <= 100000`, `val_accuracy >= 0.9`. Those on what
    is known before training (`parameters`, `flops`, `tflite_size_kib`, `tflite_latency_ms`) are checked then:
    a trial that breaks one is not trained."""
    tflite_format: TfliteFormat | None = None
    """Of the file that `tflite_size_kib`, `tflite_latency_ms` and `tflite_accuracy` are of, where these are
    objectives or constrained. Default: the first such in `export.formats`, else `float32`."""
    max_failures_in_a_row: Count = 5
    """Failed trials after which the search stops; infeasible ones count until a trial has ended well."""
    on_failure: FailureSection = FailureSection()

    @model_validator(mode="after")
    def _ends(self) -> Self:
        given = [getattr(self, key) for key in ENDS]
        if not any(given) and self.strategy.name != "grid":
            if "trials" in self.model_fields_set:
                raise reject(
                    "the search would never end",
                    expected=", ".join(f"`{key}`" for key in ENDS[:-1]) + f" or `{ENDS[-1]}`",
                    received="none of them",
                )
            object.__setattr__(self, "trials", DEFAULT_TRIALS)
        return self
