import math

import pytest

from hpsearch.tracking.entities import (
    NAME_LENGTH,
    Names,
    shorten,
    to_dataset,
    to_metrics,
    to_params,
    to_tags,
)
from hpsearch.trial import DataSummary

STRANGE = [
    "precision@10",
    "f1 (macro)",
    "größe",
    "a//b",
    "/absolute",
    "../up",
    "a/../b",
    ".",
    "",
    "trailing/",
    "loss[0]",
    "l" * 400,
    "a:b",
    "new\nline",
]


@pytest.mark.parametrize("name", ["loss", "val_f1_macro", "a.b-c d", "head/accuracy", "größe"])
def test_names_that_mlflow_takes_stay(name):
    assert Names().fit(name) == name


@pytest.mark.parametrize("name", STRANGE)
def test_every_name_becomes_one_that_mlflow_takes(name):
    from mlflow.utils.validation import _validate_metric_name, _validate_param_name

    fitted = Names().fit(name)
    _validate_metric_name(fitted)
    _validate_param_name(fitted)
    assert 0 < len(fitted) <= NAME_LENGTH


def test_different_names_stay_different_and_the_same_stay_the_same():
    names, names_to_fit = Names(), [*STRANGE, "precision#10", "precision_10", "l" * 401]
    fitted = [names.fit(name) for name in names_to_fit]
    assert len(set(fitted)) == len(fitted)
    assert fitted == [names.fit(name) for name in names_to_fit]


def test_long_values_are_cut_and_say_so():
    assert shorten("x" * 10, 10) == "x" * 10
    cut = shorten("x" * 9000, 6000)
    assert len(cut) == 6000
    assert cut.endswith("x … (of 9000 characters)")
    assert len(to_params({"p": "x" * 9000}, Names())[0].value) == 6000


def test_metrics_carry_step_and_milliseconds():
    [metric] = to_metrics({"f1@k": 0.5}, Names(), step=3, at_s=1700000000.25)
    assert (metric.key, metric.value, metric.step, metric.timestamp) == ("f1_k", 0.5, 3, 1700000000250)
    [nan] = to_metrics({"loss": math.nan}, Names(), step=1, at_s=0)
    assert math.isnan(nan.value)


def test_tags_leave_out_what_is_unknown():
    assert [(t.key, t.value) for t in to_tags({"a": 1, "b": None})] == [("a", "1")]


def test_a_data_set_tells_its_sizes():
    summary = DataSummary(
        "digits", "0f" * 8, "classification", {"train": 10, "test": 5}, {"x": "(64,) float32"}
    )
    dataset = to_dataset(summary).dataset
    assert (dataset.name, dataset.digest) == ("digits", "0f" * 8)
    assert '"train": 10' in dataset.profile
    assert '"num_rows": 15' in dataset.profile
