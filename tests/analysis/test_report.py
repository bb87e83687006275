"""The page: complete in itself, and true."""

import json
import re
import shutil

import optuna
import pytest

from hpsearch.analysis.charts import charts
from hpsearch.analysis.importance import importances
from hpsearch.analysis.report import write_report
from hpsearch.analysis.shown import shown
from hpsearch.analysis.updates import ReportUpdates
from hpsearch.journal import open_storage
from hpsearch.study import STUDY_FACTS, Study
from hpsearch.study_folder import StudyFolder
from hpsearch.testing.memory_tracker import MemoryTracker
from hpsearch.testing.searching import ToySearch
from hpsearch.trial import Result
from hpsearch.trial_record import TRIAL_OUTCOME, record_outcome


@pytest.fixture(scope="module")
def written(searched, tmp_path_factory):
    return write_report(searched, tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="module")
def text(written):
    """The page without the library inside it."""
    page = written.page.read_text()
    return page[: page.index("<script>")] + page[page.index("</script>") :]


def test_it_needs_nothing_but_itself(written, text):
    page, pictures = written.page, written.pictures
    assert page.name == "report.html"
    assert not re.search(r"(src|href)=[\"'](?!data:|#)", text)
    names = {picture.stem for picture in pictures}
    assert names >= {
        "history",
        "timeline",
        "learning",
        "edf",
        "slice",
        "parallel_coordinate",
        "contour",
        "rank",
    }
    assert all(picture.read_bytes().startswith(b"\x89PNG") for picture in pictures)
    for name in names:
        assert f'id="chart-{name}"' in text


def test_it_says_what_was_found(searched, text):
    best = searched.best[0]
    assert "maximize val_accuracy" in text
    assert "21 complete, 3 failed" in text
    assert f"val_accuracy, trial {best.number}" in text
    assert f"{best.values[0]:.4f}" in text
    assert "a toy that was asked to fail" in text
    for name in ("learning_rate", "units", "activation"):
        assert f"<td>{name}</td>" in text


def test_the_best_learning_curves_lead(searched):
    copy = shown(searched)
    (learning,) = (chart for chart in charts(copy, importances(copy)) if chart.name == "learning")
    figure = learning.figure(copy)
    best = [f"Trial{trial.number}" for trial in searched.ranking[:3]]
    assert {trace.name for trace in figure.data if trace.showlegend} == set(best)
    assert len({trace.line.color for trace in figure.data if trace.name not in best}) == 1
    values = [trial.values[0] for trial in searched.ranking]
    low, high = figure.layout.yaxis.range
    assert low < min(values) < max(values) < high
    assert figure.layout.yaxis.title.text == "val_accuracy"


def test_what_users_write_is_text(tmp_path, searched):
    folder = tmp_path / searched.name
    shutil.copytree(searched.folder, folder)
    (folder / "experiment.yaml").write_text(
        "name: <script>alert(1)</script>\ntracking: {uri: 'http://me:geheim@h'}\n"
    )
    (folder / "report").mkdir(exist_ok=True)
    (folder / "report" / "of_before.png").write_bytes(b"")
    page = write_report(Study(StudyFolder(folder))).page.read_text()
    assert "<script>alert(1)" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert "geheim" not in page
    assert not (folder / "report" / "of_before.png").exists()  # it would be sent with the others


def test_a_study_that_has_just_begun(tmp_path):
    search = ToySearch(tmp_path / "s", trials=1)
    search.run()
    report = write_report(search.study)
    assert [picture.name for picture in report.pictures] == ["timeline.png"]
    assert "What to keep" in report.page.read_text()


def test_several_objectives_have_a_front(tmp_path):
    folder = StudyFolder(tmp_path / "two")
    folder.create()
    study = optuna.create_study(
        storage=open_storage(folder.journal), study_name="two", directions=["maximize", "minimize"]
    )
    objectives = {"val_accuracy": "maximize", "latency_ms": "minimize"}
    study.set_user_attr(STUDY_FACTS, {"objectives": objectives})
    (folder.path / "experiment.yaml").write_text("name: two\n")
    for number in range(12):
        trial = study.ask()
        units = trial.suggest_int("units", 1, 100)
        values = {"val_accuracy": units / 100, "latency_ms": float(units**2)}
        outcome = Result({"units": units}, values, 1, 1, 0.1)
        trial.set_user_attr(TRIAL_OUTCOME, record_outcome(outcome, {}, spans=((0.0, 0.1),)))
        study.tell(trial, list(values.values()))
        assert number == trial.number
    seen = Study(folder)
    copy = shown(seen)
    assert "pareto_front" in {chart.name for chart in charts(copy, importances(copy))}
    report = write_report(seen)
    assert "pareto_front.png" in {picture.name for picture in report.pictures}
    assert "are on the Pareto front" in report.page.read_text()


@pytest.mark.slow
def test_updates_are_made_beside_the_search_and_sent(tmp_path):
    tracker = MemoryTracker()
    search = ToySearch(tmp_path / "s", trials=3)
    updates = ReportUpdates(search.folder, tracker, every_s=0.0)
    search.run(updates)
    updates.stop()
    page = updates.finish()
    assert page == search.path / "report" / "report.html"
    assert "log_files" in tracker.calls
    assert {"report.html", "history.png"} <= set(tracker.view.files)


def test_a_report_that_cannot_be_made_disturbs_nothing(tmp_path):
    tracker = MemoryTracker()
    updates = ReportUpdates(StudyFolder(tmp_path / "nothing"), tracker)
    assert updates.finish() is None
    assert tracker.view.files == {}


def test_the_command(searched, tmp_path, capsys):
    from hpsearch.cli.entry import call

    assert call(["report", str(searched.folder), "--output", str(tmp_path), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["page"] == str(tmp_path / "report.html")
    assert {each["name"] for each in document["findings"]["hyperparameters"]} >= {"units"}
    assert call(["report", str(searched.folder), "--output", str(tmp_path)]) == 0
    shown_text = capsys.readouterr().out
    assert "what to do" in shown_text
    assert shown_text.rstrip().endswith("report.html")
    (tmp_path / "file").write_text("")
    assert call(["report", str(searched.folder), "--output", str(tmp_path / "file")]) == 2
    assert "cannot be written to" in capsys.readouterr().err
