"""How a trial is judged: the section `evaluation` of an experiment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from hpsearch.experiment_errors import reject
from hpsearch.experiment_forms import Count, Section
from hpsearch.parts import Part, parts_of

Splitter = Literal["kfold", "stratified", "group", "time_series"]


class EvaluationSection(Section):
    """How a trial is judged: by one training, or by the mean over several, its parts."""

    folds: Annotated[int, Field(ge=2)] | None = None
    """Cross-validation: the training and validation rows together are divided so many times, and what is
    fitted to rows is fitted to each fold's training rows alone. The test rows stay apart. Default: none."""
    splitter: Splitter | None = None
    """How: scikit-learn's `KFold`, `StratifiedKFold`, `GroupKFold` (with `data.options.groups`) or
    `TimeSeriesSplit`, shuffled by `data.seed` but for the last. Default: in order if the rows are split so,
    by groups if there are some, by class in classification; else `kfold`."""
    repeats: Count = 1
    """How often, each time with another seed; folds are shuffled anew."""
    select: Literal["best", "one_standard_error"] = "best"
    """Which trial is tested, exported and registered: that with the best mean, or of all within one standard
    error of it the one with the fewest parameters."""

    @property
    def parts(self) -> tuple[Part, ...]:
        """The trainings of each trial; empty if there is just one, which needs no parts."""
        found = parts_of(self.folds, self.repeats)
        return found if len(found) > 1 else ()

    @property
    def summary(self) -> str:
        """In a few words: `5 folds, repeated 2 times: 10 trainings a trial`."""
        folds = f"{self.folds} folds" + (f" ({self.splitter})" if self.splitter else "")
        times = f"repeated {self.repeats} times"
        what = ", ".join([*([folds] if self.folds else []), *([times] if self.repeats > 1 else [])])
        return f"{what}: {len(self.parts)} trainings a trial"

    @model_validator(mode="before")
    @classmethod
    def _hint(cls, value: Any) -> Any:
        if isinstance(value, Mapping) and "groups" in value:
            raise reject(
                "unknown key `groups`",
                expected="keys among folds, splitter, repeats, select",
                advice="Groups belong to the data: name their column under `data.options.groups`.",
            )
        return value

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if self.splitter is not None and self.folds is None:
            raise reject("a splitter needs `folds`", expected="`folds`, at least 2", received="none")
        if self.select == "one_standard_error" and not self.parts:
            raise reject(
                "one training has no standard error",
                expected="`folds`, or `repeats` above 1, with `select: one_standard_error`",
                received="neither",
            )
        return self
