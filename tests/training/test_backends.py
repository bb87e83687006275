"""The tests of training that must hold on every backend run once more on JAX and on torch.

A backend is a process's own: so each has one, and both run at the same time. JAX compiles for minutes in all
of them, so it is a few unless `HPSEARCH_TEST_BACKENDS=all`.
"""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

HERE = Path(__file__).parent
BACKENDS = [name for name in ("jax", "torch") if find_spec(name) is not None]
FEW = [
    "tests/training/on_backend.py::test_a_trial_imports_no_tensorflow",
    "tests/training/on_backend.py::test_tensorflow_exports_the_model_and_agrees[float32-tflite]",
    "tests/training/on_backend.py::test_a_built_in_model_trains[attention]",
    "tests/training/on_backend.py::test_a_built_in_model_trains[cnn]",
    "tests/training/on_backend.py::test_operations_are_those_that_torch_counts",
    "tests/training/test_flops.py",
    "tests/training/on_backend.py::test_memory_that_runs_out",
    "tests/training/on_backend.py::test_another_backend_is_not_to_be_had",
    "tests/training/on_backend.py::test_a_stateful_model_is_refused_by_name",
    "tests/training/test_state.py::test_it_ends_with_the_same_bits[mlp-1]",
    "tests/training/test_measure.py::test_one_pass_gives_what_evaluate_and_predict_give[plain]",
]
ALL = [
    "tests/training/on_backend.py",
    *(
        f"tests/training/test_state.py::test_it_ends_with_the_same_bits[{case}]"
        for case in ("mlp-1", "mlp-3", "lstm-1", "early stopping-3", "plateau-3", "sixteen bits-1")
    ),
    "tests/training/test_run.py::TestResult",
    "tests/training/test_run.py::TestPruning::test_a_pruned_trial_is_a_result_with_its_best_epoch",
    "tests/training/test_run.py::TestEarlyStopping::test_training_ends_when_the_objective_no_longer_improves",
    "tests/training/test_run.py::TestDeterminism::test_a_trial_does_not_depend_on_those_before_it",
    "tests/training/test_run.py::TestOtherData",
    "tests/training/test_augmentation.py::test_a_trial_is_reproducible_and_its_model_holds_no_augmentation",
    "tests/training/test_class_weight.py::test_the_numbers_are_keras_own",
    *(
        f"tests/training/test_measure.py::test_one_pass_gives_what_evaluate_and_predict_give[{make}]"
        for make in ("plain", "named", "subclassed")
    ),
    "tests/training/test_measure.py::test_forward_needs_no_compilation",
    "tests/training/test_schedules.py::TestTraining",
    "tests/training/test_flops.py",
]
TESTS = {
    "jax": [
        *ALL,
        "tests/training/test_ways.py::test_many_settings_at_once",
        "tests/training/test_whole_epoch.py::test_it_is_fit_to_the_bit[mlp-weighted]",
        "tests/training/test_whole_epoch.py::test_it_is_fit_to_the_bit[lstm-]",
        "tests/training/test_whole_epoch.py::test_graphs_are_used_again_and_give_the_numbers_of_a_fresh_model[adam]",
    ],
    "torch": ALL,
}
if os.environ.get("HPSEARCH_TEST_BACKENDS") != "all":
    fit = "tests/training/test_whole_epoch.py::test_it_is_fit_to_the_bit[mlp-weighted]"
    TESTS = {"jax": [*FEW, fit], "torch": FEW}


@pytest.fixture(scope="module")
def runs():
    """Begins all, so that they share the cores."""
    fast = {"XLA_FLAGS": "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"}
    threads = {"OMP_NUM_THREADS": "1", "PJRT_NPROC": "1", "TF_NUM_INTRAOP_THREADS": "1"}
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:xdist",
        "--durations=8",
    ]
    runs = {
        name: subprocess.Popen(
            [*command, *TESTS[name]],
            cwd=HERE.parents[1],
            env={**environment, **threads, **fast, "KERAS_BACKEND": name, "HPSEARCH_TEST_BACKEND": name},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for name in BACKENDS
    }
    yield runs
    for run in runs.values():
        run.kill()
        run.wait()


@pytest.mark.slow
@pytest.mark.timeout(900)  # of all that the process does
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_training(backend, runs):
    if backend not in runs:
        pytest.skip(f"needs {backend}")
    told, _ = runs[backend].communicate(timeout=900)
    assert runs[backend].returncode == 0, told[-6000:]
