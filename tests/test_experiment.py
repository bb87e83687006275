"""Experiments: files, shorthands, overrides, objects from Python, identity, schema."""

import json
import re
from pathlib import Path

import cloudpickle
import numpy as np
import pytest
import yaml

from hpsearch import experiment_file
from hpsearch.errors import ExperimentError
from hpsearch.experiment import Experiment, ModelSection, schema
from hpsearch.experiment_search import DEFAULT_TRIALS
from hpsearch.space import Override

EXPERIMENTS = sorted((Path(__file__).parent.parent / "experiments").glob("*.yaml"))
SHORT = "model: mlp\ndata: digits\nobjective: val_f1_macro\n"


def write(folder, text, name="mine.yaml"):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def build(hp):
    return hp


def make(**changes):
    return Experiment(**({"name": "a", "model": "mlp", "data": "digits", "objective": "val_loss"} | changes))


# === Files ===


def test_the_shortest_file(tmp_path):
    experiment = Experiment.load(write(tmp_path, SHORT))
    assert experiment.name == "mine"
    assert experiment.model.name == "mlp"
    assert experiment.data.name == "digits"
    assert [each.metric for each in experiment.objective] == ["val_f1_macro"]
    assert experiment.search.strategy.name == "auto"
    assert experiment.search.trials == DEFAULT_TRIALS
    assert experiment.where == str(tmp_path / "mine.yaml")


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_every_experiment_of_the_project_loads(path):
    experiment = Experiment.load(path)
    assert experiment.name == path.stem
    assert Experiment.load(path).digest() == experiment.digest()


def test_objectives_in_all_forms(tmp_path):
    forms = {
        "val_loss": [("val_loss", None)],
        "{metric: score, direction: maximize}": [("score", "maximize")],
        "[val_loss, {metric: score, direction: minimize}]": [("val_loss", None), ("score", "minimize")],
    }
    for text, expected in forms.items():
        path = write(tmp_path, f"model: mlp\ndata: digits\nobjective: {text}\n")
        assert [(each.metric, each.direction) for each in Experiment.load(path).objective] == expected


def test_overrides_of_the_space_in_all_forms(tmp_path):
    text = SHORT + (
        "search:\n"
        "  space:\n"
        "    units: [32, 64]\n"
        "    learning_rate: {low: 1e-4, high: 1e-2, log: true}\n"
        "    activation: relu\n"
        "    depth: {values: [1, 2.5, true, x]}\n"
        "    dropout: {step: 0.1}\n"
    )
    space = Experiment.load(write(tmp_path, text)).search.space
    assert space == {
        "units": Override(values=(32, 64)),
        "learning_rate": Override(low=1e-4, high=1e-2, log=True),
        "activation": Override(values=("relu",)),
        "depth": Override(values=(1, 2.5, True, "x")),
        "dropout": Override(step=0.1),
    }
    assert [type(value) for value in space["depth"].values or ()] == [int, float, bool, str]


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("1e-3", 1e-3),  # text in YAML 1.1
        ("1E3", 1e3),
        ("-.5", -0.5),
        ("5.", 5.0),
        (".inf", float("inf")),
        ("on", "on"),  # booleans in YAML 1.1
        ("no", "no"),
        ("yes", "yes"),
        ("true", True),
        ("010", 10),  # eight in YAML 1.1
        ("0x10", 16),
        ("0o10", 8),
        ("12:30", "12:30"),  # 750 in YAML 1.1
        ("1_000", "1_000"),
        ("2024-01-01", "2024-01-01"),
        ("~", None),
        ("null", None),
        ("1e", "1e"),
        ("e3", "e3"),
        ("'1e-3'", "1e-3"),
    ],
)
def test_scalars_are_those_of_yaml_1_2(tmp_path, written, read):
    value = experiment_file.read(write(tmp_path, f"key: {written}\n"))["key"]
    assert value == read
    assert type(value) is type(read)


@pytest.mark.parametrize(
    "text", ["on", "1e-3", "010", "12:30", "true", "null", "", "~", "5", " a", "ü", "a: b", "<<"]
)
def test_text_is_written_so_that_it_stays_text(tmp_path, text):
    written = experiment_file.write({"key": text, "list": [text]})
    read = experiment_file.read(write(tmp_path, written))
    assert read["key"] == text
    assert read["list"] == [text]
    assert yaml.safe_load(written)["key"] == text  # for everybody else's YAML too


def test_anchors_and_merges_work(tmp_path):
    text = "a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}\n"
    assert experiment_file.read(write(tmp_path, text))["b"] == {"x": 1, "y": 3}


def test_paths_start_at_the_file_then_at_the_working_folder(tmp_path, monkeypatch):
    (tmp_path / "beside").mkdir()
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    for folder, name in (("beside", "both.py"), ("cwd", "both.py"), ("cwd", "here.py"), ("beside", "x.npz")):
        (tmp_path / folder / name).touch()
    text = "model: {}:build\ndata: {{name: npz, options: {{path: x.npz}}}}\nobjective: val_loss\n"

    experiment = Experiment.load(write(tmp_path / "beside", text.format("both.py")))
    assert experiment.model.name == f"{tmp_path / 'beside' / 'both.py'}:build"
    assert experiment.data.options == {"path": str(tmp_path / "beside" / "x.npz")}

    experiment = Experiment.load(write(tmp_path / "beside", text.format("here.py")))
    assert experiment.model.name == f"{tmp_path / 'cwd' / 'here.py'}:build"

    experiment = Experiment.load(write(tmp_path / "beside", text.format("package.module")))
    assert experiment.model.name == "package.module:build"


# === --set ===


def test_set_reaches_everything(tmp_path):
    path = write(tmp_path, SHORT + "search:\n  strategy: random\n  space: {a: [1, 2], b.c: [3]}\n")
    experiment = Experiment.load(
        path,
        [
            "search.trials=7",
            "search.strategy.pruner=median",
            "search.strategy.pruner.n_startup_trials=2",
            "search.space.lr={low: 1e-4, high: 1e-2}",
            "search.space.a=5",
            "model.options.layers=2",
            "data.validation=0.1",
            "objective.direction=maximize",
            "training.learning_rate=1e-3",
            "name=other",
            "training.epochs=3",
            "training.epochs=4",
        ],
    )
    assert experiment.name == "other"
    assert experiment.search.trials == 7
    assert experiment.search.strategy.name == "random"
    assert experiment.search.strategy.pruner == {"name": "median", "n_startup_trials": 2}
    assert experiment.search.space["lr"] == Override(low=1e-4, high=1e-2)
    assert experiment.search.space["a"] == Override(values=(5,))
    assert experiment.search.space["b.c"] == Override(values=(3,))
    assert (experiment.model.name, experiment.model.options) == ("mlp", {"layers": 2})
    assert (experiment.data.name, experiment.data.validation) == ("digits", 0.1)
    assert experiment.objective[0].direction == "maximize"
    assert experiment.training.learning_rate == 1e-3
    assert experiment.training.epochs == 4  # the last one wins


def test_errors_in_a_set_value_name_the_option(tmp_path):
    with pytest.raises(ExperimentError) as caught:
        Experiment.load(write(tmp_path, SHORT + "training: {epochs: 0}\n"), ["search.trials=0"])
    assert str(caught.value).splitlines() == [
        "--set: search.trials: must be positive; expected an integer of at least 1; received 0.",
        f"{tmp_path}/mine.yaml: training.epochs: must be positive; expected an integer of at least 1; "
        "received 0.",
    ]


# === Python ===


def test_all_errors_are_listed_in_the_order_of_the_fields():
    with pytest.raises(ExperimentError) as caught:
        make(search={"trials": "10", "trails": 5}, training={"epochs": True}, colour="red")
    assert str(caught.value).splitlines() == [
        "Experiment: search.trials: wrong type; expected an integer of at least 1; received '10'.",
        "Experiment: search.trails: unknown key; expected one of strategy, trials, timeout_s, total_epochs, "
        "total_compute_s, patience, min_improvement, seed, space, start, defaults_first, warm_start, "
        "constraints, tflite_format, max_failures_in_a_row, on_failure; received 5. Did you mean `trials`?",
        "Experiment: training.epochs: wrong type; expected an integer of at least 1; received true.",
        "Experiment: colour: unknown key; expected one of name, model, data, objective, search, training, "
        "evaluation, resources, tracking, checkpoints, export, workdir; received 'red'.",
    ]


def test_objects_from_python_survive():
    x, y = np.zeros((4, 2)), np.ones(4)
    experiment = make(model=build, data=(x, y))
    assert experiment.model.target is build
    assert experiment.model.name.endswith(":build")
    assert experiment.data.target[0] is x
    assert experiment.data.name == "arrays"
    assert experiment == experiment.model_copy()


def test_python_objects_in_all_forms():
    class Model:
        def build(self, hp):
            return hp

    instance = Model()
    assert make(model=instance).model.target is instance
    assert make(model=instance).model.name.endswith("Model")
    assert make(model=Model).model.target is Model
    assert make(model=ModelSection(name="x", target=build)).model.target is build
    assert make(model={"target": build, "options": {"a": 1}}).model.name.endswith(":build")
    arrays = {"x": np.zeros(3), "y": np.zeros(3)}
    assert make(data=arrays).data.target is arrays
    inputs = {"x": {"left": np.zeros(3)}, "y": np.zeros(3)}
    assert make(data=inputs).data.target is inputs
    assert make(data=build).data.name.endswith(":build")
    for target in ((1, 2), arrays, inputs):
        assert make(data={"target": target, "test": 0.5}).data.target is target


@pytest.mark.parametrize("wrong", [3, None, [1], True, {"target": 3}])
def test_what_is_no_model_and_no_data_is_refused(wrong):
    with pytest.raises(ExperimentError) as caught:
        make(model=wrong, data=wrong)
    first, second = str(caught.value).splitlines()
    assert first.startswith("Experiment: model: wrong type; expected a built-in model, `package.module:name`")
    assert second.startswith("Experiment: data: wrong type; expected a built-in data set")


def test_an_experiment_travels_by_cloudpickle():
    factor = 3

    def closure(hp):
        return hp * factor

    experiment = make(model=closure, data=(np.arange(4), np.arange(4)), search={"space": {"a": [1, 2]}})
    there = cloudpickle.loads(cloudpickle.dumps(experiment))
    assert there.model.target(2) == 6
    assert there.data.target[0].tolist() == [0, 1, 2, 3]
    assert there.search == experiment.search
    assert there.digest() == experiment.digest()
    assert there.where == "Experiment"


def test_experiments_are_frozen():
    with pytest.raises(ValueError, match="frozen"):
        make().name = "other"


# === Budget ===


def test_the_default_budget():
    assert make().search.trials == DEFAULT_TRIALS
    for key, value in {"timeout_s": 60, "total_compute_s": 60, "patience": 9, "min_improvement": 0.1}.items():
        assert make(search={key: value}).search.trials is None
    assert make(search={"strategy": "grid"}).search.trials is None  # it ends by itself
    assert make(search={"strategy": "grid", "trials": None}).search.trials is None
    with pytest.raises(
        ExperimentError,
        match="the search would never end; expected `trials`, `timeout_s`, `total_epochs`, "
        "`total_compute_s`, `patience` or `min_improvement`",
    ):
        make(search={"trials": None})


def test_a_trial_has_several_gpus_or_shares_one():
    make(resources={"gpus_per_trial": 2})
    make(resources={"trials_per_gpu": 2})
    message = r"resources: a trial has several GPUs, or shares one; .* gpus_per_trial=2, trials_per_gpu=3"
    with pytest.raises(ExperimentError, match=message):
        make(resources={"gpus_per_trial": 2, "trials_per_gpu": 3})


# === YAML, settings, identity ===


def test_a_written_experiment_reads_back(tmp_path):
    experiment = make(
        objective=["val_loss", {"metric": "s", "direction": "maximize"}],
        search={
            "strategy": {
                "name": "optuna",
                "sampler": {"name": "tpe", "n_startup_trials": 3},
                "pruner": "none",
            },
            "space": {"a": ["on", "1e-3", 1e-3, True, 1], "b": {"low": 1, "high": 5, "log": True}},
            "timeout_s": 5,
            "start": [{"a": "on", "b": 2}, {"b": 3}],
        },
        training={
            "early_stopping": {"patience": 3},
            "optimizer": {"name": "sgd", "nesterov": True, "learning_rate": 1e-5},
            "schedule": {"name": "cosine", "alpha": 0.1},
            "loss": {"digit": "mse", "size": {"name": "huber", "delta": 0.5}},
            "frozen": "conv_*",
            "steps_per_execution": "epoch",
        },
        model={"name": "mlp", "options": {"sizes": [1, 2], "nested": {"x": None}}},
    )
    again = Experiment.load(write(tmp_path, experiment.to_yaml()))
    assert again.to_yaml() == experiment.to_yaml()
    assert again.search == experiment.search
    assert again.training == experiment.training
    assert again.digest() == experiment.digest()
    assert again.objective == experiment.objective


def test_objects_from_python_are_written_by_name():
    text = make(model=build, data=(np.zeros(2), np.zeros(2))).to_yaml()
    values = yaml.safe_load(text)
    assert values["model"]["name"].endswith(":build")
    assert values["data"]["name"] == "arrays"
    assert "target" not in text


def test_settings_are_flat():
    settings = make(search={"space": {"units": [32, 64]}, "trials": 4}, training={"epochs": 3}).settings()
    assert settings["name"] == "a"
    assert settings["model.name"] == "mlp"
    assert settings["objective"] == "val_loss"
    assert settings["search.trials"] == 4
    assert settings["search.strategy.name"] == "auto"
    assert settings["search.space.units"] == "[32, 64]"
    assert settings["training.epochs"] == 3
    assert all(isinstance(value, bool | int | float | str) for value in settings.values())


@pytest.mark.parametrize(
    "change",
    [
        {"model": "cnn"},
        {"model": {"name": "mlp", "options": {"a": 1}}},
        {"data": {"name": "digits", "test": 0.3}},
        {"objective": "val_accuracy"},
        {"objective": {"metric": "val_loss", "direction": "maximize"}},
        {"training": {"epochs": 3}},
        {"search": {"seed": 1}},
        {"search": {"space": {"a": [1]}}},
        {"search": {"strategy": "random"}},
    ],
)
def test_what_must_not_change_changes_the_digest(change):
    assert make(**change).digest() != make().digest()


@pytest.mark.parametrize(
    "change",
    [
        {"name": "b"},
        {"workdir": "elsewhere"},
        {"search": {"trials": 99}},
        {"search": {"timeout_s": 5, "max_failures_in_a_row": 2}},
        {"search": {"start": [{"a": 1}], "defaults_first": True}},
        {"resources": {"slots": 3}},
        {"tracking": {"uri": "http://localhost:5000"}},
        {"export": {"tolerance": 1e-3}},
    ],
)
def test_what_may_change_leaves_the_digest(change):
    assert make(**change).digest() == make().digest()


def test_a_project_may_move(tmp_path):
    digests = set()
    for folder in ("here", "there"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "net.py").touch()
        text = "model: net.py:build\ndata: {name: npz, options: {path: x.npz}}\nobjective: val_loss\n"
        digests.add(Experiment.load(write(tmp_path / folder, text)).digest())
    assert len(digests) == 1


# === Schema ===


def complaints(value, rule, root, where="$"):
    """What a JSON schema has against a value; as much of the standard as pydantic writes."""
    if "$ref" in rule:
        rule = root["$defs"][rule["$ref"].rpartition("/")[2]]
    if "anyOf" in rule:
        branches = [complaints(value, branch, root, where) for branch in rule["anyOf"]]
        return [] if any(not branch for branch in branches) else min(branches, key=len)
    types = {
        "object": dict,
        "array": list,
        "string": str,
        "boolean": bool,
        "null": type(None),
        "integer": int,
        "number": (int, float),
    }
    kind = rule.get("type")
    numeric = kind in ("integer", "number")
    if kind and (not isinstance(value, types[kind]) or (numeric and isinstance(value, bool))):
        return [f"{where}: not {kind}: {value!r}"]
    found = []
    if "enum" in rule and value not in rule["enum"]:
        found.append(f"{where}: {value!r} not in {rule['enum']}")
    if "const" in rule and value != rule["const"]:
        found.append(f"{where}: not {rule['const']}")
    bounds = {
        "minimum": "__ge__",
        "exclusiveMinimum": "__gt__",
        "maximum": "__le__",
        "exclusiveMaximum": "__lt__",
    }
    found += [
        f"{where}: {key}" for key, ok in bounds.items() if key in rule and not getattr(value, ok)(rule[key])
    ]
    if isinstance(value, str) and "pattern" in rule and not re.search(rule["pattern"], value):
        found.append(f"{where}: pattern")
    if isinstance(value, dict):
        known = rule.get("properties", {})
        found += [f"{where}: no {key}" for key in rule.get("required", []) if key not in value]
        for key, each in value.items():
            more = known.get(key, rule.get("additionalProperties", {}))
            found += (
                [f"{where}: {key} unknown"]
                if more is False
                else complaints(each, {} if more is True else more, root, f"{where}.{key}")
            )
    if isinstance(value, list):
        for each in value:
            found += complaints(each, rule.get("items", {}), root, f"{where}[]")
    return found


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_every_experiment_of_the_project_fits_the_schema(path):
    values = experiment_file.read(path)
    del values["name"]  # it is the file's
    assert complaints(values, schema(), schema()) == []


def test_the_schema_knows_every_shorthand_and_refuses_what_loading_refuses():
    root = schema()
    good = experiment_file.read(EXPERIMENTS[0]) | {
        "objective": ["val_loss", {"metric": "a", "direction": "maximize"}],
        "search": {
            "strategy": {
                "name": "optuna",
                "sampler": "tpe",
                "pruner": {"name": "median", "n_startup_trials": 1},
            },
            "space": {"a": 1, "b": [1, "x", True], "c": {"low": 1.0, "high": 2, "log": True}, "d": "relu"},
            "start": [{"a": 1, "d": "relu"}],
        },
        "model": {"name": "x.py:build", "options": {"anything": [1, {}]}},
        "export": {"formats": "float32"},
    }
    assert complaints(good, root, root) == []
    make(**(good | {"model": "mlp"}))
    for wrong in (
        {"search": {"trails": 3}},
        {"search": {"trials": "3"}},
        {"search": {"trials": 0}},
        {"search": {"strategy": "randm"}},
        {"search": {"strategy": {"sampler": "tp"}}},
        {"search": {"space": {"a": {"min": 1}}}},
        {"search": {"start": {"a": 1}}},
        {"data": {"name": "digits", "test": 1.5}},
        {"model": {"target": 1}},
        {"resources": {"executor": "cloud"}},
        {"export": {"formats": ["int3"]}},
    ):
        assert complaints(good | wrong, root, root), wrong
        with pytest.raises(ExperimentError):
            make(**wrong)


def test_the_schema_is_good_to_read():
    root = schema()
    json.dumps(root)
    assert root["required"] == ["model", "data", "objective"]
    assert root["$defs"]["SearchSection"]["properties"]["timeout_s"]["description"].startswith("Seconds")
    assert "target" not in root["$defs"]["ModelSection"]["properties"]
    assert root["$defs"]["TrainingSection"]["properties"]["epochs"]["default"] == 10
