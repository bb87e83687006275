from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from hpsearch.files import whole, write_bytes, write_text


def test_the_file_appears_only_when_the_block_ends(tmp_path: Path) -> None:
    target = tmp_path / "new" / "model.weights.h5"
    with whole(target) as path:
        path.write_bytes(b"half")
        assert path.parent == target.parent
        assert path.name.endswith(".weights.h5")
        assert not target.exists()
        path.write_bytes(b"whole")
    assert target.read_bytes() == b"whole"
    assert [file.name for file in target.parent.iterdir()] == ["model.weights.h5"]


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "params.json"
    write_text(target, "old: ä")

    def fail() -> None:
        with whole(target) as path:
            path.write_text("new")
            raise RuntimeError("the disk is gone")

    with pytest.raises(RuntimeError, match="the disk is gone"):
        fail()
    assert target.read_text(encoding="utf-8") == "old: ä"
    assert list(tmp_path.iterdir()) == [target]


def test_a_killed_writer_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "result.json"
    write_bytes(target, b"old")
    code = (
        "import os, signal, sys; from hpsearch.files import whole\n"
        "with whole(sys.argv[1]) as path:\n"
        "    path.write_bytes(b'new'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(target)], check=False).returncode == -9
    assert target.read_bytes() == b"old"


def test_a_block_that_writes_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), whole(tmp_path / "x.png"):
        pass
    assert list(tmp_path.iterdir()) == []
