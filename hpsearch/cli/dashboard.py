"""Optuna Dashboard over a study's journal, in the foreground until Ctrl-C."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from hpsearch.cli.studies import open_study
from hpsearch.errors import UsageError, fault
from hpsearch.serving import free_port, stoppable

FIRST_PORT = 8080


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    def log_message(self, *_: object) -> None:
        """Writes no line for each request."""


def dashboard(
    name: str | None, workdir: Path | None, *, host: str, port: int | None, say: Callable[[str], None]
) -> None:
    """Serves the dashboard of a study, which may be searched meanwhile.

    Raises:
        StudyError: There is no such study.
        UsageError: Optuna Dashboard is not installed, or the port is taken.
    """
    where = "hpsearch dashboard"
    if find_spec("optuna_dashboard") is None:
        advice = "Run `pip install 'hpsearch[dashboard]'`."
        raise UsageError(fault(where, "the package `optuna-dashboard` is not installed", advice=advice))
    study = open_study(name, workdir)
    port = free_port(where, host, port, FIRST_PORT, say)
    from optuna_dashboard import wsgi

    pages = wsgi(study.optuna._storage)
    address = f"http://{host}:{port}/dashboard/studies/{study.optuna._study_id}"
    with stoppable(), make_server(host, port, pages, _Server, _Quiet) as server:
        say(f"Optuna Dashboard shows {study.name} at {address}. Ctrl-C ends it.")
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            say("Ended.")
