"""What users get wrong: each gives one clear message, exit code 2, and no traceback.

The first table needs no worker; the second builds models, in this process (`resources.executor: inline`)
so that TensorFlow is imported once.
"""

import subprocess
import sys

import pytest

from hpsearch.cli.entry import call

GOOD = {
    "model": "mlp",
    "data": "digits",
    "objective": "val_f1_macro",
    "search": "{strategy: random, trials: 2}",
}


def text(**changes):
    """A good file with some keys changed; None leaves a key out."""
    return "".join(f"{key}: {value}\n" for key, value in (GOOD | changes).items() if value is not None)


def search(inner):
    return text(search=f"{{{inner}}}")


def space(inner):
    return text(search=f"{{space: {{{inner}}}}}")


# name: what the file holds, and what the message must say besides the file's name
FILES = {
    # the file as such
    "empty": ("", "is empty; expected `model`, `data` and `objective`"),
    "only comments": ("# nothing\n", "is empty"),
    "binary": (
        b"\x89PNG\r\n\x1a\n\x00\xff\xfe",
        "is not text; expected UTF-8; received invalid start byte at byte 0",
    ),
    "control character": ("model: m\x07lp\n", "cannot be read as YAML", "special characters are not allowed"),
    "latin-1": ("model: modèle\n".encode("latin-1"), "is not text"),
    "list": ("- model: mlp\n", "is not an experiment; expected a mapping; received a list"),
    "scalar": ("mlp\n", "is not an experiment; expected a mapping; received text"),
    "number": ("5\n", "is not an experiment; expected a mapping; received 5"),
    "key that is no text": (text() + "5: x\n", "a key is not text; expected a name; received 5"),
    "tab": ("model:\n\tname: mlp\n", "cannot be read as YAML; received line 2, column 1", "'\\t'"),
    "open bracket": ("model: [mlp\n", "cannot be read as YAML; received line"),
    "no space after colon": ("model:mlp\ndata: digits\n", "cannot be read as YAML"),
    "two documents": (text() + "---\n" + text(), "cannot be read as YAML", "single document"),
    "unknown tag": (
        "model: !!python/object/apply:os.system [ls]\n",
        "cannot be read as YAML",
        "could not determine",
    ),
    "undefined alias": ("model: *nowhere\n", "cannot be read as YAML", "undefined alias"),
    "duplicate key": (text() + "model: cnn\n", "received line 5, column 1: the key `model` occurs twice"),
    "duplicate inner key": (text(search="{trials: 1, trials: 2}"), "the key `trials` occurs twice"),
    "recursion": (
        "model: &a {name: x, options: {self: *a}}\ndata: d\nobjective: val_loss\n",
        "contains itself",
    ),
    # keys
    "no model": (text(model=None), "model: is missing; expected a built-in model, `package.module:name`"),
    "no data": (text(data=None), "data: is missing; expected a built-in data set"),
    "no objective": (text(objective=None), "objective: is missing; expected a metric"),
    "unknown key": (
        text(serach="{}"),
        "serach: unknown key; expected one of name, model",
        "Did you mean `search`?",
    ),
    "unknown inner key": (
        search("trails: 5"),
        "search.trails: unknown key",
        "received 5. Did you mean `trials`?",
    ),
    "target": (text(model="{name: mlp, target: x}"), "model.target: unknown key", "a file names them"),
    "section given twice as deep": (
        text(training="{training: {epochs: 3}}"),
        "training.training: unknown key",
    ),
    # types
    "trials as text": (
        search("trials: '10'"),
        "search.trials: wrong type; expected an integer of at least 1; received '10'",
    ),
    "trials as a fraction": (
        search("trials: 2.5"),
        "search.trials: wrong type; expected an integer",
        "received 2.5",
    ),
    "trials as a boolean": (search("trials: true"), "search.trials: wrong type", "received true"),
    "trials with a unit": (search("trials: 1_000"), "search.trials: wrong type", "received '1_000'"),
    "trials in scientific notation": (search("trials: 1e2"), "search.trials: wrong type", "received 100.0"),
    "boolean of YAML 1.1": (
        text(training="{deterministic: yes}"),
        "training.deterministic: wrong type; expected `true` or `false`; received 'yes'",
    ),
    "model as a number": (text(model="5"), "model: wrong type; expected a built-in model", "received 5"),
    "model as nothing": (text(model=""), "model: wrong type", "received nothing"),
    "model without a name": (text(model="{options: {layers: 2}}"), "model.name: is missing; expected text"),
    "model with options as a list": (
        text(model="{name: mlp, options: [1]}"),
        "model.options: wrong type; expected a mapping; received [1]",
    ),
    "data as a list": (text(data="[digits]"), "data: wrong type; expected a built-in data set", "['digits']"),
    "objective as a number": (text(objective="3"), "objective: wrong type; expected a metric", "received 3"),
    "objective in an empty list": (text(objective="[]"), "objective: must not be empty"),
    "objective with a wrong direction": (
        text(objective="{metric: val_loss, direction: min}"),
        "objective.direction: unknown value; expected one of minimize, maximize; received 'min'",
    ),
    "second objective wrong": (text(objective="[val_loss, 5]"), "objective[1]: wrong type", "received 5"),
    "objective twice": (text(objective="[val_loss, val_loss]"), "objective: a metric occurs twice"),
    "objective without metric": (text(objective="{direction: minimize}"), "objective.metric: is missing"),
    "search as text": (
        text(search="random"),
        "search: wrong type; expected a mapping with keys among strategy",
    ),
    "start as a mapping": (
        search("start: {lr: 1}"),
        "search.start: wrong type; expected a list of points",
        "Write `- ` before the point",
    ),
    "start with a list": (search("start: [{lr: 1}, {lr: [1]}]"), "search.start[1].lr: wrong type"),
    "start without values": (search("start: [{}]"), "search.start[0]: must not be empty"),
    "warm start by a name alone": (
        search("warm_start: other"),
        "search.warm_start: wrong type; expected a list of studies, by name or folder; received 'other'",
    ),
    "space as a list": (search("space: [a]"), "search.space: wrong type; expected a mapping; received ['a']"),
    "early stopping as a number": (
        text(training="{early_stopping: 5}"),
        "training.early_stopping: wrong type",
    ),
    "tracking uri as a number": (
        text(tracking="{uri: 5}"),
        "tracking.uri: wrong type; expected text; received 5",
    ),
    # ranges
    "no trials": (
        search("trials: 0"),
        "search.trials: must be positive; expected an integer of at least 1; received 0",
    ),
    "negative time": (
        search("timeout_s: -1"),
        "search.timeout_s: must be positive; expected a number above 0",
    ),
    "negative compute time": (
        search("total_compute_s: -1"),
        "search.total_compute_s: must be positive; expected a number above 0",
    ),
    "no improvement": (
        search("min_improvement: 0"),
        "search.min_improvement: must be positive; expected a number above 0",
    ),
    "infinite time": (
        search("timeout_s: .inf"),
        "search.timeout_s: must be finite; expected a number above 0",
    ),
    "no end": (
        search("trials: null"),
        "search: the search would never end; expected `trials`, `timeout_s`, `total_epochs`, "
        "`total_compute_s`, `patience` or `min_improvement`",
    ),
    "negative seed": (
        search("seed: -1"),
        "search.seed: too small; expected an integer of at least 0",
        "received -1",
    ),
    "huge seed": (search("seed: 4294967296"), "search.seed: too large", "below 4294967296"),
    "no epochs": (text(training="{epochs: 0}"), "training.epochs: must be positive"),
    "negative rate": (text(training="{learning_rate: -1e-3}"), "training.learning_rate: must be positive"),
    "fraction of one": (text(data="{name: digits, test: 1.0}"), "data.test: too large", "below 1"),
    "fractions that leave nothing": (
        text(data="{name: digits, test: 0.5, validation: 0.5}"),
        "data: nothing is left to train on; expected `validation` and `test` that sum to less than 1",
        "received validation=0.5, test=0.5",
    ),
    "no slots": (text(resources="{slots: 0}"), "resources.slots: must be positive"),
    "no tolerance": (text(export="{tolerance: 0}"), "export.tolerance: must be positive"),
    "name with a slash": (text(name="a/b"), "name: not allowed; expected letters, digits", "received 'a/b'"),
    "name that is hidden": (text(name=".a"), "name: not allowed"),
    "empty name": (text(name="''"), "name: not allowed"),
    # names
    "unknown strategy": (
        search("strategy: randm"),
        "unknown value; expected one of auto, grid, random, bayesian, hyperband, asha, optuna",
        "received 'randm'. Did you mean `random`?",
    ),
    "unknown sampler": (
        search("strategy: {sampler: tpee}"),
        "search.strategy.sampler: unknown value",
        "`tpe`",
    ),
    "unknown pruner": (search("strategy: {pruner: {name: medium}}"), "search.strategy.pruner: unknown value"),
    "pruner without a name": (
        search("strategy: {pruner: {x: 1}}"),
        "search.strategy.pruner: `name` is missing",
    ),
    "unknown executor": (
        text(resources="{executor: dask}"),
        "resources.executor: unknown value",
        "local, inline, ray",
    ),
    "unknown format": (
        text(export="{formats: [int3]}"),
        "export.formats[0]: unknown value",
        "received 'int3'",
    ),
    "file that does not exist": (
        text(model="net.py:build"),
        "model.name: the file does not exist; expected a file",
        "received net.py:build",
    ),
    # the space
    "range upside down": (
        space("lr: {low: 1, high: 0.1}"),
        "search.space.lr: the range is empty; expected `low` below `high`; received low=1, high=0.1",
    ),
    "range of one value": (
        space("lr: {low: 1, high: 1}"),
        "To fix the hyperparameter, write the value alone",
    ),
    "logarithm of zero": (space("lr: {low: 0, high: 1, log: true}"), "search.space.lr: has no logarithm"),
    "Keras Tuner's words": (
        space("lr: {min_value: 1}"),
        "search.space.lr: unknown key `min_value`",
        "Write `low`.",
    ),
    "unknown key of a range": (
        space("lr: {lo: 1}"),
        "search.space.lr.lo: unknown key",
        "Did you mean `low`?",
    ),
    "bound as text": (
        space("lr: {low: a}"),
        "search.space.lr.low: wrong type; expected a number; received 'a'",
    ),
    "no step": (space("lr: {step: 0}"), "search.space.lr.step: must be positive", "received 0"),
    "empty values": (space("lr: []"), "search.space.lr: must not be empty; expected at least one value"),
    "empty range": (
        space("lr: {}"),
        "search.space.lr: must not be empty; expected a value, a list of values",
    ),
    "nothing": (space("lr: "), "search.space.lr: wrong type; expected a value, a list", "received nothing"),
    "value that is a list": (space("lr: [[1]]"), "search.space.lr: value 1 is of the wrong type"),
    "value twice": (space("lr: [1, 1]"), "search.space.lr: 1 occurs twice"),
    "values and a range": (space("lr: {values: [1], low: 0}"), "search.space.lr: both values and a range"),
}

# name: the command line ({file} is a good file), and what the message must say
COMMANDS = {
    "no such file": (
        ["run", "nowhere.yaml"],
        "nowhere.yaml: there is no such file; expected an experiment file",
    ),
    "nearly such a file": (["check", "{file}l"], "Did you mean", "{file}"),
    "folder": (
        ["run", "{folder}"],
        "{folder}: cannot be read; expected an experiment file",
        "Is a directory",
    ),
    "no file": (["run"], "hpsearch run: missing argument 'FILE'", "hpsearch run --help"),
    "two files": (["run", "{file}", "{file}"], "unexpected extra argument"),
    "unknown command": (["rum"], "no such command 'rum'. Did you mean 'rm', 'run'?"),
    "unknown option": (["run", "{file}", "--trails", "3"], "no such option; received --trails", "`--trials`"),
    "option without value": (["run", "{file}", "--trials"], "option '--trials' requires an argument"),
    "option of wrong type": (["run", "{file}", "--trials", "ten"], "hpsearch run: --trials:", "received ten"),
    "option out of range": (["run", "{file}", "--trials=0"], "hpsearch run: --trials:", "received 0"),
    "negative trial": (["export", "--trial", "-1"], "hpsearch export: --trial:", "received -1"),
    "port out of range": (["ui", "--port", "70000"], "hpsearch ui: --port:", "received 70000"),
    "no records": (["ui", "--uri", "sqlite:///{folder}/none.db"], "hpsearch ui: there are no records"),
    "--set without a value": (
        ["run", "{file}", "--set", "search.trials"],
        "--set: cannot be read; expected `key.path=value`; received search.trials",
    ),
    "--set without a key": (["run", "{file}", "--set", "=5"], "--set: cannot be read"),
    "--set of an unknown key": (
        ["run", "{file}", "--set", "search.trails=5"],
        "--set: search.trails: unknown key",
        "Did you mean `trials`?",
    ),
    "--set of a wrong type": (
        ["run", "{file}", "--set", "search.trials=many"],
        "--set: search.trials: wrong type; expected an integer of at least 1; received 'many'",
    ),
    "--set inside a value": (
        ["run", "{file}", "--set", "search.trials.x=5"],
        "--set search.trials.x: `search.trials` is 2, so nothing can be set inside it",
    ),
    "--set of no YAML": (["run", "{file}", "--set", "data=[1"], "--set data: cannot be read as YAML"),
    "--set of a missing script": (
        ["run", "{file}", "--set", "model=net.py:build"],
        "--set: model.name: the file does not exist",
        "received net.py:build",
    ),
    "unwritable folder": (
        ["run", "{file}", "--quiet", "--workdir", "{file}/inside"],
        "workdir: cannot write to",
        "received NotADirectoryError",
    ),
    "no studies": (
        ["status", "--workdir", "{folder}/none"],
        "no study has been started here",
        "hpsearch run",
    ),
    "unknown study": (["best", "other", "--workdir", "{folder}"], "there is no study `other`"),
    "study of a file never run": (["trials", "{file}", "--workdir", "{folder}"], "there is no study `mine`"),
    "two formats": (["trials", "--json", "--csv"], "hpsearch trials: one format at a time"),
}

MODEL = """
def build(hp):
    {body}
"""

# name: changes of a good file, the body of a model's build function or None, what the message must say
WORKERS = {
    "unknown metric": (
        {"objective": "val_f1"},
        None,
        "objective: there is no such metric; expected one of",
        "received val_f1. Did you mean `val_f1_",
    ),
    "metric without the prefix": ({"objective": "f1_macro"}, None, "Did you mean `val_f1_macro`?"),
    "unknown model": ({"model": "mpl"}, None, "mpl", "Did you mean `mlp`?"),
    "unknown option of a model": (
        {"model": "{name: mlp, options: {layres: 1}}"},
        None,
        "model.options",
        "layres",
    ),
    "unknown data set": ({"data": "digit"}, None, "digit", "Did you mean `digits`?"),
    "unknown option of a data set": (
        {"data": "{name: digits, options: {flot: 1}}"},
        None,
        "data.options",
        "flot",
    ),
    "missing data file": ({"data": "{name: npz, options: {path: none.npz}}"}, None, "none.npz"),
    "unknown module": ({"model": "no_such_package.net:build"}, None, "no_such_package"),
    "model that raises": ({}, "raise ValueError('seven layers needed')", "seven layers needed", "ValueError"),
    "model that returns nothing": (
        {},
        "return None",
        "build returned no Keras model; expected a `keras.Model`",
        "received nothing",
    ),
    "model that does not import": ({}, "return (", "SyntaxError", "net.py"),
    "model whose name is missing": ({"model": "net.py:bild"}, "return 1", "bild", "Did you mean `build`?"),
    "unknown hyperparameter": (
        {"search": "{trials: 1, space: {laers: [1]}}"},
        None,
        "search.space: the model declares no hyperparameter",
        "Did you mean `layers`?",
    ),
    "start outside the space": (
        {"search": "{trials: 1, start: [{layers: 1}, {layers: 99}]}"},
        None,
        "search.start[1].layers: is not searched; expected a whole number from",
    ),
    "value the model cannot use": (
        {"search": "{trials: 1, space: {activation: [rleu]}}"},
        None,
        "model mlp: building it failed",
        "rleu",
    ),
    "value of the wrong type": (
        {"search": "{trials: 1, space: {batch_norm: [yes]}}"},
        None,
        "search.space.batch_norm",
        "received 'yes'",
    ),
    "grid over a continuous range": ({"search": "{strategy: grid}"}, None, "learning_rate"),
    "pruner with two objectives": (
        {"objective": "[val_loss, val_accuracy]", "search": "{trials: 1, strategy: {pruner: median}}"},
        None,
        "search.strategy.pruner",
    ),
    "unknown option of a sampler": (
        {"search": "{trials: 1, strategy: {sampler: {name: tpe, n_start: 1}}}"},
        None,
        "search.strategy.sampler.n_start",
    ),
    "dead tracking server": (
        {"tracking": "{uri: 'http://127.0.0.1:9'}"},
        None,
        "tracking.uri: http://127.0.0.1:9 cannot be reached",
    ),
    "unwritable database": (
        {"tracking": "{uri: 'sqlite:////proc/none/x.db'}"},
        None,
        "tracking.uri: /proc/none/x.db cannot be written",
        "received sqlite:////proc/none/x.db",
    ),
}


def test_the_tables_are_as_long_as_promised():
    assert len(FILES) + len(COMMANDS) + len(WORKERS) >= 60


@pytest.fixture
def no_workers(monkeypatch):
    """A mistake that only workers notice costs the user seconds; here it fails the test."""
    from hpsearch import wiring

    monkeypatch.setattr(wiring, "workers", lambda *_, **__: pytest.fail("workers were started"))


def expect(capsys, arguments, parts):
    code = call([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    assert code == 2, captured.err
    assert captured.out == ""
    check_message(captured.err, parts)


def check_message(message, parts):
    for part in parts:
        assert part in message
    assert "Traceback" not in message
    assert 'File "' not in message
    assert "pydantic" not in message.lower()
    assert len(message.strip().splitlines()) == 1


@pytest.mark.parametrize("case", FILES.values(), ids=FILES.keys())
def test_malformed_files(case, no_workers, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    content, *parts = case
    path = tmp_path / "mine.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    expect(capsys, ["run", path], [f"{path}: ", *parts])
    assert [each.name for each in tmp_path.iterdir()] == ["mine.yaml"]  # nothing was begun


@pytest.mark.parametrize("case", COMMANDS.values(), ids=COMMANDS.keys())
def test_malformed_command_lines(case, no_workers, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "mine.yaml"
    path.write_text(text())
    names = {"file": path, "folder": tmp_path}
    arguments, *parts = case
    expect(capsys, [each.format(**names) for each in arguments], [part.format(**names) for part in parts])


def test_several_mistakes_are_told_at_once(no_workers, tmp_path, capsys):
    path = tmp_path / "mine.yaml"
    path.write_text(text(training="{epochs: 0, batch_size: x}", colour="red"))
    assert call(["run", str(path)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(": ")[:2] for line in lines] == [
        [str(path), "training.epochs"],
        [str(path), "training.batch_size"],
        [str(path), "colour"],
    ]


def prepare(folder, changes, body):
    if body is not None:
        (folder / "net.py").write_text(MODEL.format(body=body))
        changes = {"model": "net.py:build"} | changes
    path = folder / "mine.yaml"
    path.write_text(text(**({"resources": "{executor: inline}"} | changes)))
    return path


@pytest.mark.parametrize("case", WORKERS.values(), ids=WORKERS.keys())
def test_mistakes_that_a_worker_notices(case, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    changes, body, *parts = case
    path = prepare(tmp_path, changes, body)
    code = call(["run", str(path), "--quiet"])
    captured = capsys.readouterr()
    assert code == 2, captured.err
    assert captured.out == ""
    message = captured.err.splitlines()[-1]  # inline, a job writes to the same stderr
    check_message(message, parts if message.startswith("tracking.uri") else [f"{path}: ", *parts])


@pytest.mark.slow
def test_a_model_that_does_not_build_in_a_process_of_its_own(tmp_path):
    path = prepare(tmp_path, {"resources": "{slots: 1}"}, "raise ValueError('seven layers needed')")
    command = [sys.executable, "-m", "hpsearch", "run", str(path)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2
    check_message(done.stderr, [str(path), "seven layers needed", "net.py:3"])
