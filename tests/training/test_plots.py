from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib import image

from hpsearch.testing.trials import FakeDriver
from hpsearch.training import charts, plots, run
from hpsearch.training.outputs import Judged, Target
from hpsearch.trial import Epoch, Result


def colours(path: Path) -> int:
    """How many different colours a picture has: an empty one has few."""
    pixels = image.imread(path)
    return len(np.unique(pixels.reshape(-1, pixels.shape[-1]), axis=0))


def epochs(*rows: dict[str, float]) -> list[Epoch]:
    return [Epoch(number, row, 0.0) for number, row in enumerate(rows, start=1)]


@pytest.mark.parametrize(
    ("rows", "objective", "panels"),
    [
        (
            (
                {"loss": 1.0, "val_loss": 1.1, "val_f1_macro": 0.5},
                {"loss": 0.5, "val_loss": 0.6, "val_f1_macro": 0.8},
            ),
            "val_f1_macro",
            2,
        ),
        (({"loss": 1.0, "val_loss": 1.1},), "val_loss", 1),
        (({"my_metric": 1.0}, {"my_metric": 2.0}, {"other": 1.0}), "my_metric", 1),
        (({"other": 1.0},), "my_metric", 0),
        (({"loss": 1e-9}, {"loss": 2e9}, {"loss": float("nan"), "val_r2": -1.0}), "val_r2", 2),
        (({"loss": 1.0, "val_loss": 1.0},) * 100, "val_loss", 1),
    ],
)
def test_curves_of_whatever_there_is(tmp_path, rows, objective, panels):
    target = tmp_path / "curves.png"
    charts.draw_curves(target, epochs(*rows), objective, best_epoch=1)
    height, width, _ = image.imread(target).shape
    assert round(width / height / (4.6 / 3.4)) == max(1, panels)
    assert (colours(target) > 50) == (panels > 0)


@pytest.mark.parametrize("classes", [2, 20, 21])
def test_confusion_matrix(tmp_path, classes):
    generator = np.random.default_rng(0)
    truth, predicted = generator.integers(0, classes, (2, 300))
    names = tuple(f"a rather long name {number}" for number in range(classes))
    target = tmp_path / "confusion_matrix.png"
    plots.draw_judged(
        target, Judged(Target("", "classification", names), truth, predicted, np.ones(300)), "test"
    )
    assert colours(target) > 50


@pytest.mark.parametrize("rows", [1, 20_000])
def test_predicted_against_true(tmp_path, rows):
    truth = np.random.default_rng(0).normal(size=(rows, 2))
    target = tmp_path / "predictions.png"
    plots.draw_judged(target, Judged(Target("", "regression"), truth, truth * 0.9), "test")
    assert colours(target) > 50


def test_a_trial_does_not_fail_for_a_picture(make_experiment, spec, monkeypatch, capfd):
    def broken(*_):
        raise RuntimeError("no fonts")

    monkeypatch.setattr(run, "draw_curves", broken)
    result = run.run_trial(make_experiment(epochs=1), spec, FakeDriver())
    assert isinstance(result, Result), result
    assert "curves.png" not in result.files
    assert "curves.png was not drawn: RuntimeError: no fonts" in capfd.readouterr().err
