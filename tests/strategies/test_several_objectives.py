"""A whole search with two objectives that stops trials early, from the command line to the front."""

import contextlib
import io
import json
from pathlib import Path

import pytest

from hpsearch.cli.entry import call
from hpsearch.study import Study
from hpsearch.study_folder import StudyFolder
from hpsearch.trial import TrialState

pytestmark = pytest.mark.slow

EXPERIMENT = """
name: small
model: mlp
data: digits
objective: {objective}
search:
  strategy: asha
  trials: 9
  constraints: [parameters <= 30000, val_accuracy >= 0.2]
  tflite_format: float32
  space: {{layers: 1, units_1: [16, 32, 64, 512], learning_rate: {{low: 1e-3, high: 1e-2, log: true}}}}
training: {{epochs: 9}}
resources: {{executor: inline}}
export: {{formats: [float32]}}
tracking: {{report: false}}
"""


def run(*arguments):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = call([str(each) for each in arguments])
    return code, out.getvalue() + err.getvalue(), out.getvalue()


@pytest.mark.parametrize("objective", ["[val_accuracy, parameters]", "[tflite_accuracy, tflite_size_kib]"])
def test_a_front_of_what_was_trained_to_its_end(tmp_path, monkeypatch, objective):
    monkeypatch.chdir(tmp_path)
    Path("small.yaml").write_text(EXPERIMENT.format(objective=objective))
    code, text, _ = run("run", "small.yaml")
    assert code == 0, text
    first = "val_accuracy" if "val" in objective else "val_loss"
    assert f"{first} 0." in text  # what paused trials are compared by
    study = Study(StudyFolder(Path("runs/small").absolute()))
    trials = study.trials
    assert len(trials) == 9
    refused = [t for t in trials if not t.epochs]
    assert {t.broken for t in refused} <= {("parameters <= 30000",)}
    assert {t.epochs for t in trials if t not in refused} <= {1, 3, 9}
    complete = [t for t in trials if t.state is TrialState.COMPLETE]
    assert {t.epochs for t in complete} == {9}
    assert all(t.feasible for t in trials if t not in refused)
    assert any(t.state is TrialState.PRUNED and t.epochs for t in trials)
    code, text, out = run("best", "--pareto", "--json")
    assert code == 0, text
    assert [each["number"] for each in json.loads(out)] == [t.number for t in study.best]
    assert {t.number for t in study.best} <= {t.number for t in complete}
    assert study.champion["trial"] in {t.number for t in study.best}
