"""Names of things in the user's own code: `package.module:name` and `path/to/file.py:name`."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import linecache
import re
import sys
import sysconfig
import traceback
from pathlib import Path
from types import ModuleType

from hpsearch.errors import UsageError, did_you_mean, fault

_OWN = Path(__file__).resolve().parent
_imported: dict[Path, ModuleType] = {}


def is_reference(name: str) -> bool:
    """Whether `name` points into a module or file, rather than at something built in."""
    return ":" in name


def resolve(reference: str, *, where: str, error: type[UsageError]) -> object:
    """Imports what a reference points at.

    A file's folder, or the working folder for a module, is put on `sys.path`, so that the code can
    import its neighbours as it does when run as a script.

    Args:
        reference: `package.module:name` or `path/to/file.py:name`; `name` may have dots. A relative
            path starts at the working folder.
        where: The key the reference comes from, for messages.
        error: Raised for every mistake.

    Raises:
        UsageError: An `error`: the file, the module or the name does not exist, or its import fails.
    """
    source, _, name = reference.rpartition(":")
    if not source or not name:
        raise error(
            fault(
                where,
                "half a reference",
                expected="`package.module:name` or `path/to/file.py:name`",
                received=reference,
            )
        )
    found: object = _import(source, where=where, error=error)
    for part in name.split("."):
        if not hasattr(found, part):
            public = [other for other in dir(found) if not other.startswith("_")]
            raise error(
                fault(
                    where,
                    f"`{source}` has no `{part}`",
                    received=reference,
                    advice=did_you_mean(part, public),
                )
            )
        found = getattr(found, part)
    return found


def blame(failure: BaseException) -> str:
    """Returns the last line of the user's own code that `failure` came through: `net.py:12: model.add(...)`.

    Returns an empty string when there is none.
    """
    for frame in reversed(traceback.extract_tb(failure.__traceback__)):
        if _is_users(frame.filename):
            line = f": {frame.line}" if frame.line else ""
            return f"{frame.filename}:{frame.lineno}{line}"
    if isinstance(failure, SyntaxError) and failure.filename and _is_users(failure.filename):
        return f"{failure.filename}:{failure.lineno}: {(failure.text or '').strip()}".rstrip(": ")
    return ""


def summary(failure: BaseException) -> str:
    """Returns type and message of an exception in one line, and the user's line it came from.

    Keras and TensorFlow write many lines; what tells the cause is kept.
    """
    text = str(failure).partition("Arguments received by")[0]
    text = re.sub(r"Exception encountered when calling .*\n", "", text)
    text = re.sub(r"\x1b\[\d*m|\{\{.*?\}\}|\[Op:\w+\] name: ?", "", text)
    text = f"{type(failure).__name__}: {' '.join(text.split())}".rstrip(" .:")
    place = blame(failure)
    return f"{text} ({place})" if place else text


def _is_users(filename: str) -> bool:
    if filename.startswith("<"):
        return not filename.startswith("<frozen") and bool(linecache.getlines(filename))  # a notebook's cell
    path = Path(filename).resolve()
    libraries = {Path(sysconfig.get_path(key)).resolve() for key in ("stdlib", "platlib", "purelib")}
    return not any(path.is_relative_to(folder) for folder in (*libraries, _OWN))


def _import(source: str, *, where: str, error: type[UsageError]) -> ModuleType:
    path = Path(source).expanduser().absolute() if source.endswith(".py") else None
    if path is not None and not path.is_file():
        raise error(fault(where, "the file does not exist", expected="a Python file", received=str(path)))
    _make_importable(path.parent if path else Path.cwd())
    try:
        return _import_file(path) if path else importlib.import_module(source)
    except ModuleNotFoundError as failure:
        if (
            path is None
            and failure.name
            and (source == failure.name or source.startswith(f"{failure.name}."))
        ):
            raise error(
                fault(
                    where,
                    f"there is no module `{failure.name}`",
                    expected="a module that is installed or in the working folder",
                    received=source,
                    advice="A file is written with its ending: `path/to/file.py:name`.",
                )
            ) from failure
        raise error(fault(where, f"importing `{source}` failed", received=summary(failure))) from failure
    except Exception as failure:
        raise error(fault(where, f"importing `{source}` failed", received=summary(failure))) from failure


def _make_importable(folder: Path) -> None:
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


def _import_file(path: Path) -> ModuleType:
    """Imports a file under its own name where that is free, so that saved models find their classes."""
    resolved = path.resolve()
    known = _imported.get(resolved) or sys.modules.get(path.stem)
    if known is not None and known.__dict__.get("__file__") == str(resolved):
        return known
    name = path.stem
    spec = importlib.util.find_spec(name) if name.isidentifier() and name not in sys.modules else None
    if spec is None or spec.origin is None or Path(spec.origin).resolve() != resolved:
        name = f"{path.stem}_{hashlib.sha256(str(resolved).encode()).hexdigest()[:8]}"
        spec = importlib.util.spec_from_file_location(name, resolved)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # before it runs: dataclasses and pickle look their module up
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    _imported[resolved] = module
    return module
