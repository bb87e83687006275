"""Every built-in model has its entry in the contract, and an experiment that runs as it is."""

import importlib.util
from pathlib import Path

import pytest

from hpsearch.experiment import Experiment
from hpsearch.models import describe, names
from hpsearch.testing.models import LearningContract, ModelContract
from hpsearch.training.probe import probe
from hpsearch.trial import Probe

HERE = Path(__file__).parent
EXPERIMENTS = sorted((HERE.parents[1] / "experiments").glob("*.yaml"))
CLASSIC = ("mnist", "cifar10", "sms_spam", "california_housing", "etth1")
"""Data sets that must be downloaded first, in the name of the data or of the experiment."""


def entries(name):
    """Returns the contract's subclasses in a model's test file."""
    file = HERE / f"test_{name}.py"
    spec = importlib.util.spec_from_file_location(file.stem, file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return [each for key, each in vars(module).items() if key.startswith("Test")]


@pytest.mark.parametrize("name", names())
def test_every_model_goes_through_the_contract(name):
    found = [entry for entry in entries(name) if issubclass(entry, LearningContract)]
    assert any(issubclass(entry, ModelContract) for entry in found)
    for entry in found:
        assert name == (entry.model if isinstance(entry.model, str) else entry.model["name"])
        assert entry.random_points >= 10


@pytest.mark.parametrize("name", names())
def test_every_model_is_documented(name):
    line = describe(name)
    assert line.endswith(".")
    assert 20 < len(line) < 110


@pytest.mark.parametrize("name", names())
def test_every_model_has_an_experiment(name):
    assert name in {Experiment.load(file).model.name for file in EXPERIMENTS}


@pytest.mark.slow
@pytest.mark.parametrize("file", EXPERIMENTS, ids=lambda file: file.stem)
def test_experiments_fit_their_models(file, tmp_path):
    experiment = Experiment.load(file)
    if any(word in f"{experiment.data.name} {file.stem}" for word in CLASSIC):
        pytest.skip("its data must be downloaded first")
    assert set(experiment.search.space) <= set(probe(experiment, Probe(str(tmp_path))).space.names)
