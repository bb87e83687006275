"""What the driver and a worker process send each other, besides the events of the protocol.

driver → worker: Task · Answer · Stop
worker → driver: Born (if it is a copy), Ready, then for each Task: Suggest · Built · Report ..., one Outcome
"""

from __future__ import annotations

from dataclasses import dataclass

from hpsearch.executors import Built, Report, Suggest
from hpsearch.trial import Failure, Job, Outcome, Value


@dataclass(frozen=True)
class Born:
    """The worker exists."""

    pid: int


@dataclass(frozen=True)
class Ready:
    """The worker has the function to run and is warm, or failed to become so."""

    failure: Failure | None = None
    """Why the warm-up failed; the outcome of the worker's first and only job."""


@dataclass(frozen=True)
class Task:
    """Run this job, its output appended to this file."""

    job: Job
    log: str


@dataclass(frozen=True)
class Answer:
    """The answer to the `Suggest` or `Report` that the job waits for."""

    value: Value


@dataclass(frozen=True)
class Stop:
    """There is no more to do: exit."""


ToWorker = Task | Answer | Stop
Said = Ready | Suggest | Built | Report | Outcome
FromWorker = Born | Said
