"""The commands of deployment, with their options: export, package, serve."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hpsearch.cli.arguments import Json, Name, Workdir


def export(
    study: Name = None,
    trial: Annotated[
        int | None, typer.Option(min=0, help="Its number. Default: the champion.", show_default=False)
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="The file to write; of several formats the folder. Default: in the study's folder.",
        ),
    ] = None,
    fmt: Annotated[
        list[str] | None,
        typer.Option(
            "--format",
            metavar="NAMES",
            help="Of .tflite files float32, float16, dynamic_range, int8, int16x8; onnx; saved_model; keras "
            "or h5 (the Keras model); architecture; weights. Default: float32. Several with commas.",
        ),
    ] = None,
    integer_io: Annotated[
        bool | None,
        typer.Option(
            "--integer-io/--float-io",
            help="Whether int8 and int16x8 files take and return integers. Default: what the file says.",
        ),
    ] = None,
    workdir: Workdir = None,
    json: Json = False,
) -> int:
    """Export a model to files, which are loaded, run and compared with Keras first."""
    from hpsearch.cli import export as command

    return command.export(
        study,
        workdir,
        trial=trial,
        wanted=fmt or ["float32"],
        output=output,
        integer_io=integer_io,
        as_json=json,
    )


def package(
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="The folder to write, new or empty.")
    ],
    study: Name = None,
    trial: Annotated[
        int | None, typer.Option(min=0, help="Its number. Default: the champion.", show_default=False)
    ] = None,
    fmt: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="NAME",
            help="float32, float16, dynamic_range, int8 or int16x8. Default: what the search exported first.",
        ),
    ] = None,
    c_array: Annotated[
        bool, typer.Option("--c-array", help="Write the file as an array of C, too, for microcontrollers.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Write over an earlier package.")] = False,
    workdir: Workdir = None,
    json: Json = False,
) -> None:
    """Write a folder ready to deploy: the verified model, what runs and serves it, and how good it is."""
    from hpsearch.cli import package as command

    command.package(
        study,
        workdir,
        output,
        trial=trial,
        fmt=fmt,
        with_c_array=c_array,
        force=force,
        as_json=json,
    )


def serve(
    target: Annotated[
        str | None,
        typer.Argument(
            metavar="[MODEL]",
            help="A packaged folder, a .tflite file, models:/NAME@champion, or a study. "
            "Default: the champion of the study that changed last.",
            show_default=False,
        ),
    ] = None,
    host: Annotated[
        str, typer.Option(help="Address to listen on; the service asks for no password.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 8000,
    trial: Annotated[
        int | None,
        typer.Option(min=0, help="Number, of a study. Default: the champion.", show_default=False),
    ] = None,
    fmt: Annotated[
        str | None,
        typer.Option("--format", metavar="NAME", help="Of a study or a registered model: float32, int8, ..."),
    ] = None,
    uri: Annotated[
        str | None, typer.Option(help="Of registered models. Default: sqlite:///mlflow.db.")
    ] = None,
    max_body_mib: Annotated[float, typer.Option(min=0.001, help="A larger request is refused.")] = 16,
    workdir: Workdir = None,
) -> None:
    """Serve a model over HTTP, as MLflow does; Ctrl-C ends it."""
    from hpsearch.cli import serve as command

    command.serve(
        target,
        workdir,
        trial=trial,
        fmt=fmt,
        uri=uri,
        host=host,
        port=port,
        max_body_mib=max_body_mib,
    )
