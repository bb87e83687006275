"""Models: one architecture a file, a `keras_tuner.HyperModel` found by the file's name; or the user's own.

load_hypermodel(section, data) -> keras_tuner.HyperModel
load_saved(path)               -> keras.Model: of a `.keras` file
names()                        -> (mlp, ...)
describe("mlp")                -> its first line, without importing Keras

A model may have a method `after_fit(model, data, folder)`: called when a trial has its best weights, it
writes files of its own into the trial's folder and returns their names, which are tracked like the others.
And a method `test_metrics(model, data)`: called when the best model is evaluated on the test rows, it returns
metrics of its own by name; they are recorded as `test_<name>`. One whose `fit` compiles anew on the way says
`per_step_schedules = False`: a schedule would begin anew, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpsearch.catalogue import Entry, catalogue, subclass_of
from hpsearch.errors import ModelError, did_you_mean, fault
from hpsearch.references import is_reference

if TYPE_CHECKING:
    import keras
    import keras_tuner

    from hpsearch.datasets.data import Data
    from hpsearch.experiment import ModelSection

__all__ = ["check_name", "describe", "load_hypermodel", "load_saved", "names", "register_custom_objects"]


def check_name(section: ModelSection) -> None:
    """Makes sure that a model is given, is a reference or is built in; imports nothing of it.

    Raises:
        ModelError: There is no built-in model of that name.
    """
    if section.target is None and not is_reference(section.name) and section.name not in names():
        raise ModelError(
            fault(
                "model.name",
                "unknown model",
                expected=f"{', '.join(names())}, `package.module:name` or `path/to/file.py:name`",
                received=section.name,
                advice=did_you_mean(section.name, names()),
            )
        )


def load_hypermodel(section: ModelSection, data: Data) -> keras_tuner.HyperModel:
    """Finds a model and makes it ready to build.

    Args:
        section: `name` is a built-in model, `package.module:name` or `path/to/file.py:name`. There
            may be a `HyperModel` class or instance, a `build(hp)` function, or a function that
            returns a `HyperModel`. `target`, when given, is used instead of the name. `options` are
            keyword arguments of the class or function.
        data: Gives `input_shape`, `classes`, `outputs` (numbers a sample to predict), `one_hot` and, for
            text, `vocabulary_size` to a class or function that has such arguments, unless the options do;
            where there are several targets `heads`, `{"classes": 10}` or `{"outputs": 1}` by the
            output's name.

    Returns:
        A `keras_tuner.HyperModel`.

    Raises:
        ModelError: It cannot be found, imported or constructed.
    """
    from hpsearch.models.loading import load

    return load(section, data)


def register_custom_objects(section: ModelSection) -> None:
    """Makes the model's own layers, losses and metrics known to Keras, so that its files load back.

    The classes and functions that the model's code refers to are registered under their names, as
    `custom_objects` of `keras.models.load_model` would do; no decorator is needed.

    Raises:
        ModelError: The model cannot be found or imported.
    """
    from hpsearch.models.custom_objects import register

    register(section)


def load_saved(
    path: str, *, compile: bool = False, custom_objects: Mapping[str, Any] | None = None
) -> keras.Model:
    """Loads a saved model, never running code that the file itself holds (`safe_mode`).

    Args:
        path: A `.keras` file.
        compile: Whether to compile it as it was trained. Default: False.
        custom_objects: Classes and functions by name, beside those that are registered. Default: none.

    Raises:
        ModelError: There is no such file, it is damaged, or it needs a class that nobody registered.
    """
    from hpsearch.models.saved import load

    return load(path, compile=compile, custom_objects=custom_objects)


def names() -> tuple[str, ...]:
    """Returns the built-in models."""
    return tuple(built_in())


def describe(name: str) -> str:
    """Returns the first line of a built-in model's docstring; imports neither the model nor Keras."""
    return built_in()[name].line


def built_in() -> dict[str, Entry]:
    """Returns class and first line of each built-in model."""
    return catalogue(Path(__file__).parent, subclass_of("HyperModel"))
