"""A SQLite store is initialised once and copied; the server is started once and shared."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.request import urlopen

import psutil
import pytest

from hpsearch.tracking.store import set_defaults

set_defaults()


@pytest.fixture
def uri(template, tmp_path):
    folder = tmp_path / "a place"
    folder.mkdir()
    shutil.copy(template, folder / "mlflow.db")
    return f"sqlite:///{folder}/mlflow.db"


class Server:
    """`hpsearch ui` over a store of its own, in another process; it can be killed and started again."""

    def __init__(self, database: Path) -> None:
        self.database = database
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.uri = f"http://127.0.0.1:{self.port}"
        self.output = database.parent / "ui.log"
        self.process = None

    def start(self) -> None:
        code = (
            "from hpsearch.tracking.ui import open_ui\n"
            f"open_ui('sqlite:///{self.database}', port={self.port}, say=lambda s: print(s, flush=True))"
        )
        with open(self.output, "a") as output:
            self.process = subprocess.Popen([sys.executable, "-c", code], stdout=output, stderr=output)
        for _ in range(600):
            assert self.process.poll() is None, self.output.read_text()
            try:
                with urlopen(f"{self.uri}/health", timeout=2) as answer:
                    assert answer.status == 200
                    return
            except OSError:
                time.sleep(0.1)
        raise AssertionError("the server did not start")

    def stop(self, number: int = signal.SIGINT) -> int:
        started = psutil.Process(self.process.pid).children(recursive=True)
        self.process.send_signal(number)
        code = self.process.wait(20)
        _, left = psutil.wait_procs(started, timeout=10)
        assert not left, "it left processes behind"
        return code

    def is_listening(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


@pytest.fixture(scope="session")
def server(template, tmp_path_factory):
    folder = tmp_path_factory.mktemp("server")
    shutil.copy(template, folder / "mlflow.db")
    server = Server(folder / "mlflow.db")
    server.start()
    yield server
    server.stop()


@pytest.fixture(autouse=True)
def _environment(monkeypatch):
    for name in [name for name in os.environ if name.startswith("MLFLOW_TRACKING")]:
        monkeypatch.delenv(name)
