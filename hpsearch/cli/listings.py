"""What is built in: `models`, `datasets`, `schema`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable

from rich.text import Text

from hpsearch.cli.tables import console, plain_table


def models() -> None:
    """Prints the built-in models and their first lines."""
    from hpsearch import models as room

    _list(room.names(), room.describe, "model")


def datasets() -> None:
    """Prints the built-in data sets and their first lines."""
    from hpsearch import datasets as room

    _list(room.names(), room.describe, "data set")


def schema() -> None:
    """Prints the JSON schema of experiment files."""
    from hpsearch.experiment import schema as make

    print(json.dumps(make(), indent=2))


def _list(names: Iterable[str], describe: Callable[[str], str], what: str) -> None:
    table = plain_table(what, "")
    for name in names:
        table.add_row(name, Text(describe(name)))
    console().print(table)
