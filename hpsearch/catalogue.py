"""What is built in: one file each, found by the file's name, described without importing it."""

from __future__ import annotations

import ast
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import NamedTuple

Definition = ast.FunctionDef | ast.ClassDef


class Entry(NamedTuple):
    """A thing that is built in.

    Attributes:
        name: Of the function or class in its file.
        line: First line of its docstring, or else of its file's.
    """

    name: str
    line: str


def function_named(name: str) -> Callable[[Definition], bool]:
    """Returns a test for the top-level function `name`."""
    return lambda node: isinstance(node, ast.FunctionDef) and node.name == name


def subclass_of(base: str) -> Callable[[Definition], bool]:
    """Returns a test for classes derived from `base`, written with or without its module."""
    return lambda node: (
        isinstance(node, ast.ClassDef)
        and any(ast.unparse(parent).rpartition(".")[2] == base for parent in node.bases)
    )


def catalogue(folder: Path, wanted: Callable[[Definition], bool]) -> dict[str, Entry]:
    """Lists the files of a folder that define something wanted and public.

    Args:
        folder: Of Python files.
        wanted: Test of a definition at a file's top level.

    Returns:
        The first such definition of each file, by the file's name without ending, sorted.
    """
    found = {}
    for path in sorted(folder.glob("*.py")):
        tree = _parse(path)
        definitions = (node for node in tree.body if isinstance(node, Definition))
        entry = next((node for node in definitions if not node.name.startswith("_") and wanted(node)), None)
        if entry is not None:
            text = ast.get_docstring(entry) or ast.get_docstring(tree) or ""
            found[path.stem] = Entry(entry.name, text.partition("\n")[0])
    return found


@cache
def _parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))
