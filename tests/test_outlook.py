"""What `hpsearch check` says of a search that has not begun."""

import json
from types import SimpleNamespace

import pytest

import hpsearch
from hpsearch import outlook
from hpsearch.cli.entry import call
from hpsearch.experiment import Experiment
from hpsearch.region import failing_region
from hpsearch.space import Parameter, Space
from hpsearch.testing.trials import overlapping, small
from hpsearch.trial import Build

pytestmark = pytest.mark.slow


def awkward(hp):
    """A model that cannot be built with more than two layers, and of two very different sizes."""
    import keras

    layers = hp.Int("layers", 1, 4)
    if layers > 2:
        raise ValueError(f"no room for {layers} layers")
    width = hp.Choice("width", [4, 64])
    inputs = keras.Input((4,))
    x = inputs
    for _ in range(layers):
        x = keras.layers.Dense(width, activation="relu")(x)
    model = keras.Model(inputs, keras.layers.Dense(3, activation="softmax")(x))
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def experiment(model, **changes):
    given = {
        "name": "ahead",
        "data": overlapping(),
        "objective": "val_accuracy",
        "search": {"trials": 12},
        "training": {"epochs": 10},
        "export": {"formats": ["float32", "int8"]},
    }
    return Experiment(model=model, **(given | changes))


@pytest.fixture(scope="module")
def found():
    return hpsearch.preflight(experiment(awkward), points=12)


def test_points_that_do_not_build_are_counted_and_their_region_is_named(found):
    assert len(found.builds) == 13
    assert found.builds[0].params == {"layers": 1, "width": 4}
    assert {build.params["layers"] for build in found.refused} == {3, 4}
    assert {build.params["layers"] for build in found.built} == {1, 2}
    assert all(f"no room for {build.params['layers']} layers" in build.cause for build in found.refused)
    assert "The model does not build where `layers` is 3 or more." in found.notes


def test_sizes_are_those_of_the_models(found):
    default = found.builds[0]
    weights = 4 * 4 + 4 + 4 * 3 + 3
    assert default.parameters == weights
    # Weights, gradients, Adam's two moments; then its rate and step, and activations of 32 rows, twice.
    assert default.memory_bytes >= 4 * 4 * weights + 2 * 32 * 4 * (4 + 4 + 3)
    assert default.memory_bytes < 4 * 4 * weights + 2 * 32 * 4 * (4 + 4 + 3) + 64
    sizes = {tuple(build.params.values()): build.memory_bytes for build in found.built}
    assert sizes[2, 4] > sizes[1, 4]


def test_time_and_export_are_tried(found):
    assert found.pace.epoch_s > 0
    assert found.search_s == pytest.approx(
        -(-8 // found.slots) * (found.pace.around_s + 10 * found.pace.epoch_s)
    )  # 8 combinations, of 12 trials
    assert found.exports == {"float32": None, "int8": None}


def test_of_a_trial_of_several_trainings_one_is_timed():
    search = {"strategy": "random", "trials": 3}
    wanted = experiment(small, search=search, evaluation={"folds": 3}, export={"formats": []})
    seen = hpsearch.preflight(wanted, points=0)
    training_s = seen.pace.around_s + 10 * seen.pace.epoch_s
    assert seen.search_s == pytest.approx(-(-3 // seen.slots) * 3 * training_s)


def test_points_are_the_same_each_time(found):
    again = hpsearch.preflight(experiment(awkward, export={"formats": []}), points=12)
    assert [build.params for build in again.builds] == [build.params for build in found.builds]
    assert again.exports == {}


@pytest.mark.parametrize(
    ("budget", "expected_s"),
    [
        ({"trials": 9}, 5 * 22.0),  # two at a time
        ({"trials": 9, "timeout_s": 60.0}, 60.0),
        ({"trials": 9, "total_compute_s": 60.0}, 30.0),
        ({"total_compute_s": 60.0}, 30.0),
        ({"min_improvement": 0.1}, None),
    ],
)
def test_the_tightest_budget_says_how_long_a_search_takes(budget, expected_s):
    report = SimpleNamespace(space=Space((Parameter("rate", "float", 0.1, low=0.1, high=1.0),)))
    wanted = experiment(small, search=budget)
    assert outlook.longest_s(wanted, report, outlook.Pace(2.0, 2.0), 2) == expected_s


def test_an_epoch_that_takes_too_long_is_said(monkeypatch):
    wanted = experiment(small, training={"epochs": 3}, export={"formats": []})
    seen = hpsearch.preflight(wanted, points=0, limit_s=0.01)
    assert seen.pace is None
    assert any("The time of an epoch could not be looked at" in note for note in seen.notes)
    assert any("timeout" in note for note in seen.notes)


def test_memory_that_is_not_there_is_said(monkeypatch):
    monkeypatch.setattr(outlook, "visible_gpus", lambda: ())
    build = Build({}, parameters=1, memory_bytes=10**15)
    [note] = outlook.memory_notes([build], 2, 1)
    assert note.startswith("The largest model needs about 953674316.4 MiB to train; a trial's part of this")
    assert outlook.memory_notes([Build({}, memory_bytes=1)], 2, 1) == ()


def points(failing, working):
    return [Build(p, cause="x") for p in failing] + [Build(p) for p in working]


@pytest.mark.parametrize(
    ("failing", "working", "where"),
    [
        ([{"n": 1}, {"n": 2}], [{"n": 5}], "where `n` is 2 or less"),
        ([{"a": "x", "n": 3}], [{"a": "y", "n": 1}, {"a": "y", "n": 5}], "where `a` is x"),
        ([{"flag": True}], [{"flag": False}], "where `flag` is True"),
        ([{"n": 1}, {"n": 5}], [{"n": 1}, {"n": 5}], None),
        ([{"n": 1}], [], None),
        ([], [{"n": 1}], None),
    ],
)
def test_failing_regions(failing, working, where):
    assert failing_region(points(failing, working)) == where


def test_the_command_shows_it(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    lines = (
        "model: mlp",
        "data: {name: blobs, options: {rows: 96}}",
        "objective: val_accuracy",
        "search: {trials: 4}",
        "training: {epochs: 3}",
        "export: {formats: [float32]}",
    )
    (tmp_path / "mine.yaml").write_text("\n".join(lines))
    assert call(["check", "mine.yaml"]) == 0
    text = capsys.readouterr().out
    assert "21 points: " in text
    assert " flops a row, with default values" in text
    assert "float32: possible" in text
    assert "at most about " in text
    assert text.splitlines()[-1] == "mine.yaml: all right."
    assert call(["check", "mine.yaml", "--json", "--quick"]) == 0
    assert "preflight" not in json.loads(capsys.readouterr().out)
