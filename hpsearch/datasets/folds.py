"""Cross-validation: training and validation rows divided anew for each part of a trial, by scikit-learn.

Every trial sees the same folds, and the test rows are in none of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hpsearch.datasets.data import Array
from hpsearch.errors import DataError, fault
from hpsearch.references import summary

if TYPE_CHECKING:
    from hpsearch.datasets.split import Divided
    from hpsearch.experiment_evaluation import EvaluationSection

_KEY = "evaluation.splitter"


def fold_rows(divided: Divided, evaluation: EvaluationSection, seed: int) -> tuple[tuple[Array, Array], ...]:
    """Divides the rows that are not for the test.

    Args:
        divided: The data set.
        evaluation: `folds`, `splitter`, `repeats`.
        seed: Of the shuffles; each repeat has its own.

    Returns:
        Numbers of the rows to train on and to validate on, for each part in order.

    Raises:
        DataError: The splitter does not fit the data, or there are too few rows.
    """
    splitter = _splitter(divided, evaluation)
    folds = evaluation.folds or 0
    _check_counts(divided, splitter, folds)
    pool, labels, groups = divided.pool, _of(divided.labels, divided.pool), _of(divided.groups, divided.pool)
    found = []
    for repeat in range(evaluation.repeats):
        shuffle = int(np.random.SeedSequence((seed, repeat)).generate_state(1)[0])
        try:
            pairs = list(_made(splitter, folds, shuffle, divided.gap).split(pool, labels, groups))
        except ValueError as failure:
            what = "the rows cannot be divided into folds"
            raise DataError(fault(divided.where, what, received=summary(failure))) from failure
        for fold, (train, validation) in enumerate(pairs, start=1):
            found.append((pool[train], pool[validation]))
            _check_classes(divided, *found[-1], fold)
    return tuple(found)


def _of(values: Array | None, rows: Array) -> Array | None:
    return None if values is None else values[rows]


def _splitter(divided: Divided, evaluation: EvaluationSection) -> str:
    """Returns which one to use; refuses what would leak, or has nothing to go by."""
    chosen = evaluation.splitter
    if divided.ordered and chosen not in (None, "time_series"):
        what = "rows in their order cannot be shuffled into folds: training would see what comes after"
        raise DataError(fault(_KEY, what, expected="time_series", received=chosen))
    if chosen == "time_series" and not divided.ordered:
        advice = "Have the test rows come last, too: `data: {options: {split: ordered}}`."
        raise DataError(fault(_KEY, "is for rows in order of time", received=chosen, advice=advice))
    if chosen == "group" and divided.groups is None:
        advice = "Name a column, `data: {options: {groups: patient}}`, or give an array `groups` beside `x`."
        raise DataError(fault(_KEY, "the data has no groups", received=chosen, advice=advice))
    if divided.groups is not None and chosen not in (None, "group"):
        what = "would divide a group among training and validation"
        raise DataError(fault(_KEY, what, expected="group", received=chosen))
    if chosen == "stratified" and divided.labels is None:
        raise DataError(fault(_KEY, "needs one target of classes", expected="kfold", received=chosen))
    if chosen is not None:
        return chosen
    if divided.ordered:
        return "time_series"
    if divided.groups is not None:
        return "group"
    return "stratified" if divided.labels is not None and divided.stratified else "kfold"


def _made(splitter: str, folds: int, seed: int, gap: int) -> Any:
    from sklearn import model_selection

    if splitter == "time_series":
        return model_selection.TimeSeriesSplit(folds, gap=gap)
    names = {"kfold": "KFold", "stratified": "StratifiedKFold", "group": "GroupKFold"}
    return getattr(model_selection, names[splitter])(folds, shuffle=True, random_state=seed)


def _check_counts(divided: Divided, splitter: str, folds: int) -> None:
    """Checks before scikit-learn does, which only warns of a class that is not in every fold."""
    what, expected = None, f"at least {folds}, the number of folds"
    if splitter == "group" and divided.groups is not None:
        count = len(np.unique(divided.groups[divided.pool]))
        what = "too few groups for so many folds"
    elif splitter == "stratified" and divided.labels is not None:
        numbers, sizes = np.unique(divided.labels[divided.pool], return_counts=True)
        rarest, count = int(sizes.argmin()), int(sizes.min())
        name = divided.class_names[numbers[rarest]]
        what = f"class `{name}` has too few rows to be in the validation rows of every fold"
    else:
        count = len(divided.pool)
        what = "too few rows for so many folds"
    if count < folds:
        advice = "Fewer `evaluation.folds`, or more rows."
        raise DataError(fault(divided.where, what, expected=expected, received=count, advice=advice))


def _check_classes(divided: Divided, train: Array, validation: Array, fold: int) -> None:
    if divided.labels is None:
        return
    strangers = np.setdiff1d(divided.labels[validation], divided.labels[train])
    if len(strangers):
        name = divided.class_names[strangers[0]]
        what = f"class `{name}` has rows to validate on in fold {fold}, and none to train on"
        raise DataError(fault(divided.where, what, advice="Fewer `evaluation.folds`, or more rows of it."))
