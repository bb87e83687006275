"""`hpsearch serve`: a model over HTTP, from this machine."""

from __future__ import annotations

import sys
from pathlib import Path

from hpsearch.errors import UsageError, fault


def serve(
    target: str | None,
    workdir: Path | None,
    *,
    trial: int | None,
    fmt: str | None,
    uri: str | None,
    host: str,
    port: int,
    max_body_mib: float,
) -> None:
    """Serves a model until Ctrl-C.

    Raises:
        UsageError: There is no such model, FastAPI is not installed, or the address cannot be used.
        ExportError: The file is not the one that was verified.
    """
    try:
        from hpsearch.deployment.litert_runtime import service
    except ModuleNotFoundError as failure:
        if failure.name not in ("fastapi", "uvicorn", "starlette"):
            raise
        advice = "Install it: `pip install 'hpsearch[serve]'`."
        raise UsageError(fault("hpsearch serve", f"needs {failure.name}", advice=advice)) from None
    from hpsearch.deployment.targets import open_model
    from hpsearch.tracking.ui import DEFAULT_URI

    model = open_model(target, workdir=workdir, trial=trial, fmt=fmt, uri=uri or DEFAULT_URI)
    try:
        listening = service.listen(host, port)
    except (OSError, OverflowError) as failure:
        what = f"port {port} of {host} cannot be used"
        received = getattr(failure, "strerror", None) or str(failure)
        advice = "Name another with `--port`."
        raise UsageError(fault("hpsearch serve", what, received=received, advice=advice)) from failure
    if (warning := service.exposure(host, port)) is not None:
        print(warning, file=sys.stderr, flush=True)
    described = model.description
    print(
        f"{described['name']} ({described['format']}) at {service.url_of(host, port)}/invocations; to try it:"
    )
    print(f"{service.url_of(host, port)}/docs; Ctrl-C ends it.", flush=True)
    service.run(service.create_app(model, max_body_mib=max_body_mib), listening)
    print("Ended.")
