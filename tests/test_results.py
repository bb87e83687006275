"""`scripts/results.py`, on a tiny experiment instead of the classic data sets."""

import importlib.util
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "scripts" / "results.py"
EXPERIMENT = """
model: mlp
data: {name: blobs, options: {rows: 80}}
objective: val_accuracy
search: {strategy: random, trials: 1, space: {batch_size: 16}}
training: {epochs: 1}
resources: {executor: inline}
"""


@pytest.fixture
def results(tmp_path, monkeypatch):
    spec = importlib.util.spec_from_file_location("results", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    (tmp_path / "tiny.yaml").write_text(EXPERIMENT)
    monkeypatch.setattr(module, "EXPERIMENTS", tmp_path)
    monkeypatch.setitem(module.ROWS, "tiny", module.Target("test_loss", most=100.0))
    monkeypatch.setenv("HPSEARCH_DATA_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return module


def run(module, monkeypatch, *arguments):
    monkeypatch.setattr("sys.argv", [str(SCRIPT), *arguments])
    return module.main()


def test_the_table_shows_what_was_reached_and_the_exit_code_whether_it_was_enough(
    results, monkeypatch, capsys
):
    results.ROWS["broken"] = None
    (results.EXPERIMENTS / "broken.yaml").write_text(EXPERIMENT.replace("blobs", "globs"))
    assert run(results, monkeypatch, "broken", "tiny", "--workdir", "studies") == 1
    out, err = capsys.readouterr()
    assert "unknown data set" in err
    assert "[1/1] trial" in err
    assert err.splitlines()[-1] == "Not reached: broken."
    header, line, row = out.splitlines()  # the others were searched all the same
    assert header.count("|") == line.count("|") == row.count("|") == len(results.HEADER) + 1
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[0] == "tiny"
    assert cells[1].startswith("blobs, ")
    assert cells[2] == "1"
    assert cells[4].startswith("accuracy ")
    assert cells[5].startswith("accuracy ")
    assert ", loss " in cells[5]
    assert cells[6] == "≤ 100"
    assert cells[7].endswith(" KiB")
    assert float(cells[8]) < 1e-4
    assert Path("studies/tiny/champion.json").exists()

    assert run(results, monkeypatch, "tiny", "--workdir", "studies") == 0
    out, err = capsys.readouterr()
    assert out.splitlines() == [header, line, row]
    assert "trial" not in err  # nothing was left to do

    results.ROWS["tiny"] = results.Target("test_accuracy", least=1.01)
    assert run(results, monkeypatch, "tiny", "--workdir", "studies") == 1
    out, err = capsys.readouterr()
    assert "| ≥ 1.01 |" in out
    assert err.splitlines()[-1] == "Not reached: tiny."


@pytest.mark.parametrize(
    ("arguments", "folder", "message"),
    [
        (["mnits"], "/data", "no such experiment: mnits; choose from mnist_mlp, "),
        ([], "", "set HPSEARCH_DATA_DIR"),
    ],
)
def test_what_is_wrong_is_said_before_anything_runs(results, monkeypatch, capsys, arguments, folder, message):
    monkeypatch.setenv("HPSEARCH_DATA_DIR", folder)
    with pytest.raises(SystemExit) as stopped:
        run(results, monkeypatch, *arguments)
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err


def test_every_row_has_its_experiment(results):
    folder = SCRIPT.parents[1] / "experiments"
    del results.ROWS["tiny"]
    assert [name for name in results.ROWS if not (folder / f"{name}.yaml").exists()] == []
