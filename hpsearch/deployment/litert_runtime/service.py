"""A model over HTTP: the addresses of MLflow's scoring server, an interpreter a thread, clear refusals.

POST /invocations    predictions; the body's forms are in payload.py
GET  /ping, /health  200 while the model answers
GET  /metadata       what the model takes and gives, what it scores
GET  /docs           a page to try it, which needs no internet; /openapi.json for programs
"""

from __future__ import annotations

import argparse
import asyncio
import ipaddress
import json
import logging
import os
import signal
import socket
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from . import payload
from .inputs import InputError
from .model import Model
from .script import signature

HOST, PORT = "127.0.0.1", 8000
MAX_BODY_MIB = 16
MIB = 2**20
_PAGE = Path(__file__).with_name("docs.html")
_READERS = {"application/json": payload.from_json, "text/csv": payload.from_csv}
_CODES = {400: "BAD_REQUEST", 404: "RESOURCE_DOES_NOT_EXIST", 405: "METHOD_NOT_ALLOWED"}
_CODES |= {413: "REQUEST_TOO_LARGE", 415: "UNSUPPORTED_MEDIA_TYPE", 500: "INTERNAL_ERROR"}
_log = logging.getLogger("uvicorn.error")


def create_app(model: Model, *, max_body_mib: float = MAX_BODY_MIB, workers: int | None = None) -> FastAPI:
    """Returns the service.

    Args:
        model: What predicts.
        max_body_mib: A larger body is refused.
        workers: How many requests are computed at once, each in an interpreter of its own. Default: one a
            core.
    """
    app = FastAPI(title=model.description["name"], docs_url=None, redoc_url=None)
    pool = ThreadPoolExecutor(workers or os.cpu_count() or 1, thread_name_prefix="interpreter")
    most = int(max_body_mib * MIB)

    @app.exception_handler(HTTPException)
    async def refuse(_: Request, error: HTTPException) -> Response:
        return _refusal(error.status_code, str(error.detail), dict(error.headers or {}))

    @app.exception_handler(Exception)
    async def fail(_: Request, __: Exception) -> Response:
        return _refusal(500, "The service failed; its log says why.")

    @app.post("/invocations", openapi_extra=_request_body(), response_class=Response)
    async def invocations(request: Request) -> Response:
        """Predict rows: JSON in one of the forms `inputs`, `instances`, `dataframe_...`, or CSV."""
        kind = _content_type(request)
        try:
            body = await _body(request, most)
        except ClientDisconnect:
            return Response(status_code=400)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(pool, _answer, model, kind, body)

    @app.get("/ping")
    @app.get("/health")
    async def health() -> dict[str, str]:
        """Answer while the service is up."""
        return {"status": "ok"}

    @app.get("/metadata")
    async def metadata() -> dict[str, Any]:
        """Tell what the model takes and gives, and what it scores."""
        described = model.description
        kept = ("name", "study", "trial", "format", "sha256", "size_bytes", "scores", "versions")
        return {key: described[key] for key in kept if key in described} | signature(described)

    @app.get("/", include_in_schema=False)
    async def root() -> Response:
        return RedirectResponse("/docs")

    @app.get("/docs", include_in_schema=False)
    async def docs() -> Response:
        return HTMLResponse(_PAGE.read_text(encoding="utf-8"))

    return app


def listen(host: str, port: int) -> socket.socket:
    """Returns a socket that listens.

    Raises:
        OSError: The address cannot be used.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family)


def run(app: FastAPI, listening: socket.socket) -> None:
    """Serves until Ctrl-C or SIGTERM; requests that are being answered get their answer first."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    config = uvicorn.Config(
        app, log_level="warning", access_log=False, lifespan="off", timeout_graceful_shutdown=5
    )
    try:
        uvicorn.Server(config).run(sockets=[listening])
    except KeyboardInterrupt:
        return
    finally:
        listening.close()


def exposure(host: str, port: int) -> str | None:
    """Returns what it means to listen on an address that others reach; None of this machine's own."""
    try:
        loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if loopback:
        return None
    return (
        f"Warning: {host}:{port} can be reached from other machines. The service asks nobody for a password "
        "and does not encrypt: whoever reaches the port can use the model and read what is sent to it. Put a "
        "proxy that does both in front of it, or a firewall."
    )


def url_of(host: str, port: int) -> str:
    """Returns the address to type into a browser."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def main(folder: str | Path, arguments: Sequence[str] | None = None) -> int:
    """Serves a packaged folder; returns the exit code."""
    parser = argparse.ArgumentParser(description="Serve the model over HTTP.")
    parser.add_argument("--host", default=HOST, help="address to listen on (default: %(default)s)")
    default = os.environ.get("PORT", str(PORT))
    parser.add_argument("--port", type=int, default=default, help="default: the variable PORT, or 8000")
    parser.add_argument("--workers", type=int, help="requests computed at once (default: one a core)")
    parser.add_argument("--max-body-mib", type=float, default=MAX_BODY_MIB, help="default: %(default)s")
    options = parser.parse_args(arguments)
    try:
        model = Model.load(folder)
        listening = listen(options.host, options.port)
    except (OSError, OverflowError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    if (warning := exposure(options.host, options.port)) is not None:
        print(warning, file=sys.stderr, flush=True)
    print(f"{model.description['name']} at {url_of(options.host, options.port)}", flush=True)
    run(create_app(model, max_body_mib=options.max_body_mib, workers=options.workers), listening)
    return 0


def _answer(model: Model, kind: str, body: bytes) -> Response:
    try:
        outputs = model.predict(_READERS[kind](body, model.description))
    except InputError as error:
        return _refusal(400, str(error))
    except Exception:
        _log.exception("a request failed")
        return _refusal(500, "The service failed; its log says why.")
    lists = {name: array.tolist() for name, array in outputs.items()}
    classes = model.classes(outputs)
    document: dict[str, Any] = {"predictions": _only(lists)}
    if classes:
        document["classes"] = _only(classes) if len(lists) == 1 else classes
    return Response(json.dumps(document), media_type="application/json")


def _only(values: dict[str, Any]) -> Any:
    """Returns a single output's values without its name, as MLflow does."""
    return next(iter(values.values())) if len(values) == 1 else values


def _content_type(request: Request) -> str:
    given = request.headers.get("content-type", "")
    kind, *parameters = (part.strip().lower() for part in given.split(";"))
    wrong = [each for each in parameters if each and each not in ("charset=utf-8", 'charset="utf-8"')]
    if kind not in _READERS or wrong:
        expected = " or ".join(_READERS)
        raise HTTPException(
            415,
            f"Content-Type: unknown kind of body; expected {expected}, in UTF-8; received {given or 'none'}.",
        )
    return kind


async def _body(request: Request, most: int) -> bytes:
    """Reads the body; of one that is too large a little more, so that the client hears the answer."""
    parts, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size <= most:
            parts.append(chunk)
        elif size > 4 * most:
            break
    if size > most:
        raise HTTPException(
            413, f"the body: too large; expected at most {most / MIB:g} MiB. Send fewer rows."
        )
    return b"".join(parts)


def _refusal(status: int, message: str, headers: dict[str, str] | None = None) -> Response:
    code = _CODES.get(status, "BAD_REQUEST")
    return JSONResponse({"error_code": code, "message": message}, status_code=status, headers=headers)


def _request_body() -> dict[str, Any]:
    """Describes the body for OpenAPI."""
    forms = {form: {"description": "See `/metadata` for names and shapes."} for form in payload.FORMS}
    one_of = [{"type": "object", "properties": {form: forms[form]}, "required": [form]} for form in forms]
    content = {
        "application/json": {"schema": {"oneOf": one_of}},
        "text/csv": {"schema": {"type": "string", "description": "A header and rows."}},
    }
    return {"requestBody": {"required": True, "content": content}}
