"""The law of models, which every architecture of hpsearch goes through.

An architecture is one entry: a subclass in `tests/models/test_<name>.py`, written like an experiment file.

    class TestCNN(ModelContract):
        model = "cnn"                                          # or {"name": "cnn", "options": {...}}
        dataset = {"name": "digits", "options": {"flat": False}}
        space = {"filters_1": [4, 8]}                          # narrows, to keep the test small

That is all: everything below runs on it, and `tests/models/test_architectures.py` refuses a built-in
model without an entry. `dataset` may also be arrays, or `staticmethod(function)` that returns them; keep
it at about 100 rows. Several subclasses put a model through on several data sets; `LearningContract` is the
quick half, without the search and the export, for those that add nothing there. A model whose outputs are
neither probabilities nor shaped like the target overrides `check_outputs`, and says why.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import numpy as np
import pytest

from hpsearch.datasets import Data, load_data
from hpsearch.experiment import Experiment
from hpsearch.experiment_search import SearchSection
from hpsearch.export import export
from hpsearch.models import load_hypermodel
from hpsearch.models.stateful import fixed_batch
from hpsearch.space import Parameter
from hpsearch.testing.trials import FakeDriver
from hpsearch.training.compatibility import first_rows
from hpsearch.training.evaluate import evaluate
from hpsearch.training.flops import flops_of
from hpsearch.training.hyperparameters import Choose, TrialHyperParameters, at_defaults
from hpsearch.training.outputs import targets_of
from hpsearch.training.probe import probe
from hpsearch.training.run import run_trial
from hpsearch.trial import (
    Evaluation,
    EvaluationResult,
    Export,
    ExportResult,
    Probe,
    ProbeResult,
    Result,
    TrialSpec,
    Value,
)

LARGEST_DIFFERENCE = 1e-5
"""Between a `.tflite` file of a tiny model and Keras; float32 sums in another order differ by 1e-6."""


def at_random(seed: int) -> Choose:
    """A `choose` that draws every value by chance, uniformly on the hyperparameter's own scale."""
    generator = np.random.default_rng(seed)

    def choose(parameter: Parameter) -> Value:
        if parameter.size is not None:
            return parameter.at(int(generator.integers(parameter.size)))
        low, high = float(parameter.low or 0), float(parameter.high or 0)
        if parameter.sampling == "log":
            return math.exp(generator.uniform(math.log(low), math.log(high)))
        return float(generator.uniform(low, high))

    return choose


def at_smallest(parameter: Parameter) -> Value:
    """A `choose` that takes every least number, and the first of what has no order."""
    if parameter.size is None:
        return float(parameter.low or 0)
    values = [parameter.at(index) for index in range(parameter.size)]
    return values[0] if isinstance(values[0], str) else min(values)


def at_largest(parameter: Parameter) -> Value:
    """A `choose` that takes every largest number, and the last of what has no order."""
    if parameter.size is None:
        return float(parameter.high or 0)
    values = [parameter.at(index) for index in range(parameter.size)]
    return values[-1] if isinstance(values[0], str) else max(values)


def narrowed(choose: Choose, space: Mapping[str, Any]) -> Choose:
    """A `choose` over a space narrowed as an experiment's `search.space` does it."""
    overrides = SearchSection(space=dict(space)).space

    def narrow(parameter: Parameter) -> Value:
        override = overrides.get(parameter.name)
        return choose(override.apply(parameter, parameter.name) if override else parameter)

    return narrow


class _Driver(FakeDriver):
    """Chooses as it is told."""

    def __init__(self, choose: Choose) -> None:
        super().__init__()
        self.choose = choose

    def suggest(self, parameter: Parameter) -> Value:
        return self.choose(parameter)


@dataclass(frozen=True)
class Searched:
    """What a search of two trials left: the trials, the test rows, the exported file."""

    probed: ProbeResult
    trials: Sequence[Result]
    tested: EvaluationResult
    exported: ExportResult


class LearningContract:
    """Every model builds anywhere in its space, learns, and survives being saved."""

    model: str | Mapping[str, Any]
    """As in an experiment file."""
    dataset: Any
    """As in an experiment file, or as in `Experiment(data=...)`."""
    space: Mapping[str, Any] = {}
    """As `search.space`: what all points below are taken from."""
    objective: str = "val_loss"
    random_points = 10

    def check_outputs(self, data: Data, outputs: Any, rows: int) -> None:
        """Outputs are finite, and shaped like probabilities of each class or like the target."""
        if not isinstance(outputs, Mapping):
            listed = outputs if isinstance(outputs, list | tuple) else [outputs]
            outputs = dict(zip([target.name for target in targets_of(data)], listed, strict=True))
        for target in targets_of(data):
            output = np.asarray(outputs[target.name])
            assert np.isfinite(output).all()
            if target.task == "classification":
                classes = len(target.class_names)
                assert output.shape in {(rows, classes), *([(rows, 1)] if classes == 2 else [])}
                assert output.min() >= 0
                if output.shape[1] > 1:
                    np.testing.assert_allclose(output.sum(axis=1), 1.0, atol=1e-5)
            else:
                y = data.train.y[target.name] if isinstance(data.train.y, Mapping) else data.train.y
                assert output.shape in {(rows, *y.shape[1:]), (rows, *y.shape[1:], 1)}

    # === What the tests work on ===

    @pytest.fixture(scope="class")
    @classmethod
    def experiment(cls) -> Experiment:
        return Experiment(
            name="contract",
            model=cls.model,
            data=cls.dataset,
            objective=cls.objective,
            search={"space": dict(cls.space)},
            training={"epochs": 1, "batch_size": 16},
        )

    @pytest.fixture(scope="class")
    @classmethod
    def data(cls, experiment: Experiment) -> Data:
        return load_data(experiment.data)

    @pytest.fixture(scope="class")
    @classmethod
    def hypermodel(cls, experiment: Experiment, data: Data) -> keras_tuner.HyperModel:
        return load_hypermodel(experiment.model, data)

    def build(self, hypermodel: keras_tuner.HyperModel, choose: Choose, seed: int = 1) -> keras.Model:
        keras.utils.set_random_seed(seed)
        model = hypermodel.build(TrialHyperParameters(narrowed(choose, self.space)))
        model.run_eagerly = True  # a few steps each: tracing would cost more
        return model

    def step(self, model: keras.Model, data: Data) -> float:
        """Trains one step; returns the loss before it."""
        batch = first_rows(model, data)
        model.reset_metrics()
        return float(model.train_on_batch(batch.x, batch.y, batch.sample_weight, return_dict=True)["loss"])

    def outputs(self, model: keras.Model, data: Data) -> Any:
        return model(keras.tree.map_structure(keras.ops.convert_to_tensor, first_rows(model, data).x))

    # === The law ===

    def test_builds_anywhere_in_its_space(self, hypermodel: keras_tuner.HyperModel, data: Data) -> None:
        by_chance = [at_random(seed) for seed in range(self.random_points)]
        for choose in (at_smallest, at_largest, *by_chance):
            model = self.build(hypermodel, choose)
            assert model.compiled
            self.check_outputs(data, self.outputs(model, data), len(first_rows(model, data)))

    def test_plain_keras_tuner_builds_it(self, hypermodel: keras_tuner.HyperModel) -> None:
        hp = keras_tuner.HyperParameters()
        hypermodel.build(hp)
        ours = TrialHyperParameters(at_defaults)
        hypermodel.build(ours)
        assert ours.values == hp.values
        assert [p.name for p in ours.declared] == [p.name for p in hp.space]
        replayed = keras_tuner.HyperParameters.from_config(hp.get_config())
        hypermodel.build(replayed)
        assert replayed.values == hp.values

    def test_equal_values_give_equal_weights(self, hypermodel: keras_tuner.HyperModel) -> None:
        one, two = (self.build(hypermodel, at_random(0)) for _ in range(2))
        assert len(one.get_weights()) == len(two.get_weights())
        for left, right in zip(one.get_weights(), two.get_weights(), strict=True):
            np.testing.assert_array_equal(left, right)
        assert [layer.name for layer in one.layers] == [layer.name for layer in two.layers]

    def test_one_step_lowers_the_loss(self, hypermodel: keras_tuner.HyperModel, data: Data) -> None:
        model = self.build(hypermodel, at_defaults)
        before, after = self.step(model, data), self.step(model, data)
        assert after < before

    def test_outputs_are_float32_under_mixed_precision(
        self, hypermodel: keras_tuner.HyperModel, data: Data
    ) -> None:
        keras.config.set_dtype_policy("mixed_bfloat16")
        try:
            model = self.build(hypermodel, at_defaults)
        finally:
            keras.config.set_dtype_policy("float32")
        assert math.isfinite(self.step(model, data))
        outputs = keras.tree.flatten(self.outputs(model, data))
        assert {keras.backend.standardize_dtype(output.dtype) for output in outputs} == {"float32"}

    def test_its_operations_are_counted(self, hypermodel: keras_tuner.HyperModel, data: Data) -> None:
        model = self.build(hypermodel, at_random(2))
        rows = first_rows(model, data)
        counted = flops_of(model, rows, "model")
        assert counted > 0
        if fixed_batch(model) is None:
            assert counted == flops_of(model, rows.take(slice(0, 1)), "model")

    def test_a_saved_model_predicts_the_same(
        self, hypermodel: keras_tuner.HyperModel, data: Data, tmp_path: Path
    ) -> None:
        model = self.build(hypermodel, at_random(1))
        self.step(model, data)
        model.save(tmp_path / "model.keras")
        loaded = keras.models.load_model(tmp_path / "model.keras")
        expected, received = self.outputs(model, data), self.outputs(loaded, data)
        for left, right in zip(keras.tree.flatten(expected), keras.tree.flatten(received), strict=True):
            np.testing.assert_array_equal(left, right)


class ModelContract(LearningContract):
    """Every model is also searched, and its best trial exported."""

    @pytest.fixture(scope="class")
    @classmethod
    def searched(cls, experiment: Experiment, tmp_path_factory: pytest.TempPathFactory) -> Searched:
        folder = tmp_path_factory.mktemp("study")
        probed = probe(experiment, Probe(str(folder)))
        trials = []
        for number, choose in enumerate((at_defaults, at_random(1))):
            spec = TrialSpec(number, {}, seed=number, folder=str(folder / f"{number:04d}"))
            result = run_trial(experiment, spec, _Driver(narrowed(choose, cls.space)))
            assert isinstance(result, Result), result
            trials.append(result)
        best = folder / "0001" / "model.keras"
        tested = evaluate(experiment, Evaluation(1, str(best), str(folder)))
        assert isinstance(tested, EvaluationResult), tested
        exported = export(Export(str(best), tested.samples, str(folder / "model.tflite")))
        assert isinstance(exported, ExportResult), exported
        return Searched(probed, trials, tested, exported)

    def test_a_search_of_two_trials(self, searched: Searched) -> None:
        declared = {parameter.name for parameter in searched.probed.space.parameters}
        assert declared >= self.space.keys()
        for result in searched.trials:
            assert result.params.keys() <= declared
            assert math.isfinite(result.metrics[self.objective])
            assert result.metrics.keys() >= set(searched.probed.metrics)
        assert searched.trials[0].params != searched.trials[1].params
        assert math.isfinite(searched.tested.metrics["test_loss"])

    def test_its_tflite_file_agrees_with_keras(self, searched: Searched) -> None:
        exported = searched.exported
        assert exported.largest_difference < LARGEST_DIFFERENCE
        assert exported.agreement in (None, 1.0)
        assert "CUSTOM" not in exported.ops
        assert not [op for op in exported.ops if "FLEX" in op.upper()]
