"""What several folders of tests need."""

import os
import subprocess

import pytest

from hpsearch.tracking.store import connect, resolve


class SmallDisk:
    """A file system of its own, of four MiB, that can be filled and freed."""

    def __init__(self, path):
        self.path = path
        self._filling = path / "filling"

    def fill(self):
        """Takes all room, so that not one byte more can be written."""
        with open(self._filling, "ab", buffering=0) as file:
            for size in (65536, 4096, 1):
                try:
                    while True:
                        file.write(b"\0" * size)
                except OSError:
                    continue

    def free(self):
        self._filling.unlink()


@pytest.fixture(scope="session")
def template(tmp_path_factory):
    """A SQLite store that is initialised, to be copied: to make one takes seconds."""
    path = tmp_path_factory.mktemp("template") / "mlflow.db"
    connect(resolve(f"sqlite:///{path}"))
    return path


@pytest.fixture
def small_disk(tmp_path):
    path = tmp_path / "disk"
    path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(path)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("needs to mount a small file system")
    try:
        yield SmallDisk(path)
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True)
