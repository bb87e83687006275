from __future__ import annotations

import os

import pytest

from hpsearch.errors import UsageError
from hpsearch.executors import placement
from hpsearch.executors.placement import environments, parse_gpus, usable_cores, visible_gpus

LISTING = """\
GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-5f1e)
GPU 1: NVIDIA A100-SXM4-40GB (UUID: GPU-77aa)
  MIG 3g.20gb     Device  0: (UUID: MIG-c6d4)
  MIG 3g.20gb     Device  1: (UUID: MIG-11ef)
GPU 2: NVIDIA A100-SXM4-40GB (UUID: GPU-9b0c)
"""


def test_gpus_are_listed_by_index_and_their_parts_by_uuid():
    assert parse_gpus(LISTING) == ("0", "MIG-c6d4", "MIG-11ef", "2")
    assert parse_gpus("No devices found.\n") == ()


@pytest.mark.parametrize(
    ("variable", "gpus"),
    [("0,1", ("0", "1")), (" GPU-5f1e , 2", ("GPU-5f1e", "2")), ("", ()), ("-1", ()), ("1,-1,0", ("1",))],
)
def test_visible_devices_are_respected(monkeypatch, variable, gpus):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", variable)
    assert visible_gpus() == gpus


def test_nvidia_smi_is_asked(monkeypatch, tmp_path):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    (tmp_path / "nvidia-smi").write_text(f"#!/bin/sh\n[ $1 = -L ] && echo '{LISTING}'")
    (tmp_path / "nvidia-smi").chmod(0o755)
    assert visible_gpus() == ("0", "MIG-c6d4", "MIG-11ef", "2")
    (tmp_path / "nvidia-smi").write_text("#!/bin/sh\necho 'NVIDIA-SMI has failed'; exit 9")
    assert visible_gpus() == ()


def test_one_slot_a_gpu_each_seeing_its_own(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    assert [slot["CUDA_VISIBLE_DEVICES"] for slot in environments(None, 1)] == ["4", "7"]
    assert not any("TF_FORCE_GPU_ALLOW_GROWTH" in slot for slot in environments(None, 1))


def test_gpus_that_workers_will_not_see_are_not_given_out(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    (place,) = environments(1, environment={"CUDA_VISIBLE_DEVICES": "-1"})
    assert "CUDA_VISIBLE_DEVICES" not in place
    assert place["OMP_NUM_THREADS"] == "1"


def test_more_slots_than_gpus_share_their_memory(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    slots = environments(3, 1)
    assert [slot["CUDA_VISIBLE_DEVICES"] for slot in slots] == ["4", "7", "4"]
    assert {slot["TF_FORCE_GPU_ALLOW_GROWTH"] for slot in slots} == {"true"}


@pytest.mark.parametrize(
    ("slots", "seen"), [(None, ["0,1", "2,3"]), (1, ["0,1"]), (3, ["0,1", "2,3", "0,1"])]
)
def test_several_gpus_a_slot(monkeypatch, slots, seen):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2,3,4")  # the last is left over
    places = environments(slots, 1, gpus_per_trial=2)
    assert [place["CUDA_VISIBLE_DEVICES"] for place in places] == seen
    assert {"TF_FORCE_GPU_ALLOW_GROWTH" in place for place in places} == {slots == 3}


@pytest.mark.parametrize(("visible", "received"), [("4", "4"), ("", "none that can be seen")])
def test_fewer_gpus_than_a_trial_is_to_have(monkeypatch, visible, received):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    message = f"resources.gpus_per_trial: there are fewer GPUs .* expected at least 2; received {received}"
    with pytest.raises(UsageError, match=message):
        environments(1, 1, gpus_per_trial=2)


MEMORY = "0, GPU-5f1e, 40000, 40960\n1, GPU-77aa, 20000, 40960\n"


@pytest.fixture
def two_gpus(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    monkeypatch.setattr(placement.gpu_memory, "measure", lambda: placement.gpu_memory.parse(MEMORY))


def test_slots_share_gpus_with_a_part_of_the_free_memory_each(two_gpus):
    places = environments(None, 1, trials_per_gpu=3)
    assert [place["CUDA_VISIBLE_DEVICES"] for place in places] == ["0", "1"] * 3
    assert [place["HPSEARCH_GPU_MEMORY_MIB"] for place in places] == ["12000", "6000"] * 3
    assert [place["XLA_CLIENT_MEM_FRACTION"] for place in places] == ["0.2930", "0.1465"] * 3
    assert not any("TF_FORCE_GPU_ALLOW_GROWTH" in place for place in places)
    assert len(environments(2, 1, trials_per_gpu=3)) == 2


def test_more_slots_than_limited_memory_allows(two_gpus):
    with pytest.raises(
        UsageError, match=r"resources.slots: .* at most 4 \(2 GPUs, 2 trials each\); received 5"
    ):
        environments(5, 1, trials_per_gpu=2)


def test_without_gpus_nothing_is_shared(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    (place,) = environments(1, 1, trials_per_gpu=3)
    assert "HPSEARCH_GPU_MEMORY_MIB" not in place


@pytest.mark.parametrize(("cores", "cores_per_trial", "slots"), [(8, 1, 8), (8, 3, 2), (2, 4, 1)])
def test_without_gpus_cores_count(monkeypatch, cores, cores_per_trial, slots):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setattr(placement, "usable_cores", lambda: cores)
    assert len(environments(None, cores_per_trial)) == slots
    assert environments(None, cores_per_trial)[0]["OMP_NUM_THREADS"] == str(cores_per_trial)
    assert "CUDA_VISIBLE_DEVICES" not in environments(None, cores_per_trial)[0]


def test_with_gpus_a_slot_has_its_part_of_the_cores(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    monkeypatch.setattr(placement, "usable_cores", lambda: 9)
    assert [slot["OMP_NUM_THREADS"] for slot in environments(None)] == ["4", "4"]
    assert {slot["OMP_NUM_THREADS"] for slot in environments(20)} == {"1"}
    assert {slot["OMP_NUM_THREADS"] for slot in environments(None, 3)} == {"3"}
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert [slot["OMP_NUM_THREADS"] for slot in environments(2)] == ["1", "1"]


def test_affinity_and_quota_limit_the_cores(monkeypatch):
    allowed = os.sched_getaffinity(0)
    monkeypatch.setattr(placement.cgroup, "cpu_limit", lambda: None)
    assert usable_cores() == len(allowed)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        assert usable_cores() == 1
    finally:
        os.sched_setaffinity(0, allowed)
    for quota, cores in ((0.5, 1), (1.9, 1), (1000.0, len(allowed))):
        monkeypatch.setattr(placement.cgroup, "cpu_limit", lambda quota=quota: quota)
        assert usable_cores() == cores


@pytest.mark.parametrize("name", ["slots", "cores_per_trial", "gpus_per_trial", "trials_per_gpu"])
def test_numbers_below_one_are_refused(name):
    with pytest.raises(
        UsageError, match=f"resources.{name}: too small; expected a number from 1; received 0"
    ):
        environments(**{"slots": 1, "cores_per_trial": 1, name: 0})


def test_the_users_log_level_wins(monkeypatch):
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "0")
    assert environments(1, 1)[0]["TF_CPP_MIN_LOG_LEVEL"] == "0"
