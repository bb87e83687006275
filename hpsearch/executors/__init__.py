"""Where jobs run.

An executor receives one function when it starts, then jobs for it; it knows nothing of training,
strategies or tracking. `wait` returns what happened. The law, checked by `ExecutorContract`:

- every submitted job ends in exactly one outcome event, whatever happens to its process;
- a job's `Suggest`, `Built` and `Report` events come in order, and before its outcome;
- a `Suggest`, and a `Report` that `awaits_answer`, block the job until `answer` is called.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol, cast

from hpsearch.catalogue import catalogue, function_named
from hpsearch.channel import Perform
from hpsearch.errors import UsageError, did_you_mean, fault
from hpsearch.space import Parameter
from hpsearch.trial import Epoch, Job, Outcome, Value

if TYPE_CHECKING:
    from hpsearch.experiment import ResourcesSection


@dataclass(frozen=True)
class Started:
    """A worker took the job up."""

    pid: int
    slot: int


@dataclass(frozen=True)
class Suggest:
    """A job asks for the value of a hyperparameter its spec does not hold. Answer: the value."""

    parameter: Parameter


@dataclass(frozen=True)
class Built:
    """A trial's model stands: these are its hyperparameters so far."""

    params: Mapping[str, Value]


@dataclass(frozen=True)
class Report:
    """A job finished an epoch. Answer, if it awaits one: True to go on, False to stop (prune)."""

    epoch: Epoch
    awaits_answer: bool


@dataclass(frozen=True)
class Event:
    """Something that happened to the job submitted under `key`."""

    key: int
    body: Started | Suggest | Built | Report | Outcome


class Executor(Protocol):
    """Runs jobs, at most `slots` at a time."""

    slots: int

    def start(self, perform: Perform) -> None:
        """Makes ready to run jobs with `perform`, which is sent to the workers by cloudpickle."""

    def submit(self, key: int, job: Job, *, log: str, timeout_s: float | None = None) -> None:
        """Runs a job in a free slot; its standard output and error are appended to the file `log`."""

    def wait(self, timeout_s: float) -> Sequence[Event]:
        """Returns what happened, waiting at most `timeout_s` seconds for the first event."""

    def answer(self, key: int, answer: Value) -> None:
        """Answers the job's `Suggest` or `Report`."""

    def cancel(self, key: int) -> None:
        """Stops a job now; its outcome is a `Failure` of kind `interrupted`."""

    def close(self) -> None:
        """Stops all workers. Safe to call twice."""


def names() -> tuple[str, ...]:
    """Returns the executors there are: each module of this folder that has a function `create`."""
    files = catalogue(Path(__file__).parent, function_named("create"))
    return tuple(name for name in files if name != "__init__")


def create(
    resources: ResourcesSection,
    *,
    warm_up: Callable[[], object] | None = None,
    workdir: Path | None = None,
    environment: Mapping[str, str] = MappingProxyType({}),
) -> Executor:
    """Returns the executor that an experiment's `resources` describe; it runs nothing before `start`.

    Args:
        resources: `executor` names a module of this folder, whose `create` is called with all arguments.
        warm_up: Called once in each worker process before its first job, e.g. to import TensorFlow.
        workdir: Folder of the studies, absolute; jobs will write into it.
        environment: Variables that the process of a job has before it imports anything.

    Raises:
        UsageError: No such executor, or it cannot do what `resources` ask.
    """
    if resources.executor not in (known := names()):
        raise UsageError(
            fault(
                "resources.executor",
                "no such executor",
                expected=" or ".join(f"`{name}`" for name in known),
                received=resources.executor,
                advice=did_you_mean(resources.executor, known),
            )
        )
    module = import_module(f"{__name__}.{resources.executor}")
    made = module.create(resources, warm_up=warm_up, workdir=workdir, environment=environment)
    return cast("Executor", made)
