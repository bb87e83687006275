"""Hyperparameter search and experiment tracking for Keras.

    experiment = hpsearch.Experiment(name="digits", model="mlp", data="digits", objective="val_f1_macro")
    hpsearch.search(experiment).best[0].params

The names below are the public ones; they are imported when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hpsearch.assemble import export_model, open_study, search
    from hpsearch.beforehand import check, preflight
    from hpsearch.checking import CheckReport
    from hpsearch.datasets import Data, Split
    from hpsearch.errors import ExportError, HpsearchError, SearchError, UsageError
    from hpsearch.experiment import Experiment
    from hpsearch.learning_rate import find_learning_rate
    from hpsearch.listener import Listener
    from hpsearch.reproduction import reproduce
    from hpsearch.study import Study
    from hpsearch.syncing import sync
    from hpsearch.trial_view import TrialView

__version__ = "0.1.0"

_HOMES = {
    "CheckReport": "checking",
    "Data": "datasets",
    "Experiment": "experiment",
    "ExportError": "errors",
    "HpsearchError": "errors",
    "Listener": "listener",
    "SearchError": "errors",
    "Split": "datasets",
    "Study": "study",
    "TrialView": "trial_view",
    "UsageError": "errors",
    "check": "beforehand",
    "export_model": "assemble",
    "find_learning_rate": "learning_rate",
    "open_study": "assemble",
    "preflight": "beforehand",
    "reproduce": "reproduction",
    "search": "assemble",
    "sync": "syncing",
}

__all__ = [  # noqa: RUF022 (by use)
    "search",
    "check",
    "preflight",
    "find_learning_rate",
    "export_model",
    "open_study",
    "sync",
    "reproduce",
    "Experiment",
    "Data",
    "Split",
    "Study",
    "TrialView",
    "CheckReport",
    "Listener",
    "HpsearchError",
    "UsageError",
    "SearchError",
    "ExportError",
    "__version__",
]


def __getattr__(name: str) -> object:
    """Imports a public name when it is first used: `import hpsearch` itself costs next to nothing."""
    if name not in _HOMES:
        raise AttributeError(f"module `hpsearch` has no attribute `{name}`")
    return getattr(import_module(f"hpsearch.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return list(__all__)
