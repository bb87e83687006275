"""The learning-rate range test from Python and from the command line."""

import json
import os

import pytest

import hpsearch
from hpsearch.cli.entry import call
from hpsearch.errors import UsageError
from hpsearch.experiment import Experiment

MODEL = """
import keras


def build(hp):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, "softmax", trainable=TRAINABLE)])
    model.compile(keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy")
    return model
"""

EXPERIMENT = """
model: net.py:build
data: {name: blobs, options: {rows: 60}}
objective: val_loss
resources: {executor: inline}
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text(MODEL.replace("TRAINABLE", "True"))
    (tmp_path / "fixed.py").write_text(MODEL.replace("TRAINABLE", "False"))
    (tmp_path / "tiny.yaml").write_text(EXPERIMENT)
    return tmp_path


def test_the_range_for_digits_holds_the_best_rate():
    """Of one-hidden-layer trainings of four epochs, 0.01 gave the least validation loss, of 1e-4 to 1."""
    experiment = Experiment(
        name="digits", model="mlp", data="digits", objective="val_loss", resources={"executor": "inline"}
    )
    steps = []
    found = hpsearch.find_learning_rate(experiment, steps=100, on_step=steps.append)
    assert 1e-3 < found.suggestion < 3e-2
    assert found.low < 0.01 < found.high < 0.2
    assert [step.metrics["learning_rate"] for step in steps] == list(found.rates)
    assert found.picture is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"low": 0.0}, "low, high: no range of learning rates; expected 0 < low < high; received low=0, hi"),
        ({"low": 1.0, "high": 1.0}, "received low=1, high=1."),
        ({"high": float("nan")}, "received low=1e-05, high=nan."),
        ({"high": float("inf")}, "high=inf"),
        ({"steps": 29}, "steps: too few to see a curve; expected at least 30; received 29."),
        ({"picture": "rates.jpg"}, "rates.jpg: the picture's file has another ending; expected `.png`"),
        ({"picture": "no/such/rates.png"}, "no/such/rates.png: the picture cannot be written there"),
    ],
)
def test_wrong_arguments_are_found_before_a_worker_is_started(here, arguments, message, monkeypatch):
    monkeypatch.setattr("hpsearch.learning_rate.checked", lambda *_: pytest.fail("a worker was started"))
    with pytest.raises(UsageError) as caught:
        hpsearch.find_learning_rate(Experiment.load("tiny.yaml"), **arguments)
    assert message in str(caught.value)


def test_the_command_says_what_to_write(here, capsys):
    assert call(["lr-find", "tiny.yaml", "--steps", "60", "--set", "training.batch_size=8"]) == 0
    captured = capsys.readouterr()
    lines = captured.out.splitlines()
    assert lines[0].startswith("Starting the workers")
    assert "sgd on batches of 8" in lines[1]
    assert os.path.getsize("lr_find.png") > 5_000
    assert str(here / "lr_find.png") in lines[-1]
    (written,) = (line.partition("search.space")[2].strip() for line in lines if "search.space" in line)
    space = hpsearch.Experiment.load("tiny.yaml", [f"search.space={{{written}}}"]).search.space
    rate = space["learning_rate"]
    assert 1e-5 < rate.low < rate.high <= 10
    assert rate.log


def test_the_command_speaks_json(here, capsys):
    arguments = ["--steps", "40", "--low", "1e-3", "--high", "1", "-o", "here.png", "--json"]
    assert call(["lr-find", "tiny.yaml", *arguments]) == 0
    document = json.loads(capsys.readouterr().out)  # nothing else on stdout
    assert document["low"] < document["suggestion"] <= document["high"]
    assert document["rates"][0] == pytest.approx(1e-3)
    assert len(document["rates"]) == len(document["losses"]) == len(document["smoothed"])
    assert document["picture"] == str(here / "here.png")


def test_a_loss_that_does_not_fall_is_said(here, capsys):
    assert call(["lr-find", "tiny.yaml", "--steps", "30", "--set", "model=fixed.py:build"]) == 1
    captured = capsys.readouterr()
    assert "does not fall at any of the rates" in captured.err
    assert "suggestion" not in captured.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--low", "1", "--high", "0.1"], "expected 0 < low < high; received low=1, high=0.1."),
        (["--low", "fast"], "received fast."),
        (["--set", "search.space.units=[3]"], "the model declares no hyperparameter `units`"),
        (["--set", "objective=val_f2"], "val_f2"),
    ],
)
def test_mistakes_are_one_message(here, capsys, arguments, message):
    assert call(["lr-find", "tiny.yaml", *arguments]) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert "Traceback" not in captured.err
    assert not (here / "lr_find.png").exists()
