"""What was searched, and what became of each value."""

import pytest

from hpsearch.analysis.tried import outcomes, poor, searched
from hpsearch.space import Parameter
from hpsearch.trial import TrialState
from hpsearch.trial_view import TrialView

COMPLETE, PRUNED, FAILED = TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAILED


@pytest.mark.parametrize(
    ("declared", "expected"),
    [
        (Parameter("x", "float", 0.5, low=0.0, high=0.5), "0 to 0.5"),
        (Parameter("x", "float", 0.1, low=0.0, high=0.5, step=0.1), "0 to 0.5, by 0.1"),
        (Parameter("x", "float", 0.1, low=1e-4, high=1e-2, sampling="log"), "0.0001 to 0.01, logarithmic"),
        (Parameter("x", "int", 64, low=16, high=256, step=2, sampling="log"), "16 to 256, times 2"),
        (Parameter("x", "choice", "b", values=("b", "a")), "b, a"),
        (Parameter("x", "boolean", False), "False, True"),
        (None, "False, True"),
    ],
)
def test_a_range_is_written_as_it_was_declared(declared, expected):
    assert searched(declared, [True, False]) == expected


def trials(*given):
    return [
        TrialView(n, state, {"x": x}, (value,) if value is not None else (), {}, 1, 1, 1.0, None)
        for n, (x, state, value) in enumerate(given)
    ]


def test_each_value_has_its_best_result_and_its_part_of_complete_trials():
    seen = trials(
        ("relu", COMPLETE, 0.5), ("relu", PRUNED, None), ("relu", COMPLETE, 0.7), ("gelu", PRUNED, None),
        ("tanh", FAILED, None), ("relu", TrialState.RUNNING, None),
    )  # fmt: skip
    assert outcomes("x", seen, "maximize") == (
        "gelu: - (0 of 1; 1 pruned at once)",
        "relu: 0.7000 (2 of 3; 1 pruned at once)",
    )
    assert outcomes("x", seen, "minimize")[1] == "relu: 0.5000 (2 of 3; 1 pruned at once)"
    assert outcomes("y", seen, "maximize") == ()


def test_values_with_which_no_trial_came_up_to_the_median_are_poor():
    results = [("a", 0.9), ("a", 0.1), ("a", 0.1), ("b", 0.2), ("b", 0.2), ("b", 0.3), ("c", 0.1), ("d", 0.8)]
    results += [("a", 0.9), ("a", 0.9), ("b", 0.2), ("b", 0.2), *[("d", 0.8)] * 4]
    seen = trials(*((name, COMPLETE, value) for name, value in results))
    assert poor("x", seen, "maximize") == ("b",)  # `c` was tried but once
    assert poor("x", seen, "minimize") == ("d",)
    assert poor("x", [], "maximize") == ()


def test_true_is_not_one():
    seen = trials((1, COMPLETE, 0.1), (True, COMPLETE, 0.2))
    assert set(outcomes("x", seen, "maximize")) == {"1: 0.1000 (1 of 1)", "True: 0.2000 (1 of 1)"}


def test_many_numbers_are_shown_by_thirds_of_the_trials():
    seen = trials(*((x / 10, COMPLETE, x / 100) for x in (5, 3, 1, 9, 7, 8, 2, 6)))
    assert outcomes("x", seen, "maximize") == (
        "0.1 to 0.3: 0.0300, median 0.0200 (3 of 3)",
        "0.5 to 0.6: 0.0600 (2 of 2)",
        "0.7 to 0.9: 0.0900, median 0.0800 (3 of 3)",
    )
    many = trials(*((f"name {n}", COMPLETE, 0.5) for n in range(9)))
    assert outcomes("x", many, "maximize") == ()
