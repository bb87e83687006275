"""Files in coarser numbers: judged by what they decide, with ways round what cannot be integers."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from hpsearch.export import export, formats, quantization
from hpsearch.export.interpreter import Runner, operators
from hpsearch.trial import Export, ExportResult, Failure, FailureKind

MODES = ("float16", "dynamic_range", "int8", "int16x8")
LOOSE = {"min_agreement": 0.5, "max_loss": 1.0}
"""Networks that have learned nothing are all edge."""


def exported(job: Export) -> ExportResult:
    outcome = export(job)
    assert isinstance(outcome, ExportResult), outcome
    return outcome


def refused(job: Export) -> Failure:
    outcome = export(job)
    assert isinstance(outcome, Failure), outcome
    assert not Path(job.target).exists()
    return outcome


def details(job: Export):
    runner = Interpreter(job.target).get_signature_runner()
    (taken,), (given,) = (each.values() for each in (runner.get_input_details(), runner.get_output_details()))
    return taken, given


def wide(network, **changes) -> Export:
    """An MLP with enough weights to be worth their bytes: the converter leaves small arrays in floats."""
    import keras

    job = network("mlp", **{**LOOSE, **changes})
    model = keras.Sequential(
        [
            keras.layers.Input((8,)),
            keras.layers.Dense(256, activation="relu"),
            keras.layers.Dense(32, activation="relu"),
            keras.layers.Dense(3, activation="softmax"),
        ]
    )
    model.save(job.model)
    return job


def test_files_shrink_and_take_floats(network):
    sizes = {}
    for mode in ("float32", *MODES):
        job = wide(network, format=mode)
        result = exported(job)
        sizes[mode] = result.size_bytes
        taken, given = details(job)
        assert (taken["dtype"], given["dtype"]) == (np.float32, np.float32)
        assert not [op for op in result.ops if "FLEX" in op.upper() or op == "CUSTOM"]
        assert result.notes == ()
        assert result.agreement >= 0.5
    assert sizes["float16"] < 0.65 * sizes["float32"]
    assert max(sizes[mode] for mode in ("dynamic_range", "int8", "int16x8")) < 0.45 * sizes["float32"]


@pytest.mark.parametrize(("mode", "dtype"), [("int8", "int8"), ("int16x8", "int16")])
def test_integers_go_in_and_out_on_request(network, mode, dtype):
    job = network("mlp", format=mode, integer_io=True, **LOOSE)
    result = exported(job)
    taken, given = details(job)
    assert (taken["dtype"], given["dtype"]) == (np.dtype(dtype), np.dtype(dtype))
    assert not {"QUANTIZE", "DEQUANTIZE"} & set(result.ops)
    record = json.loads(Path(f"{job.target}.json").read_text())
    assert record["inputs"][0]["scale"] == pytest.approx(taken["quantization"][0])
    assert record["inputs"][0]["zero_point"] == taken["quantization"][1]
    assert record["outputs"][0]["dtype"] == dtype
    # The runner speaks real numbers: what goes in comes back within one step.
    runner = Runner(Path(job.target))
    rows = np.load(job.samples)["x"][:1]
    step, zero = taken["quantization"]
    integers = runner.encode({"input_0": rows})["input_0"]
    np.testing.assert_allclose((integers - float(zero)) * step, rows, atol=step)


def test_integers_need_training_rows(network):
    for calibration in (None, "/nowhere/calibration.npz"):
        failure = refused(network("mlp", format="int8", calibration=calibration))
        assert (failure.kind, failure.usage) == (FailureKind.DATA, True)
        assert "export as int8: no training rows to find the ranges of its numbers on" in failure.cause


def test_recurrent_layers_are_unrolled_for_integers(network):
    result = exported(network("lstm", format="int8", **LOOSE))
    assert result.notes == ("recurrent layers unrolled",)
    assert "WHILE" not in result.ops


def test_what_has_no_ranges_is_told(network):
    cause = refused(network("text", format="int16x8", **LOOSE)).cause
    assert "the converter refuses the model" in cause
    assert "recorded during calibration" in cause


def with_other_weights(monkeypatch, change):
    from hpsearch.export import litert

    real = litert.convert

    def convert(endpoint, route, target, settings, **options):
        right = endpoint.model.get_weights()
        endpoint.model.set_weights([change(array) for array in right])
        real(endpoint, route, target, settings, **options)
        endpoint.model.set_weights(right)

    monkeypatch.setattr(litert, "convert", convert)


def test_file_that_decides_otherwise_is_refused(network, monkeypatch):
    with_other_weights(monkeypatch, lambda array: -array)
    cause = refused(network("mlp", format="dynamic_range")).cause
    assert "quantization: the file disagrees with Keras" in cause
    assert "the class that Keras predicts for at least 95.0% of the samples" in cause
    assert "lower `export.min_agreement`" in cause


def test_amounts_must_follow_those_of_keras(network, monkeypatch):
    with_other_weights(monkeypatch, lambda array: array * 1.5)
    cause = refused(network("regression", format="dynamic_range")).cause
    assert "expected R² to Keras of at least 0.95; received 0." in cause
    assert exported(network("regression", format="dynamic_range", min_agreement=0.1)).largest_difference > 0.1


def test_file_that_loses_too_much_is_refused(network, monkeypatch, tmp_path):
    """What counts besides agreement is what is true of the samples."""
    import keras

    job = network("mlp", format="dynamic_range", min_agreement=0.0)
    predicted = keras.saving.load_model(job.model).predict(np.load(job.samples)["x"], verbose=0)
    np.savez(tmp_path / "truth.npz", output=predicted.argmax(axis=1))
    job = dataclasses.replace(job, truth=str(tmp_path / "truth.npz"))
    result = exported(job)
    assert result.keras_scores == {"accuracy": 1.0, "precision": 1.0, "recall": 1.0, "f1": 1.0}
    assert result.scores["accuracy"] == result.agreement
    Path(job.target).unlink()
    with_other_weights(monkeypatch, lambda array: -array)
    cause = refused(job).cause
    assert "quantization: the file loses too much of its" in cause
    assert "expected a loss of at most 0.02; received 1.0000 of Keras, 0." in cause


def test_operators_without_an_integer_kernel_compute_in_floats(network, monkeypatch):
    from hpsearch.errors import ExportError
    from hpsearch.export import litert

    real, tried = litert.convert, []

    def convert(endpoint, route, target, settings):
        tried.append(len(settings["target_spec"].supported_ops))
        if tried == [1]:
            raise ExportError("no integers today")
        real(endpoint, route, target, settings)

    monkeypatch.setattr(litert, "convert", convert)
    job = network("mlp", format="int8", **LOOSE)
    assert exported(job).notes == ("operators without an integer kernel in floats",)
    assert tried == [1, 2]
    assert json.loads(Path(f"{job.target}.json").read_text())["refused"] == ["As it is: no integers today"]


def test_operators_that_spoil_the_file_compute_in_floats(network, monkeypatch):
    """The first file is wrong, whatever it is; the second leaves the dense layers alone."""
    with_float_layers = ("FULLY_CONNECTED in floats",)
    monkeypatch.setattr(quantization, "TROUBLE", (("NO_SUCH_OPERATOR",), ("FULLY_CONNECTED",)))
    form, opened = formats.find("int8"), []

    def open_second(file, endpoint):
        from hpsearch.errors import ExportError

        opened.append(operators(file))
        if len(opened) == 1:
            raise ExportError("the interpreter cannot run it")
        return form.open(file, endpoint)

    monkeypatch.setattr("hpsearch.export.formats.int8.FORMAT", dataclasses.replace(form, open=open_second))
    result = exported(network("mlp", format="int8", **LOOSE))
    assert result.notes == with_float_layers
    assert result.largest_difference < 1e-2
    assert len(opened) == 2
