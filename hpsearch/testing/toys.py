"""Trials that train nothing: searches whose every number follows from the hyperparameters.

For tests of the driver, of resuming and of its cost: `partial(toy_trial, space="finite")` is what an
executor runs in place of the training code.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from hpsearch.channel import Channel
from hpsearch.files import write_text
from hpsearch.space import Condition, Parameter, Space
from hpsearch.trial import Epoch, Failure, FailureKind, Job, Outcome, Result, TrialSpec, Value

Ask = Callable[[Parameter], Value]

ACTIVATION = Parameter("activation", "choice", "relu", values=("relu", "tanh"))
DROPOUT = Parameter("dropout", "boolean", False)
RATE = Parameter(
    "rate", "float", 0.2, low=0.1, high=0.3, step=0.1, conditions=(Condition("dropout", (True,)),)
)
LAYERS = Parameter("layers", "int", 1, low=1, high=2, step=1)
LEARNING_RATE = Parameter("learning_rate", "float", 1e-3, low=1e-4, high=1e-1, sampling="log")
UNITS = Parameter("units", "int", 64, low=16, high=128, step=1)

FINITE_POINTS = 2 * (1 + 3) * (2 + 4)
"""Combinations of the finite space: activation, dropout with its rate, one or two layers of two widths."""


def finite(ask: Ask) -> dict[str, Value]:
    """Declares a finite space with a condition, and a loop of plain Python."""
    params = {"activation": ask(ACTIVATION), "dropout": ask(DROPOUT)}
    if params["dropout"]:
        params["rate"] = ask(RATE)
    params["layers"] = ask(LAYERS)
    for i in range(int(params["layers"])):
        params[f"units_{i}"] = ask(Parameter(f"units_{i}", "choice", 32, values=(32, 64)))
    return params


def mixed(ask: Ask) -> dict[str, Value]:
    """Declares a space with continuous, integer and categorical hyperparameters."""
    return {p.name: ask(p) for p in (LEARNING_RATE, UNITS, ACTIVATION)}


def space(name: str) -> Space:
    """Returns the space as a probe would find it."""
    seen: dict[str, Parameter] = {}

    def largest(parameter: Parameter) -> Value:
        seen.setdefault(parameter.name, parameter)
        return parameter.values[-1] if parameter.values else parameter.high or True

    SPACES[name](largest)
    return Space(tuple(seen.values()))


SPACES: Mapping[str, Callable[[Ask], dict[str, Value]]] = {"finite": finite, "mixed": mixed}


def score(params: Mapping[str, Value]) -> float:
    """Returns the accuracy, between 0 and 1, that a trial with these hyperparameters ends with."""
    loss = 0.2 * (params["activation"] != "relu")
    loss += 0.3 * abs(float(params.get("units", 64)) - 64) / 128
    loss += 0.1 * abs(float(params.get("rate", 0.0)) - 0.2)
    loss += 0.05 * sum(float(v) / 64 for k, v in params.items() if k.startswith("units_"))
    loss += 0.3 * abs(float(params.get("learning_rate", 1e-3)) - 1e-2)
    return 1.0 - loss


def die(number: int = signal.SIGKILL) -> None:
    """Ends the worker's process as the kernel or a crash would."""
    os.kill(os.getpid(), number)


def toy_trial(
    job: Job,
    channel: Channel,
    *,
    space: str = "mixed",
    epochs: int = 3,
    pause_s: float = 0.0,
    fail_every: int = 0,
    model_bytes: int = 0,
    most_units: int | None = None,
    least_accuracy: float | None = None,
    fate: Callable[[TrialSpec, Mapping[str, Value]], Failure | None] = lambda _spec, _params: None,
) -> Outcome:
    """Plays one trial: chooses values, reports `epochs` epochs, leaves `history.csv` in its folder.

    Where it is to pause it keeps its state, and goes on from there; `trained.txt` says what it trained.

    Args:
        job: The trial's spec.
        channel: The way to the driver.
        space: `finite` or `mixed`.
        epochs: How many to report.
        pause_s: Seconds each takes.
        fail_every: Every so many trials one fails. Default: none.
        most_units: A trial with more is not trained. Default: all are.
        least_accuracy: A trial below it is infeasible when it has ended. Default: none is.
        model_bytes: Size of the file it leaves as `model.keras`. Default: it leaves none.
        fate: Called when the model stands: it may return a failure, hang, kill the process. Default: none.
    """
    if not isinstance(job, TrialSpec):
        return Failure(FailureKind.ERROR, f"a toy runs trials only, not {type(job).__name__}")

    def ask(parameter: Parameter) -> Value:
        return job.params[parameter.name] if parameter.name in job.params else channel.suggest(parameter)

    params = SPACES[space](ask)
    channel.built(params)
    if fail_every and job.number % fail_every == fail_every - 1:
        return Failure(FailureKind.ERROR, "a toy that was asked to fail")
    if (failure := fate(job, params)) is not None:
        return failure
    units, broken = float(params.get("units", 0)), {}
    if most_units is not None:
        broken["units"] = units / most_units - 1
        if units > most_units:
            return Result(params, {"units": units}, 0, 0, 0.0, pruned=True, constraints=broken)
    best, metrics, number = score(params), {}, 0
    before = {"parameters": 1.0 + units}  # known before it is trained, and reported by no epoch
    state = Path(job.folder) / "state.npz"
    kept = int(state.read_text()) if state.exists() else 0
    for number in range(1, epochs + 1):
        if number > kept:
            time.sleep(pause_s)
            with open(Path(job.folder) / "trained.txt", "a", encoding="utf-8") as trained:
                trained.write(f"{number}\n")
        metrics = {"loss": 1.0 / number, "val_accuracy": best * number / epochs}
        if not channel.report(
            Epoch(number, metrics, time.time()), await_answer=job.prunable and number < epochs
        ):
            return Result(params, before | metrics, number, number, number * pause_s, pruned=True)
        if job.pause_after == number < epochs:
            write_text(state, str(number))  # whole, whenever the process is killed
            if least_accuracy is not None:
                broken["accuracy"] = least_accuracy - metrics["val_accuracy"]
            return Result(
                params, before | metrics, number, number, number * pause_s, constraints=broken, paused=True
            )
    state.unlink(missing_ok=True)
    rows = [f"{row},{1.0 / row},{best * row / epochs}" for row in range(1, epochs + 1)]
    text = "\n".join(["epoch,loss,val_accuracy", *rows])
    (Path(job.folder) / "history.csv").write_text(text, encoding="utf-8")
    files = ("history.csv", "model.keras") if model_bytes else ("history.csv",)
    if model_bytes:
        (Path(job.folder) / "model.keras").write_bytes(b"\0" * model_bytes)
    if least_accuracy is not None:
        broken["accuracy"] = least_accuracy - metrics["val_accuracy"]
    return Result(params, before | metrics, epochs, number, epochs * pause_s, constraints=broken, files=files)
