from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from hpsearch.files import remove, size_of, whole, whole_folder, write_bytes, write_text


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


def test_a_folder_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    target = tmp_path / "models" / "saved"
    for content in ("old", "newer"):
        with whole_folder(target) as path:
            (path / "deep").mkdir(parents=True)
            (path / "deep" / content).write_text(content)
    assert [file.name for file in target.rglob("*")] == ["deep", "newer"]
    assert size_of(target) == size_of(target / "deep" / "newer") == 5
    assert list(target.parent.iterdir()) == [target]


def test_a_folder_that_fails_leaves_the_old_one(tmp_path: Path) -> None:
    target = tmp_path / "saved"
    target.mkdir()
    (target / "old").write_text("old")

    def fail() -> None:
        with whole_folder(target) as path:
            path.mkdir()
            (path / "new").write_text("new")
            raise RuntimeError("the disk is gone")

    with pytest.raises(RuntimeError, match="the disk is gone"):
        fail()
    assert [file.name for file in target.iterdir()] == ["old"]
    assert list(tmp_path.iterdir()) == [target]


def test_files_folders_and_nothing_are_removed(tmp_path: Path) -> None:
    (tmp_path / "folder" / "deep").mkdir(parents=True)
    (tmp_path / "file").write_text("x")
    for name in ("folder", "file", "nothing"):
        remove(tmp_path / name)
    assert list(tmp_path.iterdir()) == []
