"""Trials that are run again from their records: of every strategy, pruned, promoted and changed ones."""

import csv
import json

import pytest

import hpsearch
from hpsearch.cli.entry import call
from hpsearch.trial import TrialState

MODEL = """
import keras


def build(hp):
    layers = [keras.layers.Dense(hp.Choice("units", [2, 4, 8, 16]), "relu"), keras.layers.Dropout(0.2)]
    model = keras.Sequential([keras.Input((4,)), *layers, keras.layers.Dense(3, "softmax")])
    rate = hp.Float("rate", 1e-4, 1e-1, sampling="log")
    model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model
"""


def searched(folder, strategy):
    (folder / "net.py").write_text(MODEL)
    space = {"rate": [0.001, 0.1]} if strategy == "grid" else {}
    experiment = hpsearch.Experiment(
        name=strategy,
        model=f"{folder / 'net.py'}:build",
        data={"name": "blobs", "options": {"rows": 120}},
        objective="val_loss",
        search={"strategy": strategy, "trials": 8, "space": space},
        training={"epochs": 3, "batch_size": 32},
        resources={"executor": "inline"},
        tracking={"uri": f"sqlite:///{folder}/mlflow.db", "report": False},
        export={"formats": []},
        workdir=str(folder / "runs"),
    )
    return hpsearch.search(experiment)


@pytest.mark.parametrize("strategy", ["grid", "random", "bayesian", "hyperband", "asha", "optuna"])
def test_a_trial_of_each_strategy_gives_the_same_numbers_again(tmp_path, strategy):
    study = searched(tmp_path, strategy)
    by_state = {trial.state: trial for trial in study.trials}  # one that is complete, and a pruned one
    assert (TrialState.PRUNED in by_state) == (strategy in ("hyperband", "asha"))
    before = study.files.journal.read_bytes()
    for trial in by_state.values():
        seen = []
        found = hpsearch.reproduce(study, trial.number, on_epoch=seen.append)
        assert (found.agrees, found.differences, found.largest) == (True, (), None)
        assert found.epochs == trial.epochs == len(seen)
        assert found.compared == 1 + len(trial.metrics) * (1 + trial.epochs)
        assert found.changed == ()
    assert study.files.journal.read_bytes() == before


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return searched(tmp_path_factory.mktemp("reproduced"), "random")


def test_the_command_says_what_came_out(study, capsys):
    arguments = ["--study", str(study.folder)]
    assert call(["reproduce", "1", *arguments]) == 0
    assert "the same to the last bit" in capsys.readouterr().out
    assert call(["reproduce", "1", *arguments, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["trial"], document["agrees"], document["differences"]) == (1, True, [])


def test_a_number_that_does_not_come_out_again_is_named(study, capsys):
    file = study.files.trial(0) / "history.csv"
    text = file.read_text()
    rows = list(csv.DictReader(text.splitlines()))
    file.write_text(text.replace(rows[1]["val_loss"], "7.5"))
    try:
        assert call(["reproduce", "0", "--study", str(study.folder)]) == 1
    finally:
        file.write_text(text)
    out = " ".join(capsys.readouterr().out.split())
    assert "val_loss of epoch 2: 7.5 recorded" in out
    assert "does NOT agree: 1 numbers differ" in out
    assert "training.deterministic: true" in out


def test_a_model_that_has_changed_since_is_an_error_of_one_message(study, capsys, monkeypatch):
    net = study.folder.parents[1] / "net.py"
    net.write_text(MODEL.replace("Dropout(0.2)", 'Dropout(hp.Float("dropout", 0, 0.5))'))
    monkeypatch.setattr("hpsearch.references._imported", {})
    monkeypatch.delitem(__import__("sys").modules, "net", raising=False)
    try:
        assert call(["reproduce", "0", "--study", str(study.folder)]) == 2
    finally:
        net.write_text(MODEL)
    err = capsys.readouterr().err
    assert "the model declares `dropout`, of which the trial's record has no value" in err
    assert "Traceback" not in err


def test_there_must_be_a_result(study, capsys):
    assert call(["reproduce", "99", "--study", str(study.folder)]) == 2
    assert "no such trial; expected 0 to 7; received 99" in capsys.readouterr().err
