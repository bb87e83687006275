"""Data sets: one a file with `load(**options)`, found by the file's name; or the user's own.

load_data(section)                   -> Data    loaded and split once in a process
load_data(section, evaluation, part) -> Data    a fold of it
names()                              -> (blobs, digits, ...)
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpsearch.catalogue import Entry, catalogue, function_named
from hpsearch.datasets.data import Data, Split
from hpsearch.datasets.folds import fold_rows
from hpsearch.datasets.reconstruction import reconstruction
from hpsearch.datasets.source import FORMS, read_source
from hpsearch.datasets.split import divide
from hpsearch.errors import DataError, HpsearchError, did_you_mean, fault
from hpsearch.references import is_reference, resolve, summary
from hpsearch.shared import shared

if TYPE_CHECKING:
    from hpsearch.experiment import DataSection
    from hpsearch.experiment_evaluation import EvaluationSection
    from hpsearch.parts import Part

__all__ = ["Data", "Split", "describe", "load_data", "names"]

# Options of every data set; they are not passed to its loader.
_GENERAL = ("task", "stratify", "one_hot", "split", "gap")


@dataclass(frozen=True, eq=False)
class _Loaded:
    """A data set as the workers of a machine share it."""

    whole: Data
    folds: tuple[Data, ...]
    """For each part of a trial, in order; empty without cross-validation."""


_last: list[tuple[str, DataSection, _Loaded]] = []


def load_data(
    section: DataSection, evaluation: EvaluationSection | None = None, part: Part | None = None
) -> Data:
    """Loads a data set and splits it into training, validation and test rows, always the same way.

    A second call with an equal section returns the same object; other workers of the machine share its
    arrays.

    Args:
        section: `name` is a built-in data set, `package.module:name` or `path/to/file.py:name`;
            `options` go to its loader, but for `task` (`classification` or `regression`: what the
            target is, where it cannot be told), `stratify` (whether every split has the same share of
            each class; default True), `one_hot` (whether class numbers become one-hot rows; default
            False), `split` (`random`, or `ordered`: the last rows are for the test, those before them
            for validation, as in Keras's `validation_split`) and `gap` (rows left out between two
            parts of an ordered split) and `reconstruct` (whether the inputs become the targets, for
            autoencoders; default False). `target`, when given, is used instead of the name: a
            `Data`, `(x, y)`, `((x_train, y_train), (x_test, y_test))`, a dict, or a function
            returning one of these. A dict may also hold `preprocess`, a function that is given the `x`
            of the training rows and returns what is then applied to the `x` of all rows, and
            `overlap` of rows that are in order of time (how many after each share something with it),
            or `groups`, an array: all rows of a group are in the same split.
        evaluation: Its `folds` have training and validation rows divided anew for each part of a trial.
            Default: they are not.
        part: Which of them is wanted. Default: none, the split of all trials that have one training.

    Returns:
        The data set, with read-only arrays.

    Raises:
        DataError: It is missing or malformed.
    """
    key = _key(section, evaluation)
    if not (_last and _last[0][0] == key and _same(_last[0][1], section)):
        _last[:] = [(key, section, shared(key, partial(_load, section, evaluation)))]
    loaded = _last[0][2]
    return loaded.folds[part.number - 1] if part is not None and loaded.folds else loaded.whole


def _load(section: DataSection, evaluation: EvaluationSection | None) -> _Loaded:
    general = {key: section.options[key] for key in _GENERAL if key in section.options}
    for key in ("stratify", "one_hot"):
        if not isinstance(general.get(key, True), bool):
            raise DataError(
                fault(f"data.options.{key}", "wrong value", expected="true or false", received=general[key])
            )
    reconstruct = section.options.get("reconstruct", False)
    if not isinstance(reconstruct, bool):
        raise DataError(
            fault("data.options.reconstruct", "wrong value", expected="true or false", received=reconstruct)
        )
    options = {key: value for key, value in section.options.items() if key not in (*_GENERAL, "reconstruct")}
    finish = reconstruction if reconstruct else _as_it_is
    loaded = _loaded(section, options)
    folded = evaluation if evaluation is not None and evaluation.folds else None
    if isinstance(loaded, Data):
        if folded:
            raise _not_to_divide(section.name)
        return _Loaded(finish(loaded), ())
    divided = divide(
        read_source(loaded, where=f"data {section.name}"),
        where=f"data {section.name}",
        validation=section.validation,
        test=section.test,
        seed=section.seed,
        **general,
    )
    folds: list[Data] = []
    if folded:
        if divided.own_validation:
            raise _not_to_divide(section.name)
        for train, validation in fold_rows(divided, folded, section.seed):
            rows = {"train": divided.rows.select(train), "validation": divided.rows.select(validation)}
            folds.append(finish(divided.finish(section.name, {**rows, "test": divided.parts["test"]})))
    return _Loaded(finish(divided.finish(section.name, divided.parts)), tuple(folds))


def _as_it_is(data: Data) -> Data:
    return data


def _not_to_divide(name: str) -> DataError:
    what = f"data {name} comes with validation rows of its own, which hpsearch does not mix with others"
    advice = (
        "Give the rows of both in one, as `x` and `y`; or repeat the training: `evaluation: {repeats: 3}`."
    )
    return DataError(fault("evaluation.folds", what, advice=advice))


def names() -> tuple[str, ...]:
    """Returns the built-in data sets."""
    return tuple(_built_in())


def check_name(section: DataSection) -> None:
    """Makes sure that a data set is given, is a reference or is built in; imports nothing of it.

    Raises:
        DataError: There is no built-in data set of that name.
    """
    if section.target is None and not is_reference(section.name) and section.name not in names():
        raise DataError(
            fault(
                "data.name",
                "unknown data set",
                expected=f"{', '.join(names())}, `package.module:name` or `path/to/file.py:name`",
                received=section.name,
                advice=did_you_mean(section.name, names()),
            )
        )


def describe(name: str) -> str:
    """Returns the first line of a built-in data set's docstring, without importing it."""
    return _built_in()[name].line


def _built_in() -> dict[str, Entry]:
    return catalogue(Path(__file__).parent, function_named("load"))


def _same(one: DataSection, other: DataSection) -> bool:
    if one.target is not other.target:
        return False
    try:
        return all(
            bool(getattr(one, key) == getattr(other, key))
            for key in ("name", "options", "validation", "test", "seed")
        )
    except ValueError:  # an option is an array: not comparable
        return False


def _key(section: DataSection, evaluation: EvaluationSection | None) -> str:
    """Names a section's data among the workers of a search, which all have the same objects from Python."""
    given = {key: getattr(section, key) for key in ("name", "options", "validation", "test", "seed")}
    if evaluation is not None and evaluation.folds is not None:
        given |= {key: getattr(evaluation, key) for key in ("folds", "splitter", "repeats")}
    return json.dumps(given | {"target": section.target is not None}, sort_keys=True, default=repr)


def _loaded(section: DataSection, options: dict[str, Any]) -> object:
    found = section.target
    if found is None:
        if is_reference(section.name):
            found = resolve(section.name, where="data.name", error=DataError)
        else:
            check_name(section)
            found = import_module(f"{__name__}.{section.name}").load
    if not callable(found):
        if options:
            raise DataError(
                fault("data.options", "the data is given, nothing loads it", received=", ".join(options))
            )
        return found
    return _call(found, options, where=f"data {section.name}")


def _call(loader: Callable[..., object], options: dict[str, Any], *, where: str) -> object:
    """Calls a loader, and says what is wrong with its options before Python does."""
    try:
        signature = inspect.signature(loader)
    except (ValueError, TypeError):  # of some functions written in C
        signature = None
    if signature is not None:
        try:
            signature.bind(**options)
        except TypeError as failure:
            known = [
                name
                for name, parameter in signature.parameters.items()
                if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
            ]
            unknown = next((key for key in options if key not in known), None)
            raise DataError(
                fault(
                    "data.options",
                    f"they do not fit the loader: {failure}",
                    expected=f"options among {', '.join([*known, *_GENERAL, 'reconstruct'])}",
                    received=", ".join(options) or "none",
                    advice=did_you_mean(unknown, known) if unknown else None,
                )
            ) from None
    try:
        loaded = loader(**options)
    except HpsearchError:
        raise
    except Exception as failure:
        raise DataError(fault(where, "the loader failed", received=summary(failure))) from failure
    if loaded is None:
        raise DataError(fault(where, "the loader returned nothing", expected=FORMS, received=None))
    return loaded
