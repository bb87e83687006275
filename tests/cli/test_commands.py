"""Every command over one real, tiny study: three trials of which one fails."""

import contextlib
import csv
import dataclasses
import io
import json
import os
import re
import shutil
import threading

import pytest

from hpsearch.cli.entry import call
from hpsearch.study_folder import StudyFolder

MODEL = """
import keras


def build(hp):
    units = hp.Choice("units", [2, 4, 8])
    if units == 4:
        raise ValueError("four is [bold]unlucky[/bold]")
    layers = [keras.layers.Dense(units, "relu"), keras.layers.Dense(3, "softmax")]
    model = keras.Sequential([keras.Input((4,)), *layers])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model
"""

EXPERIMENT = """
name: tiny
model: net.py:build
data: {name: blobs, options: {rows: 60}}
objective: val_accuracy
search: {strategy: grid, space: {batch_size: 16}}
training: {epochs: 2}
resources: {executor: inline}
"""


class Studied:
    """The folder in which the study was made, and what `run` printed."""

    def __init__(self, folder, code, out, err):
        self.folder, self.code, self.out, self.err = folder, code, out, err


@pytest.fixture(scope="module")
def studied(tmp_path_factory):
    folder = tmp_path_factory.mktemp("studied")
    (folder / "net.py").write_text(MODEL)
    (folder / "tiny.yaml").write_text(EXPERIMENT)
    before = os.getcwd()
    os.chdir(folder)
    out, err = io.StringIO(), io.StringIO()
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = call(["run", "tiny.yaml"])
    finally:
        os.chdir(before)
    return Studied(folder, code, out.getvalue(), err.getvalue())


@pytest.fixture
def here(studied, monkeypatch):
    monkeypatch.chdir(studied.folder)
    return studied


def shown(capsys, *arguments, code=0):
    assert call([str(each) for each in arguments]) == code
    return capsys.readouterr().out


def test_run_shows_progress_and_the_result(studied):
    assert studied.code == 0, studied.err
    lines = studied.out.splitlines()
    assert lines[0].startswith("Starting the workers")
    assert any(
        line.startswith("[1/") or line.startswith("[1] trial 0 complete val_accuracy") for line in lines
    )
    assert any("failed (build): " in line and "four is [bold]unlucky[/bold]" in line for line in lines)
    assert any("the best 2 of 2 complete trials" in line for line in lines)
    assert "test_accuracy" in studied.out
    assert "champion/tiny-float32.tflite" in studied.out
    assert "tiny version 1" in studied.out
    assert re.fullmatch(r"To browse all records: .*hpsearch'? ui( --uri .+)?", lines[-1])


def test_status(here, capsys):
    text = shown(capsys, "status")
    assert "tiny" in text
    assert "finished" in text
    assert "2 complete, 1 failed" in text
    assert "maximize val_accuracy" in text
    for name in ("tiny", here.folder / "runs" / "tiny", here.folder / "tiny.yaml"):
        assert shown(capsys, "status", name) == text
    document = json.loads(shown(capsys, "status", "--json"))
    assert document["study"] == "tiny"
    assert document["state"] == "finished"
    assert document["trials"] == {"complete": 2, "failed": 1}


def test_trials(here, capsys):
    text = shown(capsys, "trials")
    assert "failed build:" in text
    assert "[bold]unlucky[/bold]" in text  # what users write is no markup
    assert "In all of them: batch_size=16" in text


def test_trials_as_json(here, capsys):
    document = json.loads(shown(capsys, "trials", "--json"))
    assert [each["number"] for each in document] == [0, 1, 2]
    assert sorted(each["state"] for each in document) == ["COMPLETE", "COMPLETE", "FAILED"]
    failed = next(each for each in document if each["state"] == "FAILED")
    assert failed["failure"]["kind"] == "build"
    assert failed["values"] == {}
    complete = next(each for each in document if each["state"] == "COMPLETE")
    assert complete["values"]["val_accuracy"] == complete["metrics"]["val_accuracy"]
    assert complete["params"]["units"] in (2, 8)
    assert complete["epochs"] == 2


def test_trials_as_csv(here, capsys):
    rows = list(csv.DictReader(io.StringIO(shown(capsys, "trials", "--csv"))))
    assert [row["number"] for row in rows] == ["0", "1", "2"]
    assert {row["units"] for row in rows} == {"2", "4", "8"}
    failed = next(row for row in rows if row["state"] == "FAILED")
    assert failed["failure"] == "build"
    assert failed["val_accuracy"] == ""
    assert all(float(row["val_accuracy"]) >= 0 for row in rows if row["state"] == "COMPLETE")


def test_trials_selected(here, capsys):
    text = shown(capsys, "trials", "--filter", "state=complete", "--sort=-units")
    assert "tiny: 2 of 3 trials" in text
    asked = ("--columns", "units,val_loss", "--sort", "units", "--filter", "state!=failed", "--csv")
    rows = list(csv.DictReader(io.StringIO(shown(capsys, "trials", *asked))))
    assert [row["units"] for row in rows] == ["2", "8"]
    assert list(rows[0]) == ["trial", "units", "val_loss"]
    assert float(rows[0]["val_loss"]) > 0
    assert "val_loss" in shown(capsys, "trials", "--columns", "val_loss").splitlines()[1]


def test_show_logs_and_diff(here, capsys):
    document = json.loads(shown(capsys, "trials", "--json"))
    failed = next(each["number"] for each in document if each["state"] == "FAILED")
    one, other = (each["number"] for each in document if each["state"] == "COMPLETE")
    text = shown(capsys, "show", one)
    assert "val_accuracy" in text
    assert "model.keras" in text
    assert "Traceback" in shown(capsys, "show", failed)
    told = json.loads(shown(capsys, "show", failed, "--study", "tiny", "--json"))
    assert told["failure"]["kind"] == "build"
    assert "four is [bold]unlucky[/bold]" in shown(capsys, "logs", failed)
    assert shown(capsys, "logs", failed, "--follow") == shown(capsys, "logs", failed)
    changed = json.loads(shown(capsys, "diff", one, other, "--json"))
    assert set(changed["params"]) == {"units"}
    assert "val_loss" in changed["metrics"]
    assert "units" in shown(capsys, "diff", one, other)
    assert "They differ in nothing" in shown(capsys, "diff", one, one)
    assert call(["show", "9"]) == 2
    assert "no such trial; expected 0 to 2; received 9" in capsys.readouterr().err


def test_compare(here, capsys):
    (row,) = json.loads(shown(capsys, "compare", "--json"))
    best = json.loads(shown(capsys, "best", "--json"))
    assert row["study"] == "tiny"
    assert row["best"] == best["best"][0]["values"]["val_accuracy"]
    assert row["test"] == best["champion"]["test"]["test_accuracy"]
    assert (row["trials"], row["objective"], row["data"]) == (3, "maximize val_accuracy", "blobs")
    assert "maximize val_accuracy" in shown(capsys, "compare", "tiny", "tiny")


def test_the_report_is_written_and_sent(here, capsys):
    page = here.folder / "runs" / "tiny" / "report" / "report.html"
    assert "four is [bold]unlucky[/bold]" in page.read_text()
    assert f"report {page}" in re.sub(" +", " ", shown(capsys, "status"))


def test_making_room(here, capsys, tmp_path):
    shutil.copytree(here.folder / "runs" / "tiny", tmp_path / "runs" / "tiny")
    models = tmp_path / "runs" / "tiny" / "trials"
    assert len(list(models.glob("*/model.keras"))) == 2
    where = ("--workdir", tmp_path / "runs")
    assert "freed" in shown(capsys, "gc", "tiny", *where)
    assert len(list(models.glob("*/model.keras"))) == 1
    assert call(["gc", "tiny", "--keep", "five", *map(str, where)]) == 2
    assert "--keep: not allowed; expected `all`, `none`, or `best`" in capsys.readouterr().err
    assert call(["rm", "tiny", *map(str, where)]) == 2
    assert "nobody is there to be asked; expected `--yes`" in capsys.readouterr().err
    assert models.exists()
    assert shown(capsys, "rm", "tiny", "--yes", *where).startswith("Deleted ")
    assert not models.parent.exists()


def test_best(here, capsys):
    text = shown(capsys, "best")
    document = json.loads(shown(capsys, "best", "--json"))
    (best,) = document["best"]
    assert best["number"] == document["champion"]["trial"]
    assert f"trial {best['number']}" in text
    assert "test_accuracy" in text
    assert document["champion"]["exports"][0]["format"] == "float32"


def test_run_again_changes_nothing_and_speaks_json(here, capsys):
    before = json.loads(shown(capsys, "trials", "--json"))
    assert call(["run", "tiny.yaml", "--json"]) == 0
    captured = capsys.readouterr()
    document = json.loads(captured.out)  # nothing else on stdout
    assert document["state"] == "finished"
    assert [each["state"] for each in document["leaderboard"]] == ["COMPLETE", "COMPLETE"]
    assert document["champion"]["version"] == "1"
    assert "3 of them done before" in captured.err
    assert json.loads(shown(capsys, "trials", "--json")) == before


def test_export(here, capsys, tmp_path):
    document = json.loads(shown(capsys, "trials", "--json"))
    complete = [each["number"] for each in document if each["state"] == "COMPLETE"]
    target = tmp_path / "out.tflite"
    text = shown(capsys, "export", "--trial", complete[-1], "--output", target)
    assert text.startswith(f"{target} (")
    assert "agrees with Keras on 100.0% of" in text
    assert target.stat().st_size > 0


def test_export_in_another_format(here, capsys, tmp_path):
    target = tmp_path / "out.weights.h5"
    assert shown(capsys, "export", "--format", "weights", "-o", target).startswith(f"{target} (")
    document = json.loads(shown(capsys, "export", "--format", "architecture", "--json"))
    assert document["path"].endswith("-architecture.json")
    assert document["largest_difference"] == 0


def test_export_of_several_formats(here, capsys, tmp_path):
    folder = tmp_path / "files"
    wanted = ["--format", "float32,dynamic_range", "--format", "int8"]
    text = shown(capsys, "export", *wanted, "-o", folder)
    (number,) = {path.name.split("-")[1] for path in folder.iterdir()}
    names = [f"tiny-{number}-{fmt}.tflite" for fmt in ("float32", "dynamic_range", "int8")]
    assert {path.name for path in folder.iterdir()} == {*names, *(f"{name}.json" for name in names)}
    header, *_ = (line for line in text.splitlines() if "agreement" in line)
    assert header.split()[:4] == ["format", "KiB", "ms", "p90"]
    assert header.split()[-1] == "f1"
    said = r"^int8 is [\d.]+x (smaller|larger), [\d.]+x (faster|slower), [+-][\d.]+ points of f1\.$"
    assert re.search(said, text, re.M)
    record = json.loads((folder / f"{names[2]}.json").read_text())
    assert record["source"]["study"] == "tiny"
    assert record["source"]["trial"] == str(int(number))
    assert {each["xnnpack"] for each in record["speed"]["latencies"]} == {True, False}
    assert record["comparison"]["max_loss"] == 0.02


def test_export_that_is_not_right_is_not_delivered(here, capsys, tmp_path, monkeypatch):
    """The others are, and the exit code tells."""
    monkeypatch.setattr("hpsearch.export.formats.int8.FORMAT", refusing())
    arguments = ["export", "--format", "dynamic_range,int8", "-o", str(tmp_path), "--json"]
    assert call(arguments) == 1
    captured = capsys.readouterr()
    assert [each["format"] for each in json.loads(captured.out)] == ["dynamic_range"]
    assert "could not be exported as int8, so no such file was written; received no such luck" in captured.err
    assert not list(tmp_path.glob("*int8*"))


def refusing():
    from hpsearch.errors import ExportError
    from hpsearch.export.formats import find

    def attempts(endpoint, job):
        raise ExportError("no such luck")

    return dataclasses.replace(find("int8"), attempts=attempts)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--format", "h4"],
            "no such format; expected architecture or dynamic_range or float16 or float32 or h5",
        ),
        (["--format", "keras", "-o", "out.h5"], "expected `.keras`; received `.h5`"),
    ],
)
def test_export_that_cannot_be_is_refused_at_once(here, capsys, arguments, message, monkeypatch):
    monkeypatch.setattr("hpsearch.wiring.workers", lambda *_, **__: pytest.fail("a worker was started"))
    assert call(["export", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_export_of_a_trial_without_a_model(here, capsys):
    assert call(["export", "--trial", "99"]) == 2
    assert "trial 99 left no model" in capsys.readouterr().err


def test_check(here, capsys):
    text = shown(capsys, "check", "tiny.yaml", "--quick")
    assert "3 combinations" in text
    assert "maximize val_accuracy" in text
    assert "units" in text
    assert "2, 4, 8" in text
    assert "batch_size (set in the file)" in text
    assert text.splitlines()[-1] == "tiny.yaml: all right."
    document = json.loads(
        shown(capsys, "check", "tiny.yaml", "--quick", "--json", "--set", "objective=accuracy")
    )
    assert document["combinations"] == 3
    assert document["objectives"] == {"accuracy": "maximize"}
    assert "measured on the training data" in document["warnings"][0]


def test_listings(capsys):
    assert "Multi-layer perceptron" in shown(capsys, "models")
    datasets = shown(capsys, "datasets")
    assert all(name in datasets for name in ("digits", "mnist", "npz"))
    assert json.loads(shown(capsys, "schema"))["required"] == ["model", "data", "objective"]


def test_run_refuses_a_study_in_use_and_may_wait_for_it(here, capsys):
    more = ["run", "tiny.yaml", "--set", "search.trials=3", "--set", "workdir=other"]
    folder = StudyFolder(here.folder / "other" / "tiny")
    folder.create()
    lock = folder.lock()
    lock.__enter__()
    assert call(more) == 2
    assert "study tiny: is being searched by another process; received pid" in capsys.readouterr().err
    threading.Timer(1.0, lock.__exit__, (None, None, None)).start()
    assert call([*more, "--wait"]) == 0
    out = capsys.readouterr().out
    assert out.count(f"pid {os.getpid()} on") == out.count("; waiting for it to end.") == 1
