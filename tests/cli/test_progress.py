"""What people see of a search while it runs."""

import io
from datetime import datetime

import pytest
from rich.console import Console

from hpsearch.cli.progress import Lines, View, outcome, paused, progress, steps_done
from hpsearch.cli.tables import duration, number, rate, rate_step, score
from hpsearch.experiment import Experiment
from hpsearch.parts import Part
from hpsearch.trial import Epoch, Failure, FailureKind, TrialState
from hpsearch.trial_view import TrialView


def trial(key, state=TrialState.COMPLETE, value=None, **changes):
    given = {
        "number": key,
        "state": state,
        "params": {"units": 32, "rate": 0.0012345, "note": "[red]"},
        "values": () if value is None else (value,),
        "metrics": {},
        "epochs": 3,
        "best_epoch": 2,
        "duration_s": 4.2,
        "started_at": datetime(2024, 1, 1),
    }
    return TrialView(**(given | changes))


def failed(key):
    return trial(key, TrialState.FAILED, failure=Failure(FailureKind.NAN, "the objective is nan"))


def play(listener):
    """A search of four trials, one of them done before."""
    best = trial(1, value=0.91)
    listener.on_start("mine", 4, 1)
    listener.on_message("Something to know.")
    listener.on_trial_started(1, {"units": 32})
    listener.on_trial_started(2, {"units": 64, "epochs": 7})
    listener.on_epoch(1, Epoch(2, {"val_f1": 0.5}, 0.0))
    listener.on_trial_finished(best, best)
    listener.on_trial_finished(failed(3), best)


@pytest.fixture
def experiment():
    return Experiment(name="mine", model="mlp", data="digits", objective="val_f1", training={"epochs": 5})


def test_lines_where_nobody_watches():
    file = io.StringIO()
    play(Lines(Console(file=file, width=40), "val_f1"))
    assert file.getvalue().splitlines() == [
        "mine: 4 trials, 1 of them done before",
        "Something to know.",
        "[2/4] trial 1 complete val_f1 0.9100 in 3 epochs, 4.2 s; units=32 rate=0.001234 note=[red]; "
        "best 0.9100 (trial 1)",
        "[3/4] trial 3 failed (nan): the objective is nan; best 0.9100 (trial 1)",
    ]


def test_a_view_in_a_terminal():
    file = io.StringIO()
    console = Console(file=file, width=100, force_terminal=True, color_system=None)
    view = View(console, "val_f1", epochs=5)
    console.print(view)
    assert "Starting the workers" in file.getvalue()
    file.truncate(0)

    play(view)
    assert "trial 1 complete val_f1 0.9100" in file.getvalue()
    assert "Something to know." in file.getvalue()
    file.truncate(0)

    view.on_epoch(2, Epoch(3, {"val_f1": 0.25}, 0.0))
    console.print(view)
    shown = file.getvalue()
    assert "3/4 trials" in shown
    assert "trial 2" in shown
    assert "epoch 3/7" in shown  # `epochs` is a hyperparameter here
    assert "val_f1 0.2500" in shown
    assert "best val_f1 0.9100 (trial 1)" in shown
    assert "1 failed" in shown
    assert "left" in shown
    assert "trial 1  " not in shown  # it no longer runs

    view.on_trial_finished(trial(2, TrialState.PRUNED, value=0.2), trial(1, value=0.91))
    file.truncate(0)
    console.print(view)
    assert "4/4 trials" in file.getvalue()
    assert "1 pruned" in file.getvalue()
    assert "left" not in file.getvalue()


def test_a_paused_trial_shows_all_that_it_is_compared_by():
    line = paused(3, 9, {"val_accuracy": 0.91, "parameters": 1200.0})
    assert line.plain == f"trial 3 paused val_accuracy 0.9100, parameters {score(1200.0)} at epoch 9"


def test_one_epoch_is_no_epochs():
    assert "in 1 epoch, 4.2 s" in outcome(trial(0, TrialState.PRUNED, value=0.5, epochs=1), "val_f1").plain


def test_a_search_limited_by_time_has_no_end_to_show():
    file = io.StringIO()
    view = View(Console(file=file, width=100), "val_f1", epochs=5)
    view.on_start("mine", None, 0)
    view.on_trial_finished(trial(0, value=0.5), trial(0, value=0.5))
    Console(file=file, width=100).print(view)
    assert "1 trials" in file.getvalue()
    assert "left" not in file.getvalue()


def test_the_place_decides_what_is_shown(experiment):
    file = io.StringIO()
    with progress(experiment, Console(file=file)) as listener:
        assert isinstance(listener, Lines)
    with progress(experiment, Console(file=file, force_terminal=True)) as listener:
        assert isinstance(listener, View)
    file = io.StringIO()
    with progress(experiment, Console(file=file), quiet=True) as listener:
        play(listener)
    assert file.getvalue() == ""


def test_steps_are_drawn_where_somebody_watches():
    step = Epoch(7, {"learning_rate": 2.5e-4, "loss": 1.5}, 0.0)
    for terminal, expected in ((True, ("rate 2.5e-4 loss 1.5000", "7/40")), (False, ("Starting",))):
        file = io.StringIO()
        console = Console(file=file, width=100, force_terminal=terminal, color_system=None)
        with steps_done(console, 40, rate_step) as on_step:
            on_step(step)
        assert all(each in file.getvalue() for each in expected)
        assert terminal or len(file.getvalue().splitlines()) == 1


def test_times_and_numbers():
    assert [rate(v) for v in (3.04e-4, 2.1e-3, 0.0099, 0.0999, 0.44, 3.0, 1e-5)] == [
        "3e-4",
        "2.1e-3",
        "9.9e-3",
        "0.1",
        "0.44",
        "3",
        "1e-5",
    ]
    assert [duration(s) for s in (None, 3.21, 61, 3700)] == ["-", "3.2 s", "1 min 1 s", "1 h 1 min"]
    assert [number(v) for v in (None, True, 3, "a", 0.1 + 0.2, 1e-5)] == [
        "-",
        "True",
        "3",
        "a",
        "0.3",
        "1e-05",
    ]
    assert [score(v) for v in (0.917, 12.5, 1e-5, 123456.0)] == ["0.9170", "12.5000", "1e-05", "1.235e+05"]


def test_the_view_says_in_which_fold_a_trial_is():
    file = io.StringIO()
    console = Console(file=file, width=80)
    view = View(console, "val_f1", epochs=5, parts=3)
    view.on_start("mine", 4, 0)
    view.on_trial_started(1, {"units": 32})
    view.on_epoch(1, Epoch(2, {"val_f1": 0.5}, 0.0, Part(2, fold=2)))
    console.print(view)
    assert "trial 1  fold 2, epoch 2/5  val_f1 0.5000" in file.getvalue()
    view.on_epoch(1, Epoch(2, {"val_f1": 0.75}, 0.0))
    console.print(view)
    assert "trial 1  2/3 parts  val_f1 0.7500" in file.getvalue()
