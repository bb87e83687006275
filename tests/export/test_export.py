"""Every kind of network becomes a file that runs and agrees, under stable names; anything else is refused."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from hpsearch.export import export
from hpsearch.trial import Export, ExportResult, Failure, FailureKind


def exported(job: Export, **options) -> ExportResult:
    outcome = export(job, **options)
    assert isinstance(outcome, ExportResult), outcome
    return outcome


def refused(job: Export) -> Failure:
    """The export fails and leaves nothing behind."""
    folder = Path(job.target).parent
    before = sorted(folder.iterdir()) if folder.is_dir() else []
    outcome = export(job)
    assert isinstance(outcome, Failure), outcome
    assert "\n" not in outcome.cause
    assert (sorted(folder.iterdir()) if folder.is_dir() else []) == before
    return outcome


def runner(job: Export):
    return Interpreter(job.target).get_signature_runner()


FREE, ONE = (), ("fixed batch of 1",)


@pytest.mark.parametrize(
    ("name", "inputs", "outputs", "classifies", "notes"),
    [
        ("mlp", ["input_0"], ["output_0"], True, FREE),
        ("regression", ["house"], ["price"], False, FREE),
        ("binary", ["input_0"], ["output_0"], True, FREE),
        ("cnn", ["input_0"], ["output_0"], True, FREE),
        ("several", ["left", "right"], ["kind", "price"], True, FREE),
        ("unnamed", ["input_0", "input_1"], ["output_0", "pair"], False, FREE),
        ("subclassed", ["input_0"], ["output_0"], True, FREE),
        ("half", ["input_0"], ["output_0"], True, ("computes in float32, trained in mixed_float16",)),
        ("lstm", ["input_0"], ["output_0"], True, ONE),
        ("gru_any_length", ["input_0"], ["output_0"], True, ONE),
        ("simple_rnn", ["input_0"], ["output_0"], True, ONE),
        ("text", ["input_0"], ["output_0"], True, ONE),
        ("stateful", ["input_0"], ["output_0"], False, ("fixed batch of 2",)),
    ],
)
def test_network_is_exported_under_stable_names(network, name, inputs, outputs, classifies, notes):
    job = network(name)
    result = exported(job)

    signature = Interpreter(job.target).get_signature_list()
    assert list(signature) == ["serving_default"]
    assert sorted(signature["serving_default"]["inputs"]) == inputs
    assert sorted(signature["serving_default"]["outputs"]) == outputs
    assert result.largest_difference < 1e-6
    assert result.agreement == (1.0 if classifies else None)
    assert result.notes == notes
    assert result.size_bytes == Path(job.target).stat().st_size
    assert not any("FLEX" in op.upper() or op == "CUSTOM" for op in result.ops)
    assert sorted(path.name for path in Path(job.target).parent.iterdir()) == [
        "best.tflite",
        "best.tflite.json",
    ]


def test_any_batch_size_runs(network):
    job = network("mlp")
    exported(job)
    run = runner(job)
    assert run(input_0=np.zeros((1, 8), "float32"))["output_0"].shape == (1, 3)
    assert run(input_0=np.zeros((5, 8), "float32"))["output_0"].shape == (5, 3)


def test_any_image_size_runs(network):
    job = network("cnn")
    exported(job)
    assert runner(job)(input_0=np.zeros((2, 12, 10, 1), "uint8"))["output_0"].shape == (2, 3)


def test_state_starts_at_zero_and_runs_on(network):
    """A stateful model gives other outputs to the same batch a second time, and the file does so alike."""
    import keras

    job = network("stateful")
    exported(job)
    model = keras.saving.load_model(job.model)
    batch = np.load(job.samples)["x"][:2]
    first, second = (model(batch).numpy() for _ in range(2))
    run = runner(job)
    assert np.abs(first - second).max() > 1e-3
    np.testing.assert_allclose(run(input_0=batch)["output_0"], first, atol=1e-6)
    np.testing.assert_allclose(run(input_0=batch)["output_0"], second, atol=1e-6)


def test_loops_are_unrolled_when_a_batch_of_one_cannot_be_converted(network, monkeypatch):
    from hpsearch.errors import ExportError
    from hpsearch.export import litert

    real = litert.convert

    def convert(endpoint, route, target, settings):
        if not route.unroll:
            raise ExportError("no loops today")
        real(endpoint, route, target)

    monkeypatch.setattr(litert, "convert", convert)
    job = network("lstm")
    result = exported(job)
    assert result.notes == ("recurrent layers unrolled",)
    assert "WHILE" not in result.ops
    assert runner(job)(input_0=np.zeros((5, 6, 3), "float32"))["output_0"].shape == (5, 3)


def test_record_says_what_the_file_is(network):
    job = network("mlp", class_names=("cat", "dog", "fox"))
    result = exported(job)
    record = json.loads(Path(f"{job.target}.json").read_text())
    assert record["sha256"] == hashlib.sha256(Path(job.target).read_bytes()).hexdigest()
    assert record["size_bytes"] == result.size_bytes
    with np.load(job.samples) as samples:
        scale = [float(samples["x"].min()), float(samples["x"].max())]
    assert record["inputs"] == [{"name": "input_0", "shape": [None, 8], "dtype": "float32", "range": scale}]
    assert record["outputs"] == [
        {"name": "output_0", "shape": [None, 3], "dtype": "float32", "classes": {"largest": True}}
    ]
    assert record["class_names"] == ["cat", "dog", "fox"]
    assert record["comparison"]["samples"] == result.samples == 9
    assert record["comparison"]["largest"] == result.largest_difference
    assert {"tensorflow", "keras", "ai-edge-litert"} <= set(record["versions"])


def test_same_model_gives_the_same_file(network):
    job = network("mlp")
    digests = set()
    for _ in range(2):
        exported(job)
        digests.add(hashlib.sha256(Path(job.target).read_bytes()).hexdigest())
    assert len(digests) == 1


def with_other_weights(monkeypatch, change):
    """Has the converter see other weights than Keras predicts with."""
    from hpsearch.export import litert

    real = litert.convert

    def convert(endpoint, route, target, settings):
        right = endpoint.model.get_weights()
        endpoint.model.set_weights([change(array) for array in right])
        real(endpoint, route, target)
        endpoint.model.set_weights(right)

    monkeypatch.setattr(litert, "convert", convert)


def test_file_that_disagrees_is_refused(network, monkeypatch):
    with_other_weights(monkeypatch, lambda array: array * 1.01 + 0.01)
    failure = refused(network("mlp"))
    assert failure.kind is FailureKind.ERROR
    assert not failure.usage
    assert "output `output_0`: the file disagrees with Keras" in failure.cause
    assert "differences up to 0.0001" in failure.cause
    assert "largest difference 0.0" in failure.cause
    assert "same class for" in failure.cause


def test_disagreement_of_tiny_outputs_is_seen(network, monkeypatch):
    """All outputs are below the tolerance, so that any file would be near enough to 1."""
    import keras

    job = network("regression")
    model = keras.saving.load_model(job.model)
    model.set_weights([array * 1e-6 for array in model.get_weights()])
    model.save(job.model)
    with_other_weights(monkeypatch, lambda array: array * 2)
    assert "output `price`: the file disagrees with Keras" in refused(job).cause


def test_disagreement_within_the_tolerance_is_a_file(network, monkeypatch):
    with_other_weights(monkeypatch, lambda array: array * 1.01 + 0.01)
    result = exported(network("mlp", tolerance=0.5))
    assert result.largest_difference > 1e-4


def test_file_that_returns_nan_is_refused(network, monkeypatch):
    with_other_weights(monkeypatch, lambda array: array * np.nan)
    assert "the file returns NaN or infinity" in refused(network("regression", tolerance=1e9)).cause


def test_file_that_was_there_before_is_left_alone(network, monkeypatch):
    job = network("mlp")
    exported(job)
    before = Path(job.target).read_bytes()
    with_other_weights(monkeypatch, lambda array: array + 1)
    assert "is from an earlier export" in refused(job).cause
    assert Path(job.target).read_bytes() == before


def test_operation_that_is_not_built_in_is_refused(network):
    failure = refused(network("unsupported"))
    assert "operations that are not built in; received tf.Digamma" in failure.cause
    assert "ConverterError" in failure.detail


def test_file_with_operators_of_tensorflow_is_refused(network, monkeypatch):
    """As `model.export` writes it by default: the file exists, and no plain interpreter runs it."""
    from hpsearch.export import litert

    def convert(endpoint, route, target, settings):
        endpoint.model.export(str(target), format="litert", verbose=False)

    monkeypatch.setattr(litert, "convert", convert)
    cause = refused(network("lstm")).cause
    assert "operators that are not built in; received FlexTensorListReserve, FlexTensorListStack" in cause


def test_model_that_predicts_nan_is_refused(network):
    job = network("mlp")
    model = keras.saving.load_model(job.model)
    bias = model.layers[-1].weights[-1]
    bias.assign(np.full(bias.shape, np.nan))  # NaN in the inputs would not survive every processor's ReLU
    model.save(job.model)
    failure = refused(job)
    assert "its own predictions hold NaN" in failure.cause
    assert "27 of 27 values" in failure.cause


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (Path.unlink, "the model file does not exist"),
        (lambda file: file.write_text("hello"), "damaged or of another kind"),
        (lambda file: file.write_bytes(file.read_bytes()[:5000]), "damaged or of another kind"),
        (lambda file: zipfile.ZipFile(file, "w").close(), "damaged"),
    ],
    ids=["missing", "text", "cut off", "empty archive"],
)
def test_damaged_model_is_refused(network, damage, message):
    job = network("mlp")
    damage(Path(job.model))
    failure = refused(job)
    assert failure.kind is FailureKind.BUILD
    assert failure.usage
    assert failure.cause.startswith(job.model)
    assert message in failure.cause


def test_class_that_is_not_registered_is_named(network):
    import keras

    class Local(keras.layers.Layer):
        pass

    job = network("mlp")
    keras.Sequential([keras.layers.Input((8,)), Local()]).save(job.model)
    failure = refused(job)
    assert failure.kind is FailureKind.BUILD
    assert failure.usage
    assert "the model needs `Local`, which is not registered" in failure.cause
    assert "@keras.saving.register_keras_serializable()" in failure.cause


def test_code_inside_a_file_is_not_run(network):
    import keras

    job = network("mlp")
    keras.Sequential([keras.layers.Input((8,)), keras.layers.Lambda(lambda x: 2 * x)]).save(job.model)
    assert "holds a `Lambda` layer" in refused(job).cause
    exported(job, load=lambda path: keras.saving.load_model(path, safe_mode=False))


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        ({"x": np.zeros((4, 7), "float32")}, "expected (rows, 8); received (4, 7)"),
        ({"x": np.zeros(8, "float32")}, "expected (rows, 8); received (8,)"),
        ({"x": np.zeros((0, 8), "float32")}, "no samples"),
        ({"x": np.array([["a"] * 8])}, "not an array of numbers"),
        ({"x": np.array([[None] * 8])}, "the samples cannot be read"),
        ({}, "no samples"),
        ({"a": np.zeros((4, 8)), "b": np.zeros((4, 8))}, "no samples for the model's input `input_0`"),
        ({"a": np.zeros((4, 8)), "b": np.zeros((3, 8))}, "received a: 4, b: 3"),
    ],
)
def test_wrong_samples_are_refused(network, samples, message):
    job = network("mlp")
    np.savez(job.samples, **samples)
    failure = refused(job)
    assert failure.kind is FailureKind.DATA
    assert failure.cause.startswith(job.samples)
    assert message in failure.cause


@pytest.mark.parametrize("damage", [Path.unlink, lambda file: file.write_bytes(b"PK\x03\x04 no archive")])
def test_samples_that_cannot_be_read_are_refused(network, damage):
    job = network("mlp")
    damage(Path(job.samples))
    failure = refused(job)
    assert failure.kind is FailureKind.DATA
    assert failure.usage
    assert job.samples in failure.cause


def test_wrong_target_or_format_is_refused(network, tmp_path):
    job = network("mlp")
    (tmp_path / "file").write_text("")
    (tmp_path / "folder.tflite").mkdir()
    for changes, message in [
        ({"target": str(tmp_path / "best.onnx")}, "expected `.tflite`; received `.onnx`"),
        ({"target": str(tmp_path / "file" / "best.tflite")}, "cannot be written"),
        ({"target": str(tmp_path / "folder.tflite")}, "a folder is in the file's place"),
        ({"format": "float23"}, "received float23. Did you mean `float32`?"),
    ]:
        outcome = export(dataclasses.replace(job, **changes))
        assert isinstance(outcome, Failure)
        assert outcome.usage, outcome
        assert message in outcome.cause
