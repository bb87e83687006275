from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hpsearch.experiment import Experiment, TrainingSection
from hpsearch.testing.trials import FakeDriver, overlapping, small
from hpsearch.trial import TrialSpec


@pytest.fixture
def driver() -> FakeDriver:
    return FakeDriver()


@pytest.fixture
def spec(tmp_path: Path) -> TrialSpec:
    return TrialSpec(0, {}, seed=3, folder=str(tmp_path / "0000"))


@pytest.fixture(scope="session")
def make_experiment() -> Callable[..., Experiment]:
    def make(
        model: Any = small,
        data: Any = None,
        objective: Any = "val_f1_macro",
        checkpoints: Any = None,
        **training: Any,
    ) -> Experiment:
        return Experiment(
            name="test",
            model=model,
            data=overlapping() if data is None else data,
            objective=objective,
            checkpoints=checkpoints or {},
            training={"epochs": 3, "batch_size": 16, **training},
        )

    return make


def _train_on(backend: str) -> None:
    """Makes a backend that of experiments which name none, where `test_backends.py` runs these tests."""
    TrainingSection.model_fields["backend"].default = backend
    TrainingSection.model_rebuild(force=True)
    Experiment.model_fields["training"].default = TrainingSection()
    Experiment.model_rebuild(force=True)


if (_BACKEND := os.environ.get("HPSEARCH_TEST_BACKEND")) is not None:
    _train_on(_BACKEND)
