from __future__ import annotations

import json

import keras
import keras_tuner
import pytest
import tensorflow as tf

from hpsearch.errors import DataError, ObjectiveError
from hpsearch.testing.trials import small
from hpsearch.training.failures import NotFiniteError, failure_of, one_line
from hpsearch.training.run import run_trial
from hpsearch.trial import Failure, FailureKind


def fail(make_experiment, spec, driver, model=small, **options) -> Failure:
    failure = run_trial(make_experiment(model, **options), spec, driver)
    assert isinstance(failure, Failure), failure
    assert "\n" not in failure.cause
    return failure


def in_build(error: BaseException):
    def build(hp):
        hp.Int("units", 1, 4)
        raise error

    return build


class InFit(keras_tuner.HyperModel):
    def __init__(self, error: BaseException):
        super().__init__()
        self.error = error

    def build(self, hp):
        return small(hp)

    def fit(self, hp, model, *args, **kwargs):
        raise self.error


class TestKinds:
    @pytest.mark.parametrize(
        ("error", "kind", "cause"),
        [
            (ValueError("units must be\neven"), FailureKind.BUILD, "ValueError: units must be"),
            (MemoryError(), FailureKind.OUT_OF_MEMORY, "MemoryError"),
            (SystemExit(3), FailureKind.BUILD, "SystemExit: the code called sys.exit(3)"),
            (KeyboardInterrupt(), FailureKind.INTERRUPTED, "KeyboardInterrupt: the job was interrupted"),
        ],
        ids=lambda value: type(value).__name__,
    )
    def test_in_build(self, make_experiment, spec, driver, error, kind, cause):
        failure = fail(make_experiment, spec, driver, in_build(error))
        assert failure.kind is kind
        assert cause in failure.cause
        assert "raise error" in failure.detail
        assert driver.heard == [("suggest", "units")]

    @pytest.mark.parametrize(
        ("error", "kind", "cause"),
        [
            (KeyError("x"), FailureKind.ERROR, "KeyError: 'x'"),
            (
                tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor with shape[9,9]"),
                FailureKind.OUT_OF_MEMORY,
                "ResourceExhaustedError: OOM when allocating tensor with shape[9,9]",
            ),
            (SystemExit("bye"), FailureKind.ERROR, "SystemExit: the code called sys.exit('bye')"),
            (KeyboardInterrupt(), FailureKind.INTERRUPTED, "KeyboardInterrupt: the job was interrupted"),
        ],
        ids=lambda value: type(value).__name__,
    )
    def test_in_fit(self, make_experiment, spec, driver, error, kind, cause):
        failure = fail(make_experiment, spec, driver, InFit(error))
        assert (failure.kind, failure.cause) == (kind, cause)
        assert driver.heard[-1][0] == "built"

    def test_in_the_data(self, make_experiment, spec, driver):
        def data():
            raise FileNotFoundError("no such file: /data/x.csv")

        failure = fail(make_experiment, spec, driver, data=data)
        assert failure.kind is FailureKind.DATA
        assert "no such file: /data/x.csv" in failure.cause

    def test_not_a_number(self, make_experiment, spec, driver):
        def build(hp):
            model = keras.Sequential(
                [keras.Input((4,)), keras.layers.Rescaling(float("nan")), keras.layers.Dense(3)]
            )
            logits = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
            model.compile("sgd", logits, metrics=["accuracy"])
            return model

        failure = fail(make_experiment, spec, driver, build, epochs=5)
        assert failure.kind is FailureKind.NAN
        assert failure.cause == "`loss` is nan at epoch 1"
        assert driver.epochs == []

    def test_an_objective_that_is_not_reported(self, make_experiment, spec, driver):
        failure = fail(make_experiment, spec, driver, objective="val_f1_marco")
        assert (failure.kind, failure.usage) == (FailureKind.ERROR, True)
        assert "no metric `val_f1_marco`" in failure.cause
        assert "val_loss" in failure.cause
        assert "Did you mean `val_f1_macro`?" in failure.cause

    def test_a_model_that_cannot_be_saved(self, make_experiment, spec, driver):
        class Odd(keras.layers.Layer):
            def __init__(self, units):
                super().__init__()
                self.dense = keras.layers.Dense(units, activation="softmax")

            def call(self, x):
                return self.dense(x)

            def get_config(self):
                raise NotImplementedError("no configuration")

        def build(hp):
            model = keras.Sequential([keras.Input((4,)), Odd(3)])
            model.compile("sgd", "sparse_categorical_crossentropy")
            return model

        failure = fail(make_experiment, spec, driver, build, epochs=1)
        assert failure.cause.startswith("model: was trained but cannot be saved")
        assert "get_config" in failure.cause


class TestFailureOf:
    def test_the_stage_decides_unless_the_type_says_more(self):
        assert failure_of(ValueError("x"), FailureKind.BUILD).kind is FailureKind.BUILD
        assert failure_of(DataError("x"), FailureKind.BUILD).kind is FailureKind.DATA
        assert failure_of(NotFiniteError("x"), FailureKind.BUILD).kind is FailureKind.NAN

    @pytest.mark.parametrize(
        ("name", "message"),
        [
            ("JaxRuntimeError", "RESOURCE_EXHAUSTED: Out of memory allocating 40000000000000 bytes."),
            ("XlaRuntimeError", "RESOURCE_EXHAUSTED: Out of memory while trying to allocate 8 bytes."),
            ("OutOfMemoryError", "CUDA out of memory. Tried to allocate 20.00 GiB."),
            ("RuntimeError", "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't "
             "allocate memory: you tried to allocate 400000000000000 bytes."),
        ],
    )  # fmt: skip
    def test_memory_that_ran_out_on_jax_and_torch(self, name, message):
        error = type(name, (RuntimeError,), {}) if name != "RuntimeError" else RuntimeError
        assert failure_of(error(message)).kind is FailureKind.OUT_OF_MEMORY
        assert failure_of(error("INTERNAL: something else")).kind is (
            FailureKind.OUT_OF_MEMORY if name == "OutOfMemoryError" else FailureKind.ERROR
        )

    def test_memory_that_ran_out_below(self):
        error = DataError("cannot be loaded")
        error.__cause__ = MemoryError()
        assert failure_of(error).kind is FailureKind.OUT_OF_MEMORY

    def test_our_own_errors_speak_for_themselves(self):
        failure = failure_of(ObjectiveError("objective: there is no such metric."))
        assert failure.cause == "objective: there is no such metric."
        assert failure.usage

    def test_only_the_users_frames_are_shown(self):
        def users():
            keras.layers.Dense(-3)

        with pytest.raises(ValueError) as caught:
            users()
        detail = failure_of(caught.value).detail
        assert "keras.layers.Dense(-3)" in detail
        assert "site-packages" not in detail
        assert detail.rstrip().splitlines()[-1].startswith(("ValueError", "Received"))

    def test_a_trace_without_users_frames_is_whole(self):
        with pytest.raises(json.JSONDecodeError) as caught:
            json.loads("{")
        error = caught.value.with_traceback(caught.value.__traceback__.tb_next)  # without this function
        assert "json/decoder.py" in failure_of(error).detail

    def test_long_messages_are_cut(self):
        assert len(one_line(ValueError("x" * 5000))) == 500
        assert one_line(ValueError()) == "ValueError"
