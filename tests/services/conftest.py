"""Real services, each started once for all tests: PostgreSQL, S3, MLflow's server, a browser. Loopback only.

What is not installed is skipped; `scripts/services` installs it.
"""

import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from urllib.request import ProxyHandler, build_opener

import pytest

from hpsearch.listener import Listener
from hpsearch.tracking.store import set_defaults

set_defaults()
HOW = "`HPSEARCH_TEST_SERVICES=1 scripts/test` installs it"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(autouse=True)
def _environment(monkeypatch):
    for name in [name for name in os.environ if name.startswith("MLFLOW_TRACKING")]:
        monkeypatch.delenv(name)


class Postgres:
    """A PostgreSQL of its own: a folder, a port, a password. It refuses to run as root."""

    def __init__(self, programs: Path) -> None:
        self._programs = programs
        # Not in pytest's folder, which the user `postgres` may not enter.
        self._folder = Path(tempfile.mkdtemp(prefix="hpsearch-postgres-"))
        self._port = free_port()
        self._as_user = []
        if os.geteuid() == 0:
            user = pwd.getpwnam("postgres")
            os.chown(self._folder, user.pw_uid, user.pw_gid)
            self._as_user = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
        self.password = secrets.token_hex(8)
        self.uri = f"postgresql://records:{self.password}@127.0.0.1:{self._port}/postgres"

    def create(self) -> None:
        secret = self._folder / "password"
        secret.write_text(self.password)
        secret.chmod(0o644)
        login = ["--username=records", f"--pwfile={secret}", "--auth=scram-sha-256"]
        self._run("initdb", f"--pgdata={self._folder / 'data'}", "--no-sync", "--encoding=UTF8", *login)

    def start(self) -> None:
        options = f"-c listen_addresses=127.0.0.1 -c port={self._port} -c unix_socket_directories="
        self._control("start", f"--log={self._folder / 'data' / 'log'}", f"--options={options}")

    def stop(self) -> None:
        """Ends it as a crash would."""
        self._control("stop", "--mode=immediate")

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self._folder)

    def _control(self, *arguments: str) -> None:
        self._run("pg_ctl", f"--pgdata={self._folder / 'data'}", "--wait", "--timeout=60", *arguments)

    def _run(self, program: str, *arguments: str) -> None:
        command = [*self._as_user, str(self._programs / program), *arguments]
        with tempfile.TemporaryFile("w+") as said:  # no pipe: the server would hold it
            done = subprocess.run(command, stdout=said, stderr=said, cwd=self._folder, check=False)
            said.seek(0)
            assert done.returncode == 0, said.read()


@pytest.fixture(scope="session")
def postgres():
    pytest.importorskip("psycopg", reason=f"psycopg is not installed; {HOW}")
    programs = [
        *sorted(Path("/usr/lib/postgresql").glob("*/bin")),
        Path(shutil.which("initdb") or "/").parent,
    ]
    programs = [folder for folder in programs if (folder / "initdb").exists()]
    if not programs:
        pytest.skip(f"PostgreSQL is not installed; {HOW}")
    service = Postgres(programs[0])
    service.create()
    service.start()
    yield service
    service.remove()


class S3:
    """moto's S3 in a thread of this process: what it holds outlives an outage. One bucket, `records`."""

    def __init__(self) -> None:
        from moto.server import ThreadedMotoServer

        self._make = lambda: ThreadedMotoServer("127.0.0.1", port, verbose=False)
        port = free_port()
        self.key = secrets.token_hex(20)
        self.environment = {
            "MLFLOW_S3_ENDPOINT_URL": f"http://127.0.0.1:{port}",
            "AWS_ACCESS_KEY_ID": f"AKIA{secrets.token_hex(8).upper()}",
            "AWS_SECRET_ACCESS_KEY": self.key,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_MAX_ATTEMPTS": "1",  # boto's own patience is not what is tried here
        }

    def start(self) -> None:
        self._server = self._make()
        self._server.start()

    def stop(self) -> None:
        self._server.stop()

    def create(self) -> None:
        import boto3

        self._client = boto3.client(
            "s3",
            endpoint_url=self.environment["MLFLOW_S3_ENDPOINT_URL"],
            aws_access_key_id=self.environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self.key,
            region_name="us-east-1",
        )
        self._client.create_bucket(Bucket="records")

    def keys(self, prefix: str) -> set[str]:
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket="records", Prefix=prefix)
        return {each["Key"].removeprefix(prefix) for page in pages for each in page.get("Contents", ())}

    def content(self, key: str) -> bytes:
        return self._client.get_object(Bucket="records", Key=key)["Body"].read()


@pytest.fixture(scope="session")
def s3():
    for package in ("moto", "boto3"):
        pytest.importorskip(package, reason=f"{package} is not installed; {HOW}")
    service = S3()
    service.start()
    service.create()
    yield service
    service.stop()


class Outage(Listener):
    """Takes a service away when a trial has ended, and brings it back some seconds later."""

    def __init__(self, service, number: int, seconds: float) -> None:
        self._service, self._number = service, number
        self._back = threading.Timer(seconds, service.start)
        self.trials_during = 0

    def on_trial_finished(self, trial, best):
        if trial.number == self._number:
            self._service.stop()
            self._back.start()
        elif self._back.is_alive():
            self.trials_during += 1

    def wait(self) -> None:
        self._back.join(60)


AUTHENTICATION = """
[mlflow]
default_permission = READ
database_uri = sqlite:///basic_auth.db
admin_username = admin
authorization_function = mlflow.server.auth:authenticate_request_basic_auth
grant_default_workspace_access = false
auth_cache_ttl_seconds = 60
"""


def with_password(folder: Path, password: str) -> dict[str, str]:
    """Returns what has a server with `--app-name=basic-auth` know its administrator."""
    (folder / "auth.ini").write_text(AUTHENTICATION)
    return {
        "MLFLOW_AUTH_CONFIG_PATH": str(folder / "auth.ini"),
        "MLFLOW_AUTH_ADMIN_PASSWORD": password,
        "MLFLOW_FLASK_SERVER_SECRET_KEY": secrets.token_hex(12),
    }


class MlflowServer:
    """`mlflow server` as an administrator runs it; it can be stopped and started again."""

    def __init__(self, folder: Path, store: str, *arguments: str, **environment: str) -> None:
        port = free_port()
        self.uri = f"http://127.0.0.1:{port}"
        self._output = folder / "server.log"
        self._folder = folder
        self._environment = {
            **os.environ,
            "MLFLOW_BACKEND_STORE_URI": store,
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            **environment,
        }
        program = [sys.executable, "-m", "hpsearch.tracking.serve", "server"]  # ends with this process
        place = ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
        self._command = [*program, *place, "--artifacts-destination", str(folder / "artifacts"), *arguments]

    def start(self) -> None:
        self.launch()
        self.wait()

    def launch(self) -> None:
        with open(self._output, "a") as output:
            self._process = subprocess.Popen(
                self._command,
                env=self._environment,
                cwd=self._folder,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def wait(self) -> None:
        direct = build_opener(ProxyHandler({}))
        for _ in range(900):
            assert self._process.poll() is None, self._output.read_text()
            try:
                with direct.open(f"{self.uri}/health", timeout=2):
                    return
            except OSError:
                time.sleep(0.1)
        raise AssertionError("the server did not start")

    def stop(self) -> None:
        os.killpg(self._process.pid, signal.SIGTERM)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.communicate()


@pytest.fixture(scope="session")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason=f"playwright is not installed; {HOW}")
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        pytest.skip(f"Chromium is not installed; {HOW}")
    options = ["--no-sandbox", "--disable-background-networking", "--disable-dev-shm-usage"]
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=program, args=options)
        yield browser
        browser.close()
