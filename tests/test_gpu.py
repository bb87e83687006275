"""Trials that share a real GPU; skipped where there is none."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import keras_tuner
import pytest

import hpsearch
from hpsearch.executors.placement import visible_gpus
from hpsearch.experiment import Experiment
from hpsearch.gpu_memory import measure
from hpsearch.testing.trials import overlapping, small
from hpsearch.trial import FailureKind, TrialState
from hpsearch.trial_view import TrialView

GPUS = visible_gpus()
BACKENDS = [name for name in ("tensorflow", "jax", "torch") if find_spec(name)]

pytestmark = [pytest.mark.skipif(not GPUS, reason="needs an NVIDIA GPU"), pytest.mark.slow]


class Greedy(keras_tuner.HyperModel):
    """Holds some of the GPU's memory while it trains."""

    def __init__(self, held_mib: list[int]) -> None:
        super().__init__()
        self.held_mib = held_mib

    def build(self, hp):
        hp.Choice("held_mib", self.held_mib)
        return small(hp)

    def fit(self, hp, model, *args, **kwargs):
        import keras

        held = keras.ops.zeros((hp.get("held_mib"), 2**18))
        keras.ops.convert_to_numpy(held[0, 0])  # until it is really there
        history = model.fit(*args, **kwargs)
        del held
        return history


def search(tmp_path: Path, backend: str, held_mib: list[int], **resources: object) -> tuple[TrialView, ...]:
    experiment = Experiment(
        name="greedy",
        model=Greedy(held_mib),
        data=overlapping(),
        objective="val_loss",
        search={"strategy": "grid", "space": {"units": 8, "learning_rate": 0.01}},
        training={"backend": backend, "epochs": 3},
        resources=resources,
        tracking={"uri": f"sqlite:///{tmp_path}/mlflow.db", "report": False},
        export={"formats": []},
        workdir=str(tmp_path / "runs"),
    )
    return hpsearch.search(experiment).trials


def free_mib() -> int:
    return measure()[0].free_mib


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_trial_trains_on_the_gpu(tmp_path, backend):
    [only] = search(tmp_path, backend, [64])
    assert only.state is TrialState.COMPLETE


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_trial_cannot_take_the_memory_of_the_others(tmp_path, backend):
    """Of four that share a GPU, the one that wants more than its quarter fails, and only that."""
    quarter_mib = free_mib() // 4
    small_mib, large_mib = quarter_mib // 4, quarter_mib + quarter_mib // 4
    trials = search(tmp_path, backend, [small_mib, large_mib, small_mib + 1, small_mib + 2], trials_per_gpu=4)
    states = {each.params["held_mib"]: each for each in trials}
    assert states.pop(large_mib).failure.kind is FailureKind.OUT_OF_MEMORY
    assert {each.state for each in states.values()} == {TrialState.COMPLETE}


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_runs_out_of_memory_beside_another_runs_again_alone(tmp_path, backend):
    """Two slots share the GPU without limits, and each trial wants more than half of it."""
    most_mib = int(0.6 * free_mib())
    trials = search(tmp_path, backend, [most_mib, most_mib + 1], slots=2)
    assert [each.state for each in trials] == [TrialState.COMPLETE] * 2
