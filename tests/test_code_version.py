"""What git says of the user's code, with a real git; and that a study keeps it and MLflow gets it."""

import json
import os
import subprocess
from dataclasses import asdict

import pytest

from hpsearch import code_version as module
from hpsearch import opening
from hpsearch.code_version import CodeVersion, code_version, uncommitted
from hpsearch.experiment import Experiment
from hpsearch.study_folder import StudyFolder
from hpsearch.trial import DataSummary


def git(folder, *arguments):
    me = ["-c", "user.name=me", "-c", "user.email=me@host", "-c", "init.defaultBranch=main"]
    done = subprocess.run(["git", *me, *arguments], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture(autouse=True)
def _no_hook(monkeypatch):
    """Git's own variables, which hooks have, would lead to another repository."""
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def repository(tmp_path):
    folder = tmp_path / "project"
    (folder / "mine").mkdir(parents=True)
    (folder / "other").mkdir()
    git(folder, "init")
    for name in ("mine/model.py", "other/notes.txt"):
        (folder / name).write_text("before\n")
    git(folder, "add", ".")
    git(folder, "commit", "-m", "first")
    return folder


def test_a_clean_repository(repository):
    commit = git(repository, "rev-parse", "HEAD")
    (repository / "mine" / "untracked.txt").write_text("password")
    assert code_version(repository / "mine") == CodeVersion(commit, "main", None, dirty=False)
    assert uncommitted(repository / "mine") == ""


def test_changes_are_told_and_only_the_folders_own_tracked_ones_kept(repository):
    (repository / "other" / "notes.txt").write_text("elsewhere\n")
    assert code_version(repository / "mine").dirty
    assert uncommitted(repository / "mine") == ""
    (repository / "mine" / "model.py").write_text("staged\n")
    git(repository, "add", "mine")
    (repository / "mine" / "model.py").write_text("after\n")
    (repository / "mine" / ".env").write_text("SECRET\n")
    diff = uncommitted(repository / "mine")
    assert "-before\n+after\n" in diff
    assert "elsewhere" not in diff
    assert "SECRET" not in diff


def test_no_branch_and_a_remote(repository):
    git(repository, "remote", "add", "origin", "git@host:me/project.git")
    git(repository, "checkout", "--detach")
    version = code_version(repository)
    assert (version.branch, version.repository) == (None, "git@host:me/project.git")


def test_nothing_is_known_without_a_repository_a_commit_or_git(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert (code_version(tmp_path), uncommitted(tmp_path)) == (CodeVersion(), "")
    git(tmp_path, "init")
    assert (code_version(tmp_path), uncommitted(tmp_path)) == (CodeVersion(), "")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert (code_version(tmp_path), uncommitted(tmp_path)) == (CodeVersion(), "")


def test_a_large_diff_is_cut_at_a_line_and_says_so(repository):
    (repository / "mine" / "model.py").write_text("0123456789abcdef\n" * 100_000)
    lines = uncommitted(repository / "mine").splitlines()
    assert lines[-1] == "... cut off here: longer than 1 MiB"
    assert lines[-2] == "+0123456789abcdef"
    assert 2**20 - 20 < sum(len(line) + 1 for line in lines[:-1]) <= 2**20


def test_a_git_that_hangs_costs_some_seconds_and_no_more(tmp_path, monkeypatch):
    slow = tmp_path / "git"
    slow.write_text("#!/bin/sh\nexec sleep 60\n")
    slow.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr(module, "_TIME_LIMIT_S", 0.2)
    assert code_version(tmp_path) == CodeVersion()


def test_a_study_keeps_it_and_tells_the_tracker_and_when_it_was_committed(repository, tmp_path):
    (repository / "mine" / "model.py").write_text("after\n")
    (repository / "mine" / "x.yaml").write_text("{model: linear, data: blobs, objective: val_loss}")
    experiment = Experiment.load(repository / "mine" / "x.yaml")
    folder = StudyFolder(tmp_path / "runs" / "x")
    folder.create()
    data = asdict(DataSummary("blobs", "0", "regression", {}, {}))
    facts = {"id": "0", "strategy": "random", "objectives": {}, "data": data, "versions": {}, "space": ""}

    def told():
        code = json.loads(json.dumps(asdict(opening._record_code(experiment, folder))))
        return opening.record_of(experiment, folder, facts | {"code": code})

    record = told()
    assert record.code == code_version(repository)
    assert record.code.dirty
    assert "-before\n+after\n" in record.diff
    assert folder.code_diff.read_text() == record.diff

    git(repository, "commit", "-am", "second")
    assert (told().code, told().diff) == (code_version(repository), "")
    assert not told().code.dirty

    folder.code_diff.unlink()
    assert (told().diff, folder.code_diff.exists()) == (None, False)  # clean from the beginning
    assert opening.record_of(experiment, folder, facts).code == CodeVersion()  # a study from before
