"""The order of trials by several values."""

import numpy as np
import pytest

from hpsearch.strategies.fronts import best_first, undominated


def order(rows, chosen=()):
    costs = np.array(rows, dtype=float)
    return list(best_first(costs, np.isin(np.arange(len(costs)), chosen)))


def test_nobody_of_a_front_is_beaten_by_another():
    rows = np.array([[1, 4], [2, 2], [4, 1], [2, 3], [4, 4], [2, 2]], dtype=float)
    assert undominated(rows).tolist() == [True, True, True, False, False, True]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([[3], [1], [2], [1]], [1, 3, 2, 0]),
        ([[3, 3], [2, 2], [1, 1]], [2, 1, 0]),
        ([[1, 1], [1, 1], [1, 1]], [0, 1, 2]),  # of equals the earlier
        ([[5, 5], [1, 3], [3, 1], [2, 2.5]], [1, 2, 3, 0]),
        ([[1, 1e9], [2, 5e8], [3, 0]], [0, 2, 1]),  # by the range of each value, not by its size
        ([[1, 4, 4], [4, 1, 4], [4, 4, 1], [5, 5, 5]], [0, 1, 2, 3]),
    ],
)
def test_front_by_front_and_far_apart_inside_one(rows, expected):
    assert order(rows) == expected


def test_whoever_has_gone_on_keeps_its_place_in_the_front():
    rows = [[1, 4], [2, 3], [3, 2], [4, 1]]
    assert order(rows) == [0, 3, 1, 2]
    assert order(rows, chosen=[1])[:2] == [1, 3]
    assert order([*rows, [0, 5]], chosen=[1])[0] == 1
    assert order([*rows, [0, 0]], chosen=[1])[0] == 4  # but a better one comes before it


def test_it_is_the_order_of_a_naive_count():
    """The rank of a front is the length of the longest chain of trials that beat one another."""
    rows = np.random.default_rng(0).integers(0, 12, (80, 3)).astype(float)

    def beats(one, other):
        return bool((one <= other).all() and (one < other).any())

    ranks = {}
    for index in np.lexsort(rows.T[::-1]):
        above = [ranks[other] for other in ranks if beats(rows[other], rows[index])]
        ranks[int(index)] = max(above, default=-1) + 1
    found = order(rows)
    assert sorted(found) == list(range(80))
    assert [ranks[index] for index in found] == sorted(ranks.values())
