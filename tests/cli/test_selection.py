"""Which trials are shown, and in which order."""

from datetime import datetime

import pytest

from hpsearch.cli.selection import Selection
from hpsearch.conditions import Condition
from hpsearch.errors import UsageError
from hpsearch.trial import Failure, FailureKind, TrialState
from hpsearch.trial_view import TrialView


def _trial(number, state=TrialState.COMPLETE, failure=None, accuracy=None, **params):
    metrics = {} if accuracy is None else {"val_accuracy": accuracy}
    values = () if accuracy is None else (accuracy,)
    return TrialView(number, state, params, values, metrics, 3, 2, 1.5, datetime(2026, 1, 1), failure)


TRIALS = (
    _trial(0, accuracy=0.8, units=16, optimizer="adam"),
    _trial(1, accuracy=0.95, units=64, optimizer="sgd"),
    _trial(2, TrialState.FAILED, Failure(FailureKind.NAN, "diverged"), units=32, optimizer="adam"),
    _trial(3, accuracy=0.9, units=8, optimizer="sgd", norm=True),
)


def _shown(*conditions, sort=None):
    return [t.number for t in Selection(tuple(map(Condition.parse, conditions)), sort).of(TRIALS)]


@pytest.mark.parametrize(
    ("conditions", "numbers"),
    [
        ([], [0, 1, 2, 3]),
        (["val_accuracy>=0.9"], [1, 3]),
        (["val_accuracy < 0.9"], [0]),
        (["optimizer=adam"], [0, 2]),
        (["optimizer != adam"], [1, 3]),
        (["state==Failed"], [2]),
        (["failure=nan"], [2]),
        (["failure!=nan"], [0, 1, 3]),
        (["norm=true"], [3]),
        (["optimizer=sgd", "units<10"], [3]),
        (["epochs>3"], []),
    ],
)
def test_conditions(conditions, numbers):
    assert _shown(*conditions) == numbers


@pytest.mark.parametrize(
    ("sort", "numbers"),
    [
        ("units", [3, 0, 2, 1]),
        ("-units", [1, 2, 0, 3]),
        ("val_accuracy", [0, 3, 1, 2]),  # who has none comes last
        ("-val_accuracy", [1, 3, 0, 2]),
        ("optimizer", [0, 2, 1, 3]),
    ],
)
def test_order(sort, numbers):
    assert _shown(sort=sort) == numbers


@pytest.mark.parametrize(
    ("selection", "message"),
    [
        (
            lambda: Selection((Condition.parse("unit>3", "--filter"),)),
            r"--filter: no such name; expected trial, state, .*; received unit. Did you mean `units`\?",
        ),
        (lambda: Selection(sort="-val_loss"), r"--sort: no such name; .*received val_loss"),
        (lambda: Selection(columns=("units", "unts")), r"--columns: no such name; .*Did you mean `units`"),
        (
            lambda: Selection((Condition.parse("units>many", "--filter"),)),
            r"--filter: `units` is a number; expected a number; received many",
        ),
        (
            lambda: Selection((Condition.parse("units", "--filter"),)),
            r"--filter: not a condition; expected NAME, one of <= .*; received units",
        ),
    ],
)
def test_mistakes(selection, message):
    with pytest.raises(UsageError, match=message):
        selection().of(TRIALS)
