"""Rows into training, validation and test, once, by a seed; every trial sees the same split."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hpsearch.datasets.data import Array, Data, Preprocessing, Split, digest_of
from hpsearch.datasets.groups import check_groups, divide_groups
from hpsearch.datasets.ordered import check_classes, check_order, in_order
from hpsearch.datasets.preprocessing import preprocess
from hpsearch.datasets.source import Source
from hpsearch.datasets.targets import Targets, class_numbers, read_targets
from hpsearch.errors import DataError, fault


@dataclass(frozen=True, eq=False)
class Divided:
    """Rows for training, validation and test whose inputs are still what the loader gave."""

    where: str
    """Names the data set, for messages."""
    parts: Mapping[str, Split]
    """`train`, `validation` and `test`."""
    rows: Split
    """All that the source did not split itself, in their first order."""
    pool: Array
    """Numbers of those that are for training and validation, those of a gap between them included."""
    labels: Array | None
    """The class of each of the rows, where there is one target of classes."""
    groups: Array | None
    """Their groups, where there are some."""
    ordered: bool
    """Whether the rows are in order of time."""
    gap: int
    """Then: the rows left out between two parts."""
    stratified: bool
    """Whether each class shall have the same share of every part."""
    own_validation: bool
    """Whether the source itself set validation rows apart: they are not in the pool."""
    task: str
    class_names: tuple[str, ...]
    preprocess: Callable[[Any], Preprocessing] | None

    def finish(self, name: str, parts: Mapping[str, Split]) -> Data:
        """Returns a data set of raw rows, with what is fitted fitted to its training rows alone.

        Args:
            name: Of the data set.
            parts: `train`, `validation` and `test`.

        Raises:
            DataError: The preprocessing fails.
        """
        preprocessing = None
        if self.preprocess is not None:
            preprocessing, parts = preprocess(self.preprocess, dict(parts), self.where)
        return Data(
            name=name,
            train=parts["train"],
            validation=parts["validation"],
            test=parts["test"],
            task=self.task,
            class_names=self.class_names,
            digest=digest_of(parts["train"], parts["validation"], parts["test"]),
            preprocessing=preprocessing,
        )


def divide(
    source: Source,
    *,
    where: str,
    validation: float,
    test: float,
    seed: int,
    task: str | None = None,
    stratify: bool | None = None,
    one_hot: bool = False,
    split: str | None = None,
    gap: int | None = None,
) -> Divided:
    """Splits the rows that the source did not split itself.

    Args:
        source: What the loader returned.
        where: Names the data set, for messages.
        validation: Share of the rows to be split that becomes validation data; unused where the
            source sets validation rows apart.
        test: Likewise for the test.
        seed: Of the shuffle.
        task: What the user says the target is. Default: told from the target.
        stratify: Whether each class has the same share of every split. Default: where the rows are
            shuffled, and have no groups.
        one_hot: Whether class numbers become one-hot rows, for `categorical_crossentropy`.
        split: `random`, or `ordered`: the first rows are for training, those after them for validation
            as in Keras's `validation_split`, the last for the test. Default: `ordered` for a series.
        gap: Rows left out between two parts of an ordered split. Default: as many as overlap.

    Raises:
        DataError: A share is out of range, there are too few rows, or the target is malformed.
    """
    shares = {
        part: share
        for part, share, given in (("test", test, source.test), ("validation", validation, source.validation))
        if given is None
    }
    _check_shares(shares)
    if split is not None and not shares:
        raise DataError(fault("data.options.split", f"{where} comes already split", received=split))
    ordered = check_order(split, gap, overlap=source.overlap, stratify=stratify)
    check_groups(source.groups, ordered=ordered, stratify=stratify)
    given = [part for part in (source.validation, source.test) if part is not None]
    _check_alike(source.train, given, where)
    targets = read_targets(
        [source.train, *given], task=task, class_names=source.class_names, where=where, one_hot=one_hot
    )
    ready = iter(targets.splits)
    rows = next(ready)
    parts = {
        part: next(ready)
        for part, split in (("validation", source.validation), ("test", source.test))
        if split is not None
    }
    labels, left_out = _labels(targets, rows), (source.overlap or 0) if gap is None else gap
    stratified = stratify is not False and source.groups is None
    chosen: Mapping[str, Array | slice]
    if ordered:
        pieces = in_order(len(rows), shares, left_out, where)
        check_classes(labels, pieces, targets.class_names, where)
        chosen = pieces
    else:
        counts = {part: round(len(rows) * share) for part, share in shares.items()}
        strata = labels if stratified else None
        _check_counts(counts, len(rows), strata, targets.class_names, where)
        chosen = _at_random(len(rows), counts, strata, source.groups, seed, where)
    parts |= {part: rows.select(indices) for part, indices in chosen.items()}
    parts.setdefault("train", rows)
    return Divided(
        where=where,
        parts=parts,
        rows=rows,
        pool=_pool(chosen, len(rows)),
        labels=labels,
        groups=source.groups,
        ordered=ordered,
        gap=left_out,
        stratified=stratified,
        own_validation=source.validation is not None,
        task=targets.task,
        class_names=targets.class_names,
        preprocess=source.preprocess,
    )


def _pool(chosen: Mapping[str, Array | slice], rows: int) -> Array:
    """Returns the numbers of the rows that are not for the test."""
    numbers = np.arange(rows)
    pieces = [numbers[chosen[part]] for part in ("train", "validation") if part in chosen]
    if not pieces:
        return numbers
    if isinstance(chosen["train"], slice):  # the rows of a gap between the two are of use here
        return np.arange(pieces[0][0], pieces[-1][-1] + 1)
    return np.sort(np.concatenate(pieces))


def _at_random(
    rows: int, counts: dict[str, int], labels: Array | None, groups: Array | None, seed: int, where: str
) -> dict[str, Array]:
    left = np.arange(rows)
    chosen: dict[str, Array] = {}
    for part, count in counts.items():
        if groups is None:
            left, chosen[part] = _divide(left, count, labels, seed)
        else:
            left, chosen[part] = divide_groups(left, count, groups, seed, where)
    return {**chosen, "train": left} if chosen else {}


def _divide(rows: Array, count: int, labels: Array | None, seed: int) -> tuple[Array, Array]:
    """Returns the rows that stay and `count` rows that leave."""
    from sklearn.model_selection import train_test_split

    stay, leave = train_test_split(
        rows, test_size=count, random_state=seed, stratify=None if labels is None else labels[rows]
    )
    return stay, leave


def _labels(targets: Targets, train: Split) -> Array | None:
    if not targets.class_names:
        return None
    y = next(iter(train.y.values())) if isinstance(train.y, Mapping) else train.y
    return class_numbers(y)


def _check_shares(shares: dict[str, float]) -> None:
    for part, share in shares.items():
        if not 0 < share < 1:
            raise DataError(
                fault(f"data.{part}", "out of range", expected="a share above 0 and below 1", received=share)
            )
    if sum(shares.values()) >= 1:
        raise DataError(
            fault(
                "data",
                "no rows are left for training",
                expected="`validation` + `test` below 1",
                received=" + ".join(str(share) for share in shares.values()),
            )
        )


def _check_counts(
    counts: dict[str, int], rows: int, labels: Array | None, class_names: tuple[str, ...], where: str
) -> None:
    """Checks before scikit-learn does, whose messages speak of its own arguments."""
    if not counts:
        return
    smallest = {**counts, "training": rows - sum(counts.values())}
    part, count = min(smallest.items(), key=lambda item: item[1])
    present = 1 if labels is None else len(np.unique(labels))
    if count < present:
        raise DataError(
            fault(
                where,
                f"{rows} rows are too few to split",
                expected="at least one row of each class in every split"
                if present > 1
                else "a row in every split",
                received=f"{count} rows for {part}, {present} classes"
                if present > 1
                else f"{count} rows for {part}",
            )
        )
    if labels is None:
        return
    numbers, sizes = np.unique(labels, return_counts=True)
    needed = len(counts) + 1
    if sizes.min() < needed:
        rarest = int(sizes.argmin())
        raise DataError(
            fault(
                where,
                f"class `{class_names[numbers[rarest]]}` has too few rows to be in every split",
                expected=f"at least {needed}",
                received=f"{sizes[rarest]}",
                advice="Leave the class out, or set `data.options.stratify` to false.",
            )
        )


def _check_alike(train: Split, others: list[Split], where: str) -> None:
    def form(split: Split) -> dict[str, tuple[int, ...]]:
        return {label: array.shape[1:] for label, array in split.arrays() if label.startswith("x")}

    for other in others:
        if form(other) != form(train):
            raise DataError(
                fault(
                    where,
                    "the splits' inputs differ",
                    expected=f"{form(train)} as in training",
                    received=str(form(other)),
                )
            )
