"""A worker's samples of itself."""

import json
import os
import time

import psutil
import pytest

from hpsearch.training import system_metrics
from hpsearch.training.system_metrics import sampled
from hpsearch.trial import SYSTEM_FILE


def read(folder):
    return [json.loads(line) for line in (folder / SYSTEM_FILE).read_text().splitlines() if line[0] == "{"]


def test_a_busy_process_is_seen_and_a_short_trial_has_one_sample(tmp_path):
    with sampled(tmp_path):
        began_s = time.process_time()
        while time.process_time() - began_s < 0.3:
            pass
    [sample] = read(tmp_path)
    assert sample["step"] == 0
    assert abs(sample["at_s"] - time.time()) < 30
    metrics = sample["metrics"]
    assert metrics["cpu_utilization_percentage"] > 5  # on a machine that others use, too
    assert metrics["memory_usage_megabytes"] == pytest.approx(
        psutil.Process().memory_info().rss / 1e6, rel=0.5
    )
    assert 0 < metrics["system_memory_usage_percentage"] <= 100


def test_samples_go_on_after_those_of_an_attempt_that_died(tmp_path):
    with sampled(tmp_path, 0.02):
        time.sleep(0.3)
    before = len(read(tmp_path))
    assert before > 2
    with open(tmp_path / SYSTEM_FILE, "a") as file:
        file.write("half a line")
    with sampled(tmp_path):
        pass
    assert [sample["step"] for sample in read(tmp_path)] == [*range(before), before + 1]


def test_a_folder_that_cannot_be_written_disturbs_nothing(tmp_path):
    with sampled(tmp_path / "none", 0.01):
        time.sleep(0.05)
    assert not (tmp_path / "none").exists()


def test_gpus_as_nvidia_smi_tells_them(tmp_path, monkeypatch):
    """No GPU here: a script that says what the real program does, and notes what it was asked."""
    program = tmp_path / "nvidia-smi"
    program.write_text(
        f'#!/bin/sh\necho "$@" > {tmp_path}/asked\nprintf "37, 4096, 8192, 61.5\\n5, 100, 400, [N/A]\\n"\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert system_metrics._gpus("2,3") == {
        "gpu_0_utilization_percentage": 37.0,
        "gpu_0_memory_usage_megabytes": 4295.0,
        "gpu_0_memory_usage_percentage": 50.0,
        "gpu_0_power_usage_watts": 61.5,
        "gpu_1_utilization_percentage": 5.0,
        "gpu_1_memory_usage_megabytes": 104.9,
        "gpu_1_memory_usage_percentage": 25.0,
    }
    assert (tmp_path / "asked").read_text().endswith(" --id 2,3\n")
    assert system_metrics._gpus("") == {}
    program.write_text("#!/bin/sh\nexit 9\n")
    assert system_metrics._gpus(None) == {}
