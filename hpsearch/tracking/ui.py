"""MLflow's user interface over the records, in the foreground until Ctrl-C."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

from hpsearch.errors import TrackingError, fault
from hpsearch.serving import free_port, stoppable
from hpsearch.tracking.store import Store, resolve, set_defaults

FIRST_PORT = 5000
DEFAULT_URI = "sqlite:///mlflow.db"
_START_S = 90.0
_STOP_S = 5.0


def command(uri: str) -> str:
    """Returns the line to type to browse the records at `uri`; an address loses its password."""
    store = resolve(uri)
    if store.is_server:
        return f"open {store.shown}"
    program = _program()
    if program == "hpsearch" and store == resolve(DEFAULT_URI):
        return "hpsearch ui"
    return f"{program} ui --uri {shlex.quote(store.shown)}"


def _program() -> str:
    """Returns `hpsearch`, or its whole path if the shell would not find this one."""
    script = Path(sys.executable).with_name("hpsearch")
    found = shutil.which("hpsearch")
    if found is not None and Path(found).resolve() == script.resolve():
        return "hpsearch"
    return shlex.quote(str(script)) if script.exists() else f"{shlex.quote(sys.executable)} -m hpsearch"


def open_ui(
    uri: str, *, host: str = "127.0.0.1", port: int | None = None, say: Callable[[str], None] = print
) -> None:
    """Runs MLflow's interface until Ctrl-C, then leaves no process behind.

    Args:
        uri: Of the records. For an `http` address nothing is started: the server has the interface.
        host: Address to listen on. The default is this machine only; the interface asks for no password.
        port: Default: the first free one from 5000.
        say: Receives a line to show.

    Raises:
        TrackingError: There are no records, or the interface does not start.
        UsageError: The port is taken.
    """
    store = resolve(uri)
    if store.is_server:
        say(f"The records are on a server that has the interface: {store.shown}")
        return
    if store.database is not None and not store.database.exists():
        raise TrackingError(
            fault(
                "hpsearch ui",
                f"there are no records at {store.database}",
                advice="Run a search first, go to its folder, or name the store with `--uri`.",
            )
        )
    port = free_port("hpsearch ui", host, port, FIRST_PORT, say)
    url = f"http://{host}:{port}"
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as log, stoppable():
        process = _start(store, host, port, log)
        try:
            _wait_until_ready(process, url, log)
            say(f"MLflow shows {store.shown} at {url}: choose `Model training` there. Ctrl-C ends it.")
            if process.wait() != 0:
                raise _died(log)
        except KeyboardInterrupt:
            say("Ended.")
        finally:
            _stop(process)


def _start(store: Store, host: str, port: int, log: IO[str]) -> subprocess.Popen[bytes]:
    set_defaults()
    environment = {
        **os.environ,
        "MLFLOW_BACKEND_STORE_URI": store.uri,  # not an argument: it may hold a password
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # seven processes that nothing here needs
    }
    mlflow = [sys.executable, "-m", "hpsearch.tracking.serve", "server"]
    return subprocess.Popen(
        [*mlflow, "--host", host, "--port", str(port), "--workers", "1"],
        env=environment,
        cwd=None if store.database is None else store.database.parent,
        stdin=subprocess.PIPE,  # closed when this process ends, however it does: then the server ends too
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,  # so that the server and its workers can be ended together
    )


def _wait_until_ready(process: subprocess.Popen[bytes], url: str, log: IO[str]) -> None:
    direct = build_opener(ProxyHandler({}))
    deadline_s = time.monotonic() + _START_S
    while time.monotonic() < deadline_s:
        if process.poll() is not None:
            raise _died(log)
        try:
            with direct.open(f"{url}/health", timeout=2) as answer:
                if answer.status == 200:
                    return
        except (URLError, OSError):
            time.sleep(0.2)
    raise _died(log)


def _died(log: IO[str]) -> TrackingError:
    log.seek(0)
    lines = [line.strip() for line in log.readlines() if line.strip()]
    return TrackingError(
        fault(
            "hpsearch ui",
            "MLflow's interface did not start or stopped",
            received=lines[-1] if lines else "no output",
            advice="`mlflow server` shows the whole output.",
        )
    )


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Ends the server and all it started."""
    for number, patience_s in ((signal.SIGTERM, _STOP_S), (signal.SIGKILL, _STOP_S)):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            break
        deadline_s = time.monotonic() + patience_s
        while time.monotonic() < deadline_s and _alive(process):
            time.sleep(0.05)
    process.communicate()  # waits, and closes its standard input


def _alive(process: subprocess.Popen[bytes]) -> bool:
    """Whether anything of the server's process group is left."""
    process.poll()
    try:
        os.killpg(process.pid, 0)
    except ProcessLookupError:
        return False
    return True
