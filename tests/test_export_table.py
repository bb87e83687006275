"""`scripts/export_table.py`, and what it says of each architecture and mode: the impossible ones stay so."""

import importlib.util
from pathlib import Path

import pytest

from hpsearch.assemble import export_models

SCRIPT = Path(__file__).parents[1] / "scripts" / "export_table.py"
SPEC = importlib.util.spec_from_file_location("export_table", SCRIPT)
table = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(table)

INLINE = ["resources.executor=inline", "export.measure=false"]
TINY = [
    *INLINE,
    "training.epochs=1",
    "data.options.rows=60",
    "data.options.length=4",
    "search.space.embedding=4",
    "search.space.units=4",
    "search.space.bidirectional=false",
    "export.min_agreement=0",
    "export.max_loss=1",
]
"""What can be converted is the same for small networks that have learned nothing."""


def test_every_architecture_is_in_the_table():
    from hpsearch.models import names

    assert set(table.ARCHITECTURES) == set(names())
    assert {name for name, _ in table.IMPOSSIBLE} <= set(table.ARCHITECTURES)
    assert {mode for _, mode in table.IMPOSSIBLE} <= set(table.MODES)


def test_the_table(monkeypatch, capsys, tmp_path):
    monkeypatch.setitem(table.IMPOSSIBLE, ("linear", "int16x8"), "pigs fly")
    overrides = [part for each in ("training.epochs=1", *INLINE) for part in ("--set", each)]
    monkeypatch.setattr("sys.argv", ["export_table", "linear", "--workdir", str(tmp_path), *overrides])
    assert table.main() == 1
    out, err = capsys.readouterr()
    header, line, row, *_ = out.splitlines()
    assert header.count("|") == line.count("|") == row.count("|") == len(table.MODES) + 2
    assert row.startswith("| `linear` | ")
    assert row.count(" KiB, ") == len(table.MODES)
    assert "Not as expected: linear int16x8." in err


def test_words_have_no_ranges(tmp_path):
    """A quick one of the pairs below."""
    study = table.train("text_lstm", tmp_path, TINY)
    outcomes = export_models(study, dict.fromkeys(["dynamic_range", "int16x8"]))
    assert table.expected("text_lstm", "dynamic_range", outcomes["dynamic_range"])
    assert table.expected("text_lstm", "int16x8", outcomes["int16x8"]), outcomes
    assert table.cell(outcomes["int16x8"]) == "not possible"
    assert "recorded during calibration" in table.said(outcomes["int16x8"])


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted({name for name, _ in table.IMPOSSIBLE}))
def test_what_is_impossible(name, tmp_path):
    modes = [mode for each, mode in table.IMPOSSIBLE if each == name]
    outcomes = export_models(table.train(name, tmp_path, TINY), dict.fromkeys(modes))
    assert [mode for mode in modes if not table.expected(name, mode, outcomes[mode])] == []
