"""What the driver hands to the sender: values, so that many can become one request."""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field

from hpsearch.tracking import Champion
from hpsearch.trial import Epoch, Failure, Result, TrialSpec, TrialState


@dataclass(frozen=True)
class Start:
    """A trial runs, or runs again."""

    spec: TrialSpec
    at_s: float = field(default_factory=time.time)


@dataclass(frozen=True)
class Finish:
    """A trial ended."""

    spec: TrialSpec
    state: TrialState
    outcome: Result | Failure
    at_s: float = field(default_factory=time.time)


@dataclass(frozen=True)
class Interrupt:
    """A trial stopped for now."""

    at_s: float = field(default_factory=time.time)


@dataclass(frozen=True)
class Best:
    """The best trial so far, and how many are in each state."""

    trial: int
    metrics: Mapping[str, float]
    trials: Mapping[str, int]
    at_s: float = field(default_factory=time.time)


@dataclass(frozen=True)
class Crown:
    """The trial that was selected; `version` receives the registered model's version."""

    champion: Champion
    name: str
    version: Future[str]
    at_s: float = field(default_factory=time.time)


@dataclass(frozen=True)
class Files:
    """Files about the study, that replace earlier ones of the same names."""

    paths: tuple[str, ...]
    at_s: float = field(default_factory=time.time)


@dataclass(frozen=True)
class Close:
    """The search ended."""

    interrupted: bool
    at_s: float = field(default_factory=time.time)


Message = Start | Epoch | Finish | Interrupt | Best | Crown | Files | Close
