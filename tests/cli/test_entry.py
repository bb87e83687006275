"""The command line's edges: exit codes, what is imported, how quick help is."""

import json
import os
import subprocess
import sys

import pytest

from hpsearch import assemble
from hpsearch.cli.entry import call
from hpsearch.errors import SearchError, UsageError

HEAVY = ("tensorflow", "keras", "keras_tuner", "mlflow", "torch", "sklearn", "pandas", "matplotlib")


def imported_by(*arguments):
    """Runs a command in a fresh process; returns its exit code and the top-level modules it imported."""
    script = (
        "import json, sys\n"
        "from hpsearch.cli.entry import call\n"
        "code = call(sys.argv[1:])\n"
        "print(json.dumps([code, sorted({name.partition('.')[0] for name in sys.modules})]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, text=True, timeout=60, check=True
    )
    code, modules = json.loads(done.stdout.splitlines()[-1])
    return code, set(modules)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["status"], 2),
        (["trials", "nothing"], 2),
        (["best", "--json"], 2),
        (["ui", "--uri", "sqlite:////tmp/no/such/records.db"], 2),
        (["models"], 0),
        (["datasets"], 0),
        (["schema"], 0),
    ],
    ids=lambda each: each[0] if isinstance(each, list) else "",
)
def test_looking_imports_nothing_heavy(arguments, code, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found, modules = imported_by(*arguments)
    assert found == code
    assert not modules & set(HEAVY)


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["--version"]])
def test_help_imports_hardly_anything(arguments):
    code, modules = imported_by(*arguments)
    assert code == 0
    assert not modules & {*HEAVY, "optuna", "numpy", "yaml"}


def test_help_names_every_command(capsys):
    assert call(["--help"]) == 0
    shown = capsys.readouterr().out
    commands = (
        "run",
        "check",
        "lr-find",
        "status",
        "trials",
        "best",
        "export",
        "package",
        "serve",
        "ui",
        "dashboard",
        "models",
        "datasets",
        "report",
        "show",
        "logs",
        "diff",
        "compare",
        "gc",
        "rm",
        "sync",
    )
    assert all(command in shown for command in (*commands, "schema"))


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (UsageError("x.yaml: a: wrong."), 2, "x.yaml: a: wrong.\n"),
        (SearchError("the search [bold]cannot[/bold] go on"), 1, "the search [bold]cannot[/bold] go on\n"),
        (KeyboardInterrupt(), 130, "Interrupted.\n"),
    ],
)
def test_errors_become_one_message_and_an_exit_code(error, code, message, monkeypatch, capsys):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(assemble, "open_study", fail)
    assert call(["status"]) == code
    captured = capsys.readouterr()
    assert captured.err == message
    assert captured.out == ""


def test_our_own_mistakes_are_not_hidden(monkeypatch):
    def fail(*_, **__):
        raise ZeroDivisionError

    monkeypatch.setattr(assemble, "open_study", fail)
    with pytest.raises(ZeroDivisionError):
        call(["status"])


def test_a_reader_that_goes_away_is_no_error():
    reading, writing = os.pipe()
    os.close(reading)
    process = subprocess.Popen(
        [sys.executable, "-m", "hpsearch", "schema"], stdout=writing, stderr=subprocess.PIPE, text=True
    )
    os.close(writing)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert errors == ""


def test_the_version(capsys):
    assert call(["--version"]) == 0
    assert capsys.readouterr().out.startswith("hpsearch 0.")
