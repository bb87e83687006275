"""The arguments that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

File = Annotated[
    Path, typer.Argument(metavar="FILE", help="An experiment file, e.g. experiments/digits_mlp.yaml.")
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Set anything in the file, e.g. search.trials=5. Can be repeated."
    ),
]
Workdir = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Folder of the studies. Default: the file's, or runs.")
]
Name = Annotated[
    str | None,
    typer.Argument(
        metavar="[STUDY]",
        help="A study's name or folder, or its experiment file. Default: the study that changed last.",
        show_default=False,
    ),
]
Trial = Annotated[int, typer.Argument(metavar="TRIAL", min=0, help="A trial's number.")]
Study = Annotated[
    str | None,
    typer.Option(
        metavar="STUDY", help="Its name or folder. Default: the study that changed last.", show_default=False
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]
