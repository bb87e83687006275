"""Experiment files as plain values: YAML read and written without its traps, and `--set key.path=value`.

YAML 1.2's scalars are used, because YAML 1.1's surprise: there `1e-3` is text, `on` and `no` are
booleans, `010` is eight and `12:30` is 750. Keys given twice are refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Hashable, Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from hpsearch.errors import ExperimentError, did_you_mean, fault

SHORTHANDS = {
    ("model",): "name",
    ("data",): "name",
    ("objective",): "metric",
    ("search", "strategy"): "name",
    ("search", "strategy", "sampler"): "name",
    ("search", "strategy", "pruner"): "name",
}
"""Places where text stands for a mapping with this one key."""

_CORE_SCALARS = (
    ("null", r"~|null|Null|NULL|", "~nN\0"),
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789"),
    ("float", r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", "-+.0123456789"),
    ("float", r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)", "-+."),
    ("merge", r"<<", "<"),
)


class _Loader(yaml.SafeLoader):
    """Safe, with the scalars of YAML 1.2's core schema; refuses duplicate keys."""

    yaml_implicit_resolvers: dict[str, Any] = {}

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key `{key.value}` occurs twice", key.start_mark
                )
            seen.add(key.value if isinstance(key, yaml.ScalarNode) else id(key))
        return super().construct_mapping(node, deep)

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        text = self.construct_scalar(node)
        return int(text, 0 if text[:2] in ("0o", "0x") else 10)

    def construct_yaml_float(self, node: yaml.ScalarNode) -> float:
        return float(re.sub(r"\.(?=[iInN])", "", self.construct_scalar(node)))


class _Dumper(yaml.SafeDumper):
    """Quotes what either version of YAML would take for something other than text."""

    yaml_implicit_resolvers = {k: list(v) for k, v in yaml.SafeDumper.yaml_implicit_resolvers.items()}

    def ignore_aliases(self, _data: Any) -> bool:
        return True


for _tag, _pattern, _first in _CORE_SCALARS:
    for _class in (_Loader, _Dumper):
        _class.add_implicit_resolver(
            f"tag:yaml.org,2002:{_tag}",
            re.compile(f"(?:{_pattern})$"),
            ["" if c == "\0" else c for c in _first],
        )
_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_yaml_int)
_Loader.add_constructor("tag:yaml.org,2002:float", _Loader.construct_yaml_float)
_Dumper.add_representer(tuple, lambda dumper, data: dumper.represent_list(data))
_Dumper.add_multi_representer(object, lambda dumper, data: dumper.represent_str(repr(data)))


def read(path: Path) -> dict[str, Any]:
    """Reads an experiment file as plain values, unchecked; `name` defaults to the file's stem.

    Raises:
        ExperimentError: It is missing, unreadable, not YAML, or not a mapping.
    """
    where = str(path)
    values = _parse(_text(path), where)
    if values is None:
        raise ExperimentError(fault(where, "is empty", expected="`model`, `data` and `objective`"))
    if not isinstance(values, dict):
        raise ExperimentError(
            fault(where, "is not an experiment", expected="a mapping", received=_kind(values))
        )
    try:
        json.dumps(values, default=str, skipkeys=True)
    except ValueError:
        raise ExperimentError(fault(where, "contains itself, by an alias inside its own anchor")) from None
    for key in values:
        if not isinstance(key, str):
            raise ExperimentError(fault(where, "a key is not text", expected="a name", received=key))
    return {"name": path.stem, **values}


def write(values: Mapping[str, Any]) -> str:
    """Writes plain values as YAML; what is not plain becomes its `repr`."""
    return yaml.dump(dict(values), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)


def assign(values: dict[str, Any], override: str) -> str:
    """Sets one value in place.

    Args:
        values: Those of a file; a shorthand on the way becomes the mapping it stands for.
        override: `key.path=value`; the value is read as YAML, e.g. `search.space.units=[32, 64]`.

    Returns:
        The key path.

    Raises:
        ExperimentError: It has no `=`, its value is not YAML, or its path leads through a value.
    """
    key, equals, text = override.partition("=")
    key = key.strip()
    parts = tuple(key.split("."))
    if not equals or not all(parts):
        raise ExperimentError(
            fault("--set", "cannot be read", expected="`key.path=value`", received=override)
        )
    value = _parse(text, f"--set {key}")
    here: Any = values
    for depth, part in enumerate(parts[:-1], start=1):
        inner = here.get(part)
        if isinstance(inner, str) and parts[:depth] in SHORTHANDS:
            inner = {SHORTHANDS[parts[:depth]]: inner}
        here[part] = here = {} if inner is None else inner
        if not isinstance(here, dict):
            raise ExperimentError(
                fault(
                    f"--set {key}",
                    f"`{'.'.join(parts[:depth])}` is {_kind(here)}, so nothing can be set inside it",
                    received=override,
                    advice="Set the whole of it.",
                )
            )
    here[parts[-1]] = value
    return key


def resolve_reference(reference: str, folder: Path, where: str) -> str:
    """Makes the path in `path/to/file.py:name` absolute: from `folder`, or else from the working folder.

    Raises:
        ExperimentError: The file is in neither.
    """
    source, colon, name = reference.rpartition(":")
    if not colon or not source.endswith(".py"):
        return reference
    found = find(source, folder)
    if not found.is_file():
        raise ExperimentError(
            fault(where, "the file does not exist", expected=f"a file {found}", received=reference)
        )
    return f"{found}:{name}"


def find(path: str, folder: Path) -> Path:
    """Returns `path` as seen from `folder`, or from the working folder if it exists only there."""
    wanted = Path(path).expanduser()
    beside, here = (folder / wanted).absolute(), wanted.absolute()
    return here if here.exists() and not beside.exists() else beside


def _text(path: Path) -> str:
    where = str(path)
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        parent = path.parent
        near = [str(p) for p in parent.glob("*.y*ml")] if parent.is_dir() else []
        raise ExperimentError(
            fault(
                where,
                "there is no such file",
                expected="an experiment file",
                advice=did_you_mean(where, near),
            )
        ) from None
    except UnicodeDecodeError as error:
        raise ExperimentError(
            fault(where, "is not text", expected="UTF-8", received=f"{error.reason} at byte {error.start}")
        ) from None
    except OSError as error:
        raise ExperimentError(
            fault(where, "cannot be read", expected="an experiment file", received=f"{error.strerror}")
        ) from None


def _parse(text: str, where: str) -> Any:
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}" if mark else "somewhere"
        problem = " ".join(filter(None, (error.context, error.problem)))
        raise ExperimentError(
            fault(where, "cannot be read as YAML", received=f"{place}: {problem}")
        ) from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        problem = " ".join(str(error).split()) or type(error).__name__
        raise ExperimentError(fault(where, "cannot be read as YAML", received=problem)) from None


def _kind(value: object) -> str:
    if isinstance(value, list):
        return "a list"
    if isinstance(value, dict):
        return "a mapping"
    return "text" if isinstance(value, str) else repr(value)


def dotted(parts: Iterable[str | int]) -> str:
    """Writes a place as a person would: `search.space.units`, `objective[1].metric`."""
    text = ""
    for part in parts:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text
