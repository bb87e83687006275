"""The contenders of `scripts/bench` do the same work, on tiny data."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "scripts" / "benchmarks"
NEEDS = {
    "hpsearch": "hpsearch",
    "plain_keras": "keras",
    "keras_tuner": "keras_tuner",
    "optuna": "optuna",
    "ray_tune": "ray.tune",
}


@pytest.fixture(autouse=True)
def _generated_images(monkeypatch):
    monkeypatch.delenv("HPSEARCH_DATA_DIR", raising=False)


@pytest.mark.slow
@pytest.mark.parametrize("peer", NEEDS)
def test_a_contender_tries_every_configuration(tmp_path, peer):
    pytest.importorskip(NEEDS[peer], exc_type=ImportError)
    work = {"model": "cnn", "folder": str(tmp_path), "epochs": 1, "rows": 64, "validation_rows": 32}
    (tmp_path / "work.json").write_text(json.dumps(work))
    command = [sys.executable, str(BENCHMARKS / f"with_{peer}.py"), "work.json", "out.json"]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr[-2000:]
    out = json.loads((tmp_path / "out.json").read_text())
    assert len(out["scores"]) == 6  # that they are the work's is checked by the contender itself
    assert out["best"] == max(out["scores"].values())
    if peer == "plain_keras":  # tracks nothing
        assert not (tmp_path / "mlflow.db").exists()
        return
    assert _epochs_in_mlflow(tmp_path) == 6
    assert len(list(tmp_path.rglob("artifacts/**/*.keras"))) + _ray_models(tmp_path) >= 6


def test_the_table_and_the_json_come_from_the_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import compare

    def contend(peer, work):
        seconds = {"hpsearch": 10.0, "keras_tuner": 25.0}[peer]
        return compare.Run(seconds, 2 * seconds, 0.9, {f"{n}": 0.9 for n in work.configurations()})

    monkeypatch.setattr(compare, "contend", contend)
    monkeypatch.setattr(compare, "adopt_orphans", lambda: None)
    output = tmp_path / "bench.json"
    arguments = ["bench", "--models", "rnn", "--rounds", "2", "--output", str(output)]
    monkeypatch.setattr(sys, "argv", arguments)
    compare.main()
    found = json.loads(output.read_text())["work"]["rnn"]["contenders"]
    assert found["keras_tuner"]["times_faster"] == 2.5
    assert found["hpsearch"]["trials_per_hour"] == 3600 * 6 / 10
    assert found["hpsearch"]["cpu_s_per_trial"] == 20 / 6
    line = next(line for line in capsys.readouterr().out.splitlines() if "keras tuner" in line)
    assert "| 2.5" in line
    assert "| 1.5" in line


def _epochs_in_mlflow(folder: Path) -> int:
    """Counts the epochs that MLflow holds a validation accuracy of."""
    import sqlite3

    with sqlite3.connect(folder / "mlflow.db") as database:
        (count,) = database.execute("select count(*) from metrics where key = 'val_accuracy'").fetchone()
    return int(count)


def _ray_models(folder: Path) -> int:
    return len(list(folder.rglob("ray/**/model.keras")))
