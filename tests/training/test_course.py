from __future__ import annotations

import keras
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpsearch.errors import ObjectiveError
from hpsearch.training.course import Course, waited
from hpsearch.training.failures import NotFiniteError


def course(make_experiment, objective="val_loss", users_own=False, **training) -> Course:
    return Course(make_experiment(objective=objective, **training), users_own=users_own)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.sampled_from([0.0, 0.1, 0.2, 0.25, 0.3, 0.9]), min_size=1, max_size=15),
    st.integers(0, 4),
    st.sampled_from([0.0, 0.06]),
    st.sampled_from(["min", "max"]),
)
def test_early_stopping_is_that_of_keras(values, patience, min_delta, mode):
    callback = keras.callbacks.EarlyStopping("v", min_delta=min_delta, patience=patience, mode=mode)
    model = keras.Sequential()
    callback.set_model(model)
    model.stop_training = False
    callback.on_train_begin()
    sign = 1 if mode == "max" else -1
    for epoch, value in enumerate(values):
        callback.on_epoch_end(epoch, {"v": value})
        seen = [sign * v for v in values[: epoch + 1]]
        assert (waited(seen, min_delta) >= max(1, patience)) == model.stop_training
        if model.stop_training:
            break


def test_the_first_of_equals_is_best(make_experiment):
    for objective, best in (("val_loss", 2), ("val_accuracy", 3)):
        watched = course(make_experiment, objective)
        for loss, accuracy in ((0.5, 0.1), (0.2, 0.3), (0.2, 0.9), (0.4, 0.9)):
            watched.add({"val_loss": loss, "val_accuracy": accuracy})
        assert watched.best is not None
        assert watched.best.number == best


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("metric", ["loss", "val_loss", "val_r2"])
def test_a_value_that_is_not_finite_ends_the_trial(make_experiment, metric, value):
    watched = course(make_experiment, ["val_r2"])
    watched.add({"loss": 1.0, "val_loss": 1.0, "val_r2": 0.1, "val_mape": float("inf")})
    with pytest.raises(NotFiniteError, match=rf"`{metric}` is {value} at epoch 2"):
        watched.add({"loss": 1.0, "val_loss": 1.0, "val_r2": 0.1, metric: value})


def test_every_objective_must_be_reported(make_experiment):
    watched = course(make_experiment, ["val_loss", "val_auc"])
    with pytest.raises(ObjectiveError, match="no metric `val_auc`; expected one of loss, val_loss"):
        watched.add({"loss": 1.0, "val_loss": 1.0})


def test_a_users_fit_may_name_its_objective_at_the_end(make_experiment):
    watched = course(make_experiment, "val_auc", users_own=True)
    watched.add({"loss": 1.0})
    watched.add({"loss": 2.0})
    assert watched.best is watched.epochs[1]  # nothing to choose by: the last
    assert watched.finish({"val_auc": 0.7}) == {"loss": 2.0, "val_auc": 0.7}
    with pytest.raises(ObjectiveError, match="no metric `val_auc`"):
        watched.finish({})
    with pytest.raises(NotFiniteError, match="`val_auc` is nan at the end of fit"):
        watched.finish({"val_auc": float("nan")})


def test_early_stopping_counts_from_the_start_of_each_fit(make_experiment):
    watched = course(make_experiment, early_stopping={"patience": 1})
    for value in (0.5, 0.6):
        watched.add({"val_loss": value})
    assert watched.exhausted()
    watched.begin()
    assert not watched.exhausted()
    watched.add({"val_loss": 0.9})
    assert not watched.exhausted()


def test_early_stopping_watches_another_metric(make_experiment):
    watched = course(make_experiment, early_stopping={"patience": 1, "monitor": "val_accuracy"})
    for loss, accuracy in ((0.5, 0.5), (0.4, 0.4)):
        watched.add({"val_loss": loss, "val_accuracy": accuracy})
    assert watched.exhausted()
