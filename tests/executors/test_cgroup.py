from __future__ import annotations

from hpsearch.executors.cgroup import cpu_limit, oom_kills
from hpsearch.executors.outcome import failure_of_exit
from hpsearch.trial import FailureKind


def write(root, files):
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_version_2_the_tightest_ancestor_counts(tmp_path):
    root = write(
        tmp_path,
        {
            "proc/self/cgroup": "0::/user.slice/job_7\n",
            "sys/fs/cgroup/user.slice/job_7/cpu.max": "max 100000\n",
            "sys/fs/cgroup/user.slice/cpu.max": "250000 100000\n",
            "sys/fs/cgroup/user.slice/job_7/memory.events": "low 0\nmax 12\noom 1\noom_kill 3\n",
        },
    )
    assert cpu_limit(root) == 2.5
    assert oom_kills(root) == 3


def test_version_1_in_a_container_that_does_not_see_its_outer_path(tmp_path):
    root = write(
        tmp_path,
        {
            "proc/self/cgroup": "4:memory:/docker/ab12\n2:cpu,cpuacct:/docker/ab12\n1:name=systemd:/\n",
            "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "150000\n",
            "sys/fs/cgroup/cpu/cpu.cfs_period_us": "50000\n",
            "sys/fs/cgroup/memory/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n",
        },
    )
    assert cpu_limit(root) == 3.0
    assert oom_kills(root) == 2


def test_version_1_without_a_quota(tmp_path):
    files = {"proc/self/cgroup": "2:cpu:/\n", "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n"}
    assert cpu_limit(write(tmp_path, files)) is None


def test_no_cgroup_the_whole_machine_counts(tmp_path):
    root = write(tmp_path, {"proc/vmstat": "nr_free_pages 5\noom_kill 9\npgfault 1\n"})
    assert cpu_limit(root) is None
    assert oom_kills(root) == 9
    assert oom_kills(tmp_path / "nowhere") is None


def test_only_a_killed_process_was_out_of_memory():
    killed = failure_of_exit(-9, detail="the log", out_of_memory=True)
    assert killed.kind == FailureKind.OUT_OF_MEMORY
    assert killed.cause == "the worker process was killed by the kernel: out of memory"
    assert killed.detail == "the log"
    assert failure_of_exit(-11, detail="", out_of_memory=True).kind == FailureKind.CRASH
    unknown = failure_of_exit(-9, detail="", out_of_memory=False)
    assert unknown.kind == FailureKind.CRASH
    assert unknown.cause == "the worker process was killed by SIGKILL (out of memory?)"
