"""The code that produced a study: the git commit of the user's folder, and what differed from it.

Only what git tracks is read, so that no file of secrets beside the code gets into the records. Where there is
no git, no repository or no answer in time, nothing is known, which is no error.
"""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

MOST_BYTES = 2**20
"""Of a diff; the rest is cut off."""
_TIME_LIMIT_S = 5.0


@dataclass(frozen=True)
class CodeVersion:
    """What git says of a folder; empty where it says nothing."""

    commit: str | None = None
    branch: str | None = None
    """None if no branch is checked out."""
    repository: str | None = None
    """Address of the remote `origin`."""
    dirty: bool | None = None
    """Whether anything tracked in the repository differs from the commit."""

    def __str__(self) -> str:
        changes = ", with uncommitted changes" if self.dirty else ""
        return f"{self.commit or 'unknown'}{changes}"

    @property
    def tags(self) -> Mapping[str, str | None]:
        """MLflow's tags, those that are unknown with None."""
        return {
            "mlflow.source.git.commit": self.commit,
            "mlflow.source.git.branch": self.branch,
            "mlflow.source.git.repoURL": self.repository,
            "mlflow.source.git.dirty": None if self.dirty is None else str(self.dirty).lower(),
        }


def code_version(folder: Path) -> CodeVersion:
    """Asks git what is checked out in a folder."""
    status = _git(folder, "status", "--porcelain=v2", "--branch", "--no-ahead-behind", "--untracked-files=no")
    lines = (status or b"").decode(errors="replace").splitlines()
    heads = dict(line.split(" ", 2)[1:] for line in lines if line.startswith("# branch."))
    commit = heads.get("branch.oid")
    if commit is None or commit == "(initial)":
        return CodeVersion()
    branch = heads.get("branch.head")
    remote = (_git(folder, "remote", "get-url", "origin") or b"").decode(errors="replace").strip()
    return CodeVersion(
        commit=commit,
        branch=None if branch == "(detached)" else branch,
        repository=remote or None,
        dirty=any(not line.startswith("#") for line in lines),
    )


def uncommitted(folder: Path) -> str:
    """Returns the diff of a folder's tracked files to the commit; empty if there is none."""
    diff = _git(folder, "diff", "--no-color", "--no-ext-diff", "--no-textconv", "HEAD", "--", ".") or b""
    if len(diff) < MOST_BYTES:
        return diff.decode(errors="replace")
    whole_lines = diff[: diff.rfind(b"\n") + 1].decode(errors="replace")
    return f"{whole_lines}... cut off here: longer than {MOST_BYTES // 2**20} MiB\n"


def _git(folder: Path, *arguments: str) -> bytes | None:
    """Returns what a git command prints, at most `MOST_BYTES` of it; None if it fails or takes too long."""
    command = ["git", "--no-optional-locks", "-C", str(folder), *arguments]
    null = subprocess.DEVNULL
    try:
        with subprocess.Popen(command, stdin=null, stdout=subprocess.PIPE, stderr=null) as git:
            limit = threading.Timer(_TIME_LIMIT_S, git.kill)
            limit.start()
            try:
                said = git.stdout.read(MOST_BYTES) if git.stdout else b""
                full = len(said) == MOST_BYTES
                if full:
                    git.kill()
                failed = git.wait() != 0
            finally:
                limit.cancel()
    except OSError:
        return None
    return None if failed and not full else said
