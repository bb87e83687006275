"""Files of one model against each other, in a sentence."""

from __future__ import annotations

import dataclasses

from hpsearch.trial import ExportResult, Latency, Speed
from hpsearch.variants import comparisons, told_score, versus


def result(fmt: str, size: int, ms: float | None = None, **scores: float) -> ExportResult:
    speed = Speed((Latency(1, True, ms, ms),)) if ms else None
    return ExportResult("/x", fmt, size, 0.0, 0.0, 1.0, 9, ("ADD",), scores=scores, speed=speed)


WHOLE = result("float32", 3800, 2.1, accuracy=0.95, f1=0.9)


def test_a_file_is_compared_in_size_speed_and_score():
    small = result("int8", 1000, 1.0, accuracy=0.95, f1=0.897)
    assert versus(small, WHOLE) == "int8 is 3.8x smaller, 2.1x faster, -0.3 points of f1"
    assert versus(result("int16x8", 7600, 4.2), WHOLE) == "int16x8 is 2.0x larger, 2.0x slower"
    amounts = result("int8", 1900, r2=0.75)
    assert versus(amounts, result("float32", 1900, r2=0.8)) == "int8 is 1.0x smaller, -0.0500 of r2"


def test_only_what_litert_runs_is_compared_and_only_with_float32():
    others = [result("int8", 1000), result("keras", 5000), result("onnx", 3000)]
    assert list(comparisons(others)) == []
    assert [each.split()[0] for each in comparisons([WHOLE, *others])] == ["int8"]
    assert [each.split()[0] for each in comparisons(others, WHOLE)] == ["int8"]


def test_f1_speaks_before_accuracy_and_r2():
    assert told_score({"accuracy": 1, "digit_f1": 1}) == "digit_f1"
    assert told_score({"rmse": 1, "r2": 1}) == "r2"
    assert told_score({}) is None


def test_results_come_back_from_json():
    assert ExportResult.from_dict(dataclasses.asdict(WHOLE)) == WHOLE
    old = {"path": "x", "format": "float32", "size_bytes": 1, "largest_difference": 0.0}
    old |= {"mean_difference": 0.0, "agreement": None, "samples": 1}
    assert ExportResult.from_dict(old).scores == {}
