"""Opening the place where records go: its address, its first initialisation, and its errors in plain words.

Addresses may hold passwords. Nothing here or elsewhere in this package logs or stores an address that has
not gone through `masked`.
"""

from __future__ import annotations

import fcntl
import logging
import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from hpsearch.errors import TrackingError, fault
from hpsearch.tracking.s3 import SECRETS, is_of_s3

if TYPE_CHECKING:
    from mlflow import MlflowClient

_DATABASE_PORTS = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}
_WHERE = "tracking.uri"


@dataclass(frozen=True)
class Store:
    """A tracking store's address."""

    uri: str
    """As MLflow takes it; a SQLite path is absolute."""
    database: Path | None = None
    """The SQLite file, absolute."""

    @property
    def shown(self) -> str:
        """The address without its secrets, for messages and records."""
        return masked(self.uri)

    @property
    def artifact_root(self) -> Path | None:
        """Where runs of a SQLite store keep their files: `mlruns/` beside it, as MLflow has it."""
        return None if self.database is None else self.database.parent / "mlruns"

    @property
    def is_server(self) -> bool:
        """Whether it is reached by HTTP."""
        return self.uri.startswith(("http://", "https://"))


def resolve(uri: str) -> Store:
    """Checks a tracking address and makes it independent of the current folder. Reaches out to nothing.

    Raises:
        TrackingError: No records can be kept there.
    """
    scheme = uri.split(":", 1)[0].split("+")[0].lower() if ":" in uri else ""
    if scheme in ("", "file") and uri != "databricks":
        raise TrackingError(
            fault(
                _WHERE,
                "MLflow no longer writes to plain folders",
                expected="e.g. sqlite:///mlflow.db or http://host:5000",
                received=masked(uri) or "nothing",
                advice="For a local file write `sqlite:///` before its path.",
            )
        )
    if scheme != "sqlite":
        return Store(uri)
    path, _, query = uri.partition("://")[2].partition("?")
    name = path[1:] if path.startswith("/") else ""
    if not name or name.startswith(":memory:"):
        raise TrackingError(
            fault(
                _WHERE,
                "names no SQLite file",
                expected="sqlite:///relative/path.db or sqlite:////absolute/path.db",
                received=masked(uri),
            )
        )
    database = Path(os.path.abspath(name))
    return Store(f"sqlite:///{database}" + (f"?{query}" if query else ""), database)


def masked(text: str) -> str:
    """Replaces passwords and tokens in an address, or in any text that quotes one, by `***`."""
    text = re.sub(r"(?<=://)[^/\s@]*@", "***@", text)
    text = re.sub(r"(?i)\b(password|passwd|pwd|token|secret|api_?key)=[^&\s'\"]+", r"\1=***", text)
    for name in ("MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN", *SECRETS):
        secret = os.environ.get(name)
        if secret and len(secret) > 3:
            text = text.replace(secret, "***")
    return text


def set_defaults() -> None:
    """Sets how MLflow behaves in this process, where the user has not: before its first import."""
    for name, value in {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "GIT_PYTHON_REFRESH": "quiet",  # GitPython otherwise complains where there is no git
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # would be printed into the live view
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",  # the sender retries; MLflow's 7 block it for minutes
        "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    }.items():
        os.environ.setdefault(name, value)


def connect(store: Store) -> MlflowClient:
    """Opens the store and makes sure that it answers, within a few seconds.

    A new SQLite store is initialised by one process at a time: MLflow's own initialisation crashes when
    several do it at once.

    Raises:
        TrackingError: It cannot be reached, read or written.
    """
    set_defaults()
    if store.database is not None:
        _check_file(store, store.database)
    _check_login(store)
    try:
        from mlflow import MlflowClient

        with _impatient(), _quiet():
            if store.database is not None and store.artifact_root is not None:
                from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

                with _alone(store.database.parent):
                    SqlAlchemyStore(store.uri, str(store.artifact_root))
            client = MlflowClient(store.uri)
            client.search_experiments(max_results=1)
            return client
    except Exception as error:
        raise explained(error, store) from None


def explained(error: Exception, store: Store) -> TrackingError:
    """Says in plain words why a store does not work."""
    cause = one_line(error)
    status = getattr(error, "get_http_status_code", lambda: 500)()
    advice = "Start the server, or name another store with `--set tracking.uri=sqlite:///mlflow.db`."
    if isinstance(error, ModuleNotFoundError):
        problem, advice = "needs a package that is not installed", f"Try `pip install {error.name}`."
    elif is_of_s3(error):
        problem = "keeps artifacts in S3, which does not take them"
        advice = "Check the bucket, MLFLOW_S3_ENDPOINT_URL and this process's AWS credentials."
    elif "out-of-date database schema" in cause:
        problem = "was made by another version of MLflow"
        advice = f"Make a backup, then run `mlflow db upgrade {store.shown}`."
    elif status in (401, 403):
        problem = "refuses these credentials"
        advice = "Set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN."
    elif "authentication failed" in cause or "Access denied" in cause:
        problem, advice = "refuses these credentials", "Check the user and the password in the address."
    elif store.is_server and (status == 404 or "not in a valid JSON format" in cause):
        problem, advice = "is no MLflow server", "Check the host, the port and the path."
    elif "unsupported URI" in cause or "Could not find a registered" in cause:
        problem = "is an address that MLflow does not know"
        advice = "Use sqlite:///, postgresql://, mysql://, http:// or https://."
    else:
        problem = "cannot be reached" if store.database is None else "cannot be opened"
    return TrackingError(fault(_WHERE, f"{store.shown} {problem}", received=cause, advice=advice))


def one_line(error: Exception) -> str:
    """Returns an exception as one line without secrets."""
    text = masked(" ".join(str(error).split()))
    root = re.search(r"(Connection refused|Name or service not known|timed out|No route to host)", text)
    if root and type(error).__name__ in ("MlflowException", "RestException"):
        return root.group(1)
    return f"{type(error).__name__}: {text[:300]}"


def _check_file(store: Store, database: Path) -> None:
    problem = None
    try:
        database.parent.mkdir(parents=True, exist_ok=True)
        with open(database, "ab+") as file:  # an empty file is a valid database
            file.seek(0)
            if file.read(16) not in (b"", b"SQLite format 3\0"):
                problem = "is not a SQLite database"
    except OSError as error:
        problem = f"cannot be written: {error.strerror}"
    if problem:
        raise TrackingError(
            fault(
                _WHERE,
                f"{database} {problem}",
                expected="a SQLite file that exists or can be made",
                received=store.shown,
                advice="Name another with `--set tracking.uri=sqlite:///path/mlflow.db`.",
            )
        )


def _check_login(store: Store) -> None:
    """Knocks at a database's door first: MLflow would retry for a minute and a half."""
    parts = urlsplit(store.uri)
    default = _DATABASE_PORTS.get(parts.scheme.split("+")[0])
    if default is None or parts.hostname is None:
        return
    try:
        socket.create_connection((parts.hostname, parts.port or default), timeout=3).close()
        import sqlalchemy

        sqlalchemy.create_engine(store.uri, poolclass=sqlalchemy.NullPool).connect().close()
    except Exception as error:
        raise explained(error, store) from None


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Holds a lock on a folder that the kernel gives back in any case, and that leaves no file."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def _impatient() -> Iterator[None]:
    """Lets MLflow's requests fail after seconds instead of minutes."""
    wanted = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "MLFLOW_HTTP_REQUEST_TIMEOUT": "5"}
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def _quiet() -> Iterator[None]:
    """Hides the notes that MLflow and Alembic write about tables they create."""
    loggers = [logging.getLogger(name) for name in ("mlflow", "alembic")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
