"""Who is better by several values at once: front by front, and in a front those first that lie far apart.

Nobody in the first front is beaten in all values by another, nobody in the second by another that is not in
the first, ... (non-dominated sorting). In a front the one with the best first value comes first, then always
the one farthest from all before it, each value measured by its range in the front: an epsilon-net, as in
Schmucker et al. (2021). Whoever has gone on already comes first there: else each newcomer would change who
may, and more than a third would go on. On LCBench this finds more than NSGA-II's crowding distance.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from hpsearch.strategies.coordinates import Array


def best_first(costs: Array, chosen: NDArray[np.bool_]) -> Iterator[int]:
    """Yields the rows, best first; of equals the earlier.

    Args:
        costs: `(n, values)`, the lower the better.
        chosen: `(n,)`, those that have gone on.
    """
    if costs.shape[1] == 1:
        yield from map(int, np.argsort(costs[:, 0], kind="stable"))
        return
    left = np.arange(len(costs))
    while len(left):
        first = undominated(costs[left])
        front = left[first]
        yield from map(int, front[_apart(costs[front], chosen[front])])
        left = left[~first]


def undominated(costs: Array) -> NDArray[np.bool_]:
    """Returns which rows no other beats: none is as low everywhere and lower somewhere."""
    kept = np.ones(len(costs), dtype=bool)
    for row, own in enumerate(costs):
        if kept[row]:
            kept &= ~((own <= costs).all(axis=1) & (own < costs).any(axis=1))
    return kept


def _apart(costs: Array, chosen: NDArray[np.bool_]) -> list[int]:
    """Returns the rows of a front, each the farthest from all before it, after those that were chosen."""
    spans = np.ptp(costs, axis=0)
    places = costs / np.where(spans > 0, spans, 1.0)
    order = list(map(int, np.flatnonzero(chosen))) or [int(np.argmin(costs[:, 0]))]
    distances = np.full(len(costs), np.inf)
    for row in order:
        distances = np.minimum(distances, _distance(places, row))
    while len(order) < len(costs):
        distances[order] = -1.0
        order.append(int(np.argmax(distances)))
        distances = np.minimum(distances, _distance(places, order[-1]))
    return order


def _distance(places: Array, row: int) -> Array:
    distances: Array = np.linalg.norm(places - places[row], axis=1)
    return distances
