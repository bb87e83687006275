"""What runs: a line a trial of a search, or in a terminal a view that is drawn again and again."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from hpsearch.cli import tables
from hpsearch.cli.tables import STATE_STYLES
from hpsearch.listener import Listener
from hpsearch.trial import Epoch, TrialState, Value
from hpsearch.trial_view import scores
from hpsearch.writing import duration, score

if TYPE_CHECKING:
    from hpsearch.experiment import Experiment
    from hpsearch.trial_view import TrialView

REFRESH_PER_S = 4
STARTING = "Starting the workers and building the model once ..."


@contextmanager
def progress(experiment: Experiment, console: Console, *, quiet: bool = False) -> Iterator[Listener]:
    """Gives the listener that suits the place: nothing, lines, or a live view."""
    metric = experiment.objective[0].metric
    if quiet:
        yield Listener()
    elif not console.is_terminal:
        console.print(Text(STARTING))
        yield Lines(console, metric)
    else:
        parts = len(experiment.evaluation.parts)
        view = View(console, metric, epochs=experiment.training.epochs, parts=parts)
        with Live(view, console=console, refresh_per_second=REFRESH_PER_S, transient=True):
            yield view


@contextmanager
def steps_done(
    console: Console, steps: int, describe: Callable[[Epoch], str]
) -> Iterator[Callable[[Epoch], None]]:
    """Gives what to call after each step or epoch of one training: in a terminal it draws a bar."""
    if not console.is_terminal:
        console.print(Text(STARTING))
        yield lambda _: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(STARTING, total=steps)

        def on_step(step: Epoch) -> None:
            bar.update(task, completed=step.number, description=describe(step))

        yield on_step


class Lines(Listener):
    """Prints a line when a trial ends."""

    def __init__(self, console: Console, metric: str) -> None:
        self._console = console
        self._metric = metric
        self._planned: int | None = None
        self._done = 0

    def on_start(self, study: str, planned: int | None, done: int) -> None:
        """Says what is about to happen."""
        self._planned, self._done = planned, done
        many = "until time is up" if planned is None else f"{planned} trials"
        self._say(f"{study}: {many}" + (f", {done} of them done before" if done else ""))

    def on_trial_finished(self, trial: TrialView, best: TrialView | None) -> None:
        """Says how it ended."""
        self._done += 1
        count = f"{self._done}/{self._planned}" if self._planned else str(self._done)
        line = Text(f"[{count}] ").append_text(outcome(trial, self._metric))
        if best is not None:
            line.append(f"; best {score(best.values[0])} (trial {best.number})")
        self._say(line)

    def on_trial_paused(self, number: int, epochs: int, values: Mapping[str, float]) -> None:
        """Says how far it came."""
        self._say(paused(number, epochs, values))

    def on_message(self, text: str) -> None:
        """Passes it on."""
        self._say(text)

    def _say(self, text: str | Text) -> None:
        # Lines are for files and pipes too: never wrapped.
        self._console.print(Text(text) if isinstance(text, str) else text, soft_wrap=True)


class View(Listener):
    """Draws the trials that run, how many are done, the best so far and the time left."""

    def __init__(self, console: Console, metric: str, epochs: int, parts: int = 0) -> None:
        self._console = console
        self._metric = metric
        self._epochs = epochs
        self._parts = parts
        self._study = ""
        self._planned: int | None = None
        self._before = 0
        self._counts = dict.fromkeys(TrialState, 0)
        self._running: dict[int, tuple[Mapping[str, Value], Epoch | None]] = {}
        self._best: TrialView | None = None
        self._started_at_s: float | None = None

    def on_start(self, study: str, planned: int | None, done: int) -> None:
        """Starts the clock."""
        self._study, self._planned, self._before = study, planned, done
        self._started_at_s = time.monotonic()

    def on_trial_started(self, number: int, params: Mapping[str, Value]) -> None:
        """Shows the trial among those that run."""
        self._running[number] = (params, None)

    def on_epoch(self, number: int, epoch: Epoch) -> None:
        """Shows how far the trial is."""
        params, _ = self._running.get(number, ({}, None))
        self._running[number] = (params, epoch)

    def on_trial_finished(self, trial: TrialView, best: TrialView | None) -> None:
        """Prints a line that stays, above the view."""
        self._running.pop(trial.number, None)
        self._counts[trial.state] += 1
        self._best = best
        self._console.print(outcome(trial, self._metric))

    def on_trial_paused(self, number: int, epochs: int, values: Mapping[str, float]) -> None:
        """Takes the trial from those that run."""
        self._running.pop(number, None)
        self._console.print(paused(number, epochs, values))

    def on_message(self, text: str) -> None:
        """Prints it above the view."""
        self._console.print(Text(text, style="yellow"))

    def __rich__(self) -> RenderableType:
        if self._started_at_s is None:
            return Text(STARTING, style="dim")
        return Group(self._bar(), self._trials(), self._summary())

    @property
    def _new(self) -> int:
        return sum(self._counts.values())

    def _bar(self) -> RenderableType:
        row = Table.grid(padding=(0, 1))
        done = self._before + self._new
        if self._planned is None:
            row.add_row(Text(self._study, style="bold"), f"{done} trials")
        else:
            bar = ProgressBar(total=self._planned, completed=done, width=30)
            row.add_row(Text(self._study, style="bold"), bar, f"{done}/{self._planned} trials")
        return row

    def _trials(self) -> RenderableType:
        table = Table.grid(padding=(0, 2))
        for key, (params, epoch) in sorted(self._running.items()):
            at = self._place(params, epoch) if epoch else "starting"
            value = epoch.metrics.get(self._metric) if epoch else None
            shown = f"{self._metric} {score(value)}" if value is not None else ""
            line = Text(tables.describe(params), style="dim", overflow="ellipsis", no_wrap=True)
            table.add_row(f"trial {key}", at, Text(shown), line)
        return table

    def _place(self, params: Mapping[str, Value], epoch: Epoch) -> str:
        """Says how far a trial is."""
        if self._parts and epoch.part is None:
            return f"{epoch.number}/{self._parts} parts"
        at = f"epoch {epoch.number}/{params.get('epochs', self._epochs)}"
        return f"{epoch.part.label}, {at}" if epoch.part else at

    def _summary(self) -> RenderableType:
        parts = []
        if self._best is not None:
            parts.append(f"best {self._metric} {score(self._best.values[0])} (trial {self._best.number})")
        for state in (TrialState.PRUNED, TrialState.FAILED):
            if self._counts[state]:
                parts.append(f"{self._counts[state]} {state.lower()}")
        elapsed_s = time.monotonic() - (self._started_at_s or 0.0)
        parts.append(f"{duration(elapsed_s)} so far")
        if (left_s := self._left_s(elapsed_s)) is not None:
            parts.append(f"about {duration(left_s)} left")
        return Text(" · ".join(parts))

    def _left_s(self, elapsed_s: float) -> float | None:
        """Estimates the time left from the pace so far."""
        left = 0 if self._planned is None else self._planned - self._before - self._new
        return elapsed_s / self._new * left if self._new and left > 0 else None


def paused(number: int, epochs: int, values: Mapping[str, float]) -> Text:
    """Says in a line where a trial paused."""
    shown = ", ".join(f"{metric} {score(value)}" for metric, value in values.items())
    at = f" {shown} at epoch {epochs}"
    return Text.assemble(f"trial {number} ", ("paused", STATE_STYLES[TrialState.RUNNING]), at)


def outcome(trial: TrialView, metric: str) -> Text:
    """Says in a line how a trial ended."""
    text = Text(f"trial {trial.number} ")
    text.append(str(trial.state).lower(), style=STATE_STYLES[trial.state])
    if trial.failure is not None:
        often = f", after {trial.attempts} attempts" if trial.attempts > 1 else ""
        return text.append(f" ({trial.failure.kind}{often}): {trial.failure.cause}")
    if trial.values:
        text.append(f" {metric} {scores(trial, [metric])[0]}")
    if trial.broken:
        text.append(f", infeasible: not {', '.join(trial.broken)}", style="yellow")
    epochs = f"{trial.epochs} epoch" + ("" if trial.epochs == 1 else "s")
    return text.append(f" in {epochs}, {duration(trial.duration_s)}; {tables.describe(trial.params)}")
