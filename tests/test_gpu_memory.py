from __future__ import annotations

import os

import pytest

from hpsearch.errors import UsageError
from hpsearch.gpu_memory import LIMIT_MIB, limits, measure, parse

LISTING = """\
0, GPU-5f1e09ab, 38000, 40960
1, GPU-77aa, [N/A], [N/A]
12, GPU-9b0c, 10000, 20000
"""


@pytest.fixture(autouse=True)
def nvidia_smi(monkeypatch, tmp_path):
    """An `nvidia-smi` that answers as one of three GPUs did, the second of which does not tell."""
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    script = tmp_path / "nvidia-smi"
    script.write_text(f"#!/bin/sh\n[ $# = 2 ] && echo '{LISTING}'")
    script.chmod(0o755)
    return script


def test_nvidia_smi_is_asked(nvidia_smi):
    assert [(each.index, each.free_mib) for each in measure()] == [("0", 38000), ("12", 10000)]
    nvidia_smi.write_text("#!/bin/sh\nexit 9")
    assert measure() == ()
    assert parse("No devices were found\n") == ()


@pytest.mark.parametrize("name", ["0", "GPU-5f1e09ab", "GPU-5f"])
def test_a_trial_gets_its_part_of_what_is_free(name):
    assert limits(name, 4) == {LIMIT_MIB: "8550", "XLA_CLIENT_MEM_FRACTION": "0.2087"}


def test_a_part_of_all_memory():
    assert limits("12", 2, of_all=True) == {LIMIT_MIB: "9000", "XLA_CLIENT_MEM_FRACTION": "0.4500"}


def test_jax_is_told_under_one_name_only(monkeypatch):
    monkeypatch.setenv("XLA_PYTHON_CLIENT_MEM_FRACTION", "0.5")
    assert limits("12", 2) == {LIMIT_MIB: "4500", "XLA_PYTHON_CLIENT_MEM_FRACTION": "0.2250"}


@pytest.mark.parametrize("name", ["1", "2", "MIG-c6d4", "GPU"])
def test_memory_that_is_not_known(name):
    with pytest.raises(UsageError, match=f"resources.trials_per_gpu: .*nvidia-smi.*; received {name}"):
        limits(name, 2)
