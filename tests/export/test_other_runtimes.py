"""Files that TensorFlow and ONNX Runtime run, and how fast LiteRT is."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from hpsearch.export import export, onnx_file
from hpsearch.trial import Export, ExportResult, Failure


def exported(job: Export) -> ExportResult:
    outcome = export(job)
    assert isinstance(outcome, ExportResult), outcome
    return outcome


def to(network, name: str, fmt: str, **changes) -> Export:
    job = network(name, format=fmt, **changes)
    suffix = {"onnx": ".onnx", "saved_model": ""}[fmt]
    return dataclasses.replace(job, target=str(Path(job.target).with_name(f"best{suffix}")))


ANY_BATCH = ("mlp", "cnn", "several", "unnamed", "subclassed", "gru_any_length", "text")


@pytest.mark.parametrize("name", [*ANY_BATCH, "stateful"])
def test_saved_model_is_run_by_tensorflow(network, name):
    import tensorflow as tf

    job = to(network, name, "saved_model")
    result = exported(job)
    assert result.largest_difference < 1e-6
    assert result.notes == (("fixed batch of 2",) if name == "stateful" else ())
    folder = Path(job.target)
    assert result.size_bytes == sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    record = json.loads(Path(f"{job.target}.json").read_text())
    signature = tf.saved_model.load(job.target).signatures["serving_default"]
    assert {each["name"] for each in record["inputs"]} == set(signature.structured_input_signature[1])
    assert {each["name"] for each in record["outputs"]} == set(signature.structured_outputs)


def test_saved_model_takes_the_place_of_an_earlier_one_and_of_nothing_else(network):
    job = to(network, "mlp", "saved_model")
    exported(job)
    (Path(job.target) / "stray").write_text("from before")
    exported(job)
    folder = Path(job.target)
    assert not (folder / "stray").exists()
    assert {path.name for path in folder.parent.iterdir()} == {"best", "best.json"}
    (folder / "saved_model.pb").rename(folder / "mine.pb")
    outcome = export(job)
    assert isinstance(outcome, Failure)
    assert outcome.usage
    assert "something else is in the folder's place; expected nothing, or a folder with" in outcome.cause
    assert (folder / "mine.pb").exists()


@pytest.mark.parametrize("name", ANY_BATCH)
def test_onnx_is_run_by_onnx_runtime(network, name):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("tf2onnx")
    job = to(network, name, "onnx")
    result = exported(job)
    assert result.largest_difference < 1e-5
    session = onnxruntime.InferenceSession(job.target)
    record = json.loads(Path(f"{job.target}.json").read_text())
    assert [each["name"] for each in record["inputs"]] == [each.name for each in session.get_inputs()]
    assert [each["name"] for each in record["outputs"]] == [each.name for each in session.get_outputs()]
    assert {"tf2onnx", "onnx", "onnxruntime"} <= set(record["versions"])
    if name == "mlp":
        (output,) = session.run(None, {"input_0": np.zeros((5, 8), "float32")})
        assert output.shape == (5, 3)


def test_onnx_keeps_no_state(network):
    pytest.importorskip("tf2onnx")
    outcome = export(to(network, "stateful", "onnx"))
    assert isinstance(outcome, Failure)
    assert "an ONNX file keeps no state from call to call" in outcome.cause


def test_onnx_needs_its_extra(network, monkeypatch):
    monkeypatch.setattr(onnx_file, "_NEEDED", ("numpy", "no_such_package"))
    outcome = export(to(network, "mlp", "onnx"))
    assert isinstance(outcome, Failure)
    assert outcome.usage
    assert "received no_such_package. Install it: `pip install 'hpsearch[onnx]'`." in outcome.cause


@pytest.mark.parametrize("name", ["several", "stateful"])
def test_speed_is_measured(network, name):
    result = exported(network(name, measure=True))
    speed = result.speed
    assert speed is not None
    assert (speed.default.threads, speed.default.xnnpack) == (1, True)
    assert {each.xnnpack for each in speed.latencies} == {True, False}
    assert all(0 < each.median_ms <= each.p90_ms for each in speed.latencies)
    assert speed.memory_kib is not None
    assert speed.memory_kib > 0
    assert ExportResult.from_dict(json.loads(json.dumps(dataclasses.asdict(result)))) == result


def test_speed_of_a_file_of_integers_is_measured(network):
    job = network("mlp", format="int8", integer_io=True, measure=True, min_agreement=0.5)
    assert exported(job).speed is not None
