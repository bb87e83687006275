"""Good points of earlier studies: `search.warm_start`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, zip_longest
from pathlib import Path

import numpy as np

from hpsearch.errors import StudyError, fault
from hpsearch.objective import Objective
from hpsearch.space import Point, Space
from hpsearch.strategies.coordinates import Array, Coordinates
from hpsearch.study import Study
from hpsearch.study_folder import find_study

MOST_POINTS = 5
"""Of all earlier studies together. They cost no more trials than that, however wrong they are."""
_ALIKE = 0.1
"""Points that differ by less in every coordinate, of 1, show the same."""


def good_points(
    names: Sequence[str], workdir: Path, space: Space, objectives: Sequence[Objective], where: str
) -> tuple[Point, ...]:
    """Returns the best points of earlier studies, in turns, without those that are much like a better one.

    Of each point what is searched now is kept: hyperparameters of other names, and values that now lie
    outside, are left to the strategy.

    Args:
        names: Of the studies, or their folders.
        workdir: Where studies are kept.
        space: What is searched now.
        objectives: Of the search; the first of each study must be the first of them.
        where: Named in messages, e.g. `experiments/mnist.yaml: search.warm_start`.

    Raises:
        StudyError: There is no such study, it has no complete trial, another objective, or nothing in
            common with the space.
    """
    ranked = [
        _ranked(name, workdir, space, objectives[0], f"{where}[{position}]")
        for position, name in enumerate(names)
    ]
    in_turns = chain.from_iterable(zip_longest(*ranked))
    return tuple(_different(space, (point for point in in_turns if point is not None)))


def _ranked(name: str, workdir: Path, space: Space, objective: Objective, where: str) -> list[Point]:
    try:
        study = Study(find_study(name, workdir))
        theirs = next(iter(study.objectives.items()), None)
        ranking = tuple(trial for trial in study.ranking if trial.feasible) if theirs else ()
    except StudyError as error:
        raise StudyError(f"{where}: {error}") from None
    if not ranking:
        raise StudyError(fault(where, f"study {name} has no complete trial that is feasible"))
    if theirs != (objective.metric, objective.direction):
        metric, direction = theirs or ("", "")
        message = fault(
            where,
            f"study {name} has another objective",
            expected=f"{objective.direction} {objective.metric}",
            received=f"{direction} {metric}",
        )
        raise StudyError(message)
    points = [
        {key: value for key, value in trial.params.items() if _is_searched(space, key, value)}
        for trial in ranking
    ]
    if not any(points):
        message = fault(
            where,
            f"study {name} has no value that is searched now",
            expected=f"hyperparameters among {', '.join(space.names)}",
            received=", ".join(ranking[0].params) or "none",
        )
        raise StudyError(message)
    return [point for point in points if point]


def _is_searched(space: Space, name: str, value: object) -> bool:
    return any(p.name == name and p.size != 1 and p.contains(value) for p in space.parameters)  # type: ignore[arg-type]


def _different(space: Space, points: Iterable[Point]) -> Iterator[Point]:
    coordinates = Coordinates(space)
    chosen: list[Array] = []
    for point in points:
        features = coordinates.features_of(point)
        if all(np.abs(features - other).max() > _ALIKE for other in chosen):
            chosen.append(features)
            yield point
        if len(chosen) == MOST_POINTS:
            return
