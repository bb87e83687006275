"""How sure the numbers are: intervals of test metrics, and whether two trials can be told apart.

The test rows are a sample; another sample would give other numbers. The bootstrap (Efron 1979) draws as many
rows again, with replacement, and looks how far the metric moves. For metrics of classes it is enough to
draw the cells of the confusion matrix, which is one multinomial draw.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING, Any

from hpsearch.writing import number

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from hpsearch.study import Study

DRAWS = 1000
LEVEL = 0.95
FEWEST_CHANGES = 3
"""From one epoch to the next, from which one can tell how restless a trial is."""


@dataclass(frozen=True)
class Interval:
    """Where a metric probably lies, over all samples of as many rows."""

    low: float
    high: float
    rows: int


def metric_intervals(study: Study) -> dict[str, Interval]:
    """Returns 95 % bootstrap intervals of the champion's test metrics, by their names.

    Args:
        study: Any; without a champion there are none. Models of several outputs have none.
    """
    import pandas as pd

    file = study.folder / "champion" / "test_predictions.csv"
    if study.champion is None or not file.is_file():
        return {}
    rows = pd.read_csv(file, dtype={"truth": str, "prediction": str}, keep_default_na=False)
    if not {"truth", "prediction"} <= set(rows.columns) or rows.empty:
        return {}
    truth, predicted = rows["truth"], rows["prediction"]
    if study.facts["data"]["task"] == "classification":
        return _of_classes(truth.to_numpy(), predicted.to_numpy(), study.facts["data"]["class_names"])
    try:
        return _of_amounts(truth.to_numpy().astype("float64"), predicted.to_numpy().astype("float64"))
    except ValueError:  # several amounts a row
        return {}


def _of_classes(truth: NDArray[Any], predicted: NDArray[Any], class_names: list[str]) -> dict[str, Interval]:
    import numpy as np

    names = list(dict.fromkeys([*map(str, class_names), *truth, *predicted]))
    number = {name: index for index, name in enumerate(names)}
    pairs = np.array([number[t] * len(names) + number[p] for t, p in zip(truth, predicted, strict=True)])
    cells = np.bincount(pairs, minlength=len(names) ** 2)
    drawn = np.random.default_rng(0).multinomial(len(pairs), cells / cells.sum(), size=DRAWS)
    counts = drawn.reshape(DRAWS, len(names), len(names)).astype(float)
    hits = np.diagonal(counts, axis1=1, axis2=2)
    support, called = counts.sum(axis=2), counts.sum(axis=1)
    scores = {"precision": (hits, called), "recall": (hits, support), "f1": (2 * hits, support + called)}
    accuracy = hits.sum(axis=1) / len(pairs)
    found = {"test_accuracy": accuracy}
    occurs = support + called > 0
    for kind, (part, whole) in scores.items():
        of_class = np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)
        found[f"test_{kind}_macro"] = (of_class * occurs).sum(axis=1) / occurs.sum(axis=1)
        found[f"test_{kind}_micro"] = accuracy
        found[f"test_{kind}_weighted"] = (of_class * support).sum(axis=1) / len(pairs)
        found |= {f"test_{kind}_class_{name}": of_class[:, index] for index, name in enumerate(names)}
    return {name: _interval(values, len(pairs)) for name, values in found.items()}


def _of_amounts(truth: NDArray[np.float64], predicted: NDArray[np.float64]) -> dict[str, Interval]:
    import numpy as np

    draw, rows = np.random.default_rng(0), len(truth)
    found: dict[str, list[float]] = {"test_mae": [], "test_rmse": [], "test_r2": []}
    error = predicted - truth
    for _ in range(DRAWS):
        chosen = draw.integers(rows, size=rows)
        of_draw, true = error[chosen], truth[chosen]
        spread = ((true - true.mean()) ** 2).sum()
        found["test_mae"].append(float(np.abs(of_draw).mean()))
        found["test_rmse"].append(float(np.sqrt((of_draw**2).mean())))
        found["test_r2"].append(float(1 - (of_draw**2).sum() / spread) if spread > 0 else math.nan)
    return {name: _interval(np.array(values), rows) for name, values in found.items()}


def _interval(values: NDArray[np.float64], rows: int) -> Interval:
    import numpy as np

    tail = 100 * (1 - LEVEL) / 2
    low, high = np.nanpercentile(values, [tail, 100 - tail])
    return Interval(float(low), float(high), rows)


def told_apart(study: Study) -> str | None:
    """Says whether the validation rows are enough to tell the best trial from the second.

    Only where the objective is the share of rows that are right: its standard error is known without the
    single predictions. Both trials saw the same rows, so that the error of the difference is at most that
    of independent ones.

    Args:
        study: Any.

    Returns:
        A sentence; None where it cannot be said.
    """
    ranking = tuple(trial for trial in study.ranking if trial.feasible)
    metric = next(iter(study.objectives))
    rows = study.facts.get("data", {}).get("sizes", {}).get("validation")
    share = metric in ("val_accuracy", "val_binary_accuracy", "val_sparse_categorical_accuracy")
    if len(ranking) < 2 or not rows or not share or len(study.objectives) > 1:
        return None
    first, second = ranking[0], ranking[1]
    gap = first.values[0] - second.values[0]
    error = math.sqrt(sum(p * (1 - p) for p in (first.values[0], second.values[0])) / rows)
    within = sum(first.values[0] - trial.values[0] <= 2 * error for trial in ranking) - 1
    if gap > 2 * error:
        return (
            f"Trial {first.number} is better than trial {second.number} by {gap:.4f}, more than twice the "
            f"standard error of the difference on {rows:,} validation rows ({error:.4f})."
        )
    others = f"trial {second.number}" if within == 1 else f"the next {within} trials"
    return (
        f"On {rows:,} validation rows trial {first.number} cannot be told from {others}: the standard error "
        f"of a difference is {error:.4f}. Prefer whichever is smaller or faster, or validate on more rows."
    )


def trained_once(study: Study) -> str | None:
    """Says what the distance between the first and the second does not tell, where nothing else does.

    Args:
        study: Any.

    Returns:
        A sentence; None where there is no second, or trials are trained several times.
    """
    ranking = tuple(trial for trial in study.ranking if trial.feasible)
    if len(ranking) < 2 or len(study.objectives) > 1 or ranking[0].parts:
        return None
    first, second = ranking[0], ranking[1]
    gap = abs(first.values[0] - second.values[0])
    ahead = f"{gap:.4f}" if gap >= 5e-5 else "less than 0.0001"
    lead = f"Trial {first.number} is {ahead} ahead of trial {second.number}. Each was trained once"
    moves = _moves(study, first.number)
    if moves is not None and moves > gap / 2:
        return (
            f"{lead}, and from one epoch to the next trial {first.number} itself moves by {moves:.4f} "
            "(median of its last third): so small a lead may be chance, which `evaluation: {repeats: 3}` "
            "would show."
        )
    return f"{lead}, so how much of that is chance is not known: `evaluation: {{repeats: 3}}` shows it."


def _moves(study: Study, trial: int) -> float | None:
    """Returns by how much a trial's objective changes from epoch to epoch, the median over its last third."""
    stored = next(each for each in study.optuna.get_trials(deepcopy=False) if each.number == trial)
    values = [value for _, value in sorted(stored.intermediate_values.items())]
    changes = [abs(after - before) for before, after in pairwise(values)][-(len(values) // 3) :]
    return median(changes) if len(changes) >= FEWEST_CHANGES else None


def selection(study: Study) -> str | None:
    """Says why another trial than the best was selected, if one was."""
    if not study.ranking or study.selected.number == study.ranking[0].number:
        return None
    chosen, best = study.selected, study.ranking[0]
    return (
        f"Trial {chosen.number} is selected: of those within one standard error of trial {best.number} it "
        f"has the fewest parameters ({number(chosen.parameters)} instead of {number(best.parameters)})."
    )


def flattery(study: Study) -> str | None:
    """Says how much better the champion looked in validation than in the test, by the first objective.

    The best of many validation scores is partly luck: the test score is the one to quote.
    """
    champion = study.champion
    metric, direction = next(iter(study.objectives.items()))
    test = f"test_{metric.removeprefix('val_')}"
    if champion is None or test not in champion.get("test", {}):
        return None
    validation, tested = champion["values"][metric], champion["test"][test]
    gap = validation - tested if direction == "maximize" else tested - validation
    selected = f"Trial {champion['trial']} was selected for {metric} {validation:.4f}"
    if gap <= 0:
        return f"{selected}; on rows that no trial saw, its {test} is no worse, {tested:.4f}: quote this one."
    return (
        f"{selected}, {gap:.4f} better than the {test} of {tested:.4f} on rows that no trial saw. Quote the "
        "test score: the best of many validation scores is partly luck."
    )
