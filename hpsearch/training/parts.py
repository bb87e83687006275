"""A trial of several parts: folds of a cross-validation, or repeats. Each is trained as a trial of its own.

    trials/0007/                 the model of the best part, and what it left beside it
        history.csv              a line a part: the means over the parts so far
        parts/fold-1/            what a trial of one training leaves, but for the model in the end
        parts/fold-2/            ...

A part that has ended is told again from its `result.json`, one that was cut off goes on from its state: so a
trial that runs again begins where it was.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hpsearch.objective import resolve
from hpsearch.parts import PARTS_FOLDER, PartResult, means
from hpsearch.training import record
from hpsearch.training.failures import failure_of
from hpsearch.training.run import run_trial, tell_again
from hpsearch.trial import MODEL_FILE, Epoch, Failure, FailureKind, Result, TrialSpec, Value

if TYPE_CHECKING:
    from hpsearch.channel import Channel
    from hpsearch.experiment import Experiment
    from hpsearch.parts import Part
    from hpsearch.space import Parameter


def run_parts(experiment: Experiment, spec: TrialSpec, channel: Channel) -> Result | Failure:
    """Trains the parts of one trial, and leaves its files in its folder.

    The trial's metrics are the means of the parts'. After each part the means so far are reported, and the
    trial may be pruned. Its model is that of the part with the best value of the first objective.

    Args:
        experiment: What is searched; its `evaluation` names the parts.
        spec: Which trial.
        channel: The way to the driver: it hears the epochs of every part too.

    Returns:
        The result, with `pruned` if the driver stopped it, `paused` after the part `spec.pause_after`; or why
        a part failed.
    """
    folder = Path(spec.folder)
    try:
        if (told := record.read_result(folder, experiment, spec)) is not None:
            return tell_again(*told, channel)
        record.forget_result(folder)
        return _run(experiment, spec, channel, folder)
    except (Exception, SystemExit, KeyboardInterrupt) as error:
        return failure_of(error, FailureKind.ERROR)


def _run(experiment: Experiment, spec: TrialSpec, channel: Channel, folder: Path) -> Result | Failure:
    parts = experiment.evaluation.parts
    forwarding = _Forwarding(channel, spec.params)
    results: list[Result] = []
    reports: list[Epoch] = []
    pruned = False
    for part in parts:
        part_folder = folder / PARTS_FOLDER / part.name
        part_folder.mkdir(parents=True, exist_ok=True)
        outcome = run_trial(
            experiment,
            TrialSpec(
                spec.number,
                dict(forwarding.chosen),
                seed=part_seed(spec.seed, part),
                folder=str(part_folder),
                attempt=spec.attempt,
                part=part,
            ),
            forwarding.of(part),
        )
        if isinstance(outcome, Failure):
            return replace(outcome, cause=f"{part.label}: {outcome.cause}")
        results.append(outcome)
        reports.append(Epoch(part.number, means([each.metrics for each in results]), forwarding.ended_at_s))
        ends = part is parts[-1]
        pruned = not channel.report(reports[-1], await_answer=spec.prunable and not ends)
        if pruned or part.number == spec.pause_after:
            break
    result = _joined(experiment, spec, parts, results, pruned=pruned)
    best = next(each.part for each in result.parts if each.kept)
    files = _take(folder / PARTS_FOLDER / best.name, folder, results[best.number - 1].files)
    written = (record.write_params(folder, result.params), record.write_history(folder, reports))
    result = replace(result, files=tuple(dict.fromkeys((*written, *files))))
    if not result.paused:
        record.write_result(folder, experiment, spec, forwarding.chosen, reports, result)
        for part in parts[: len(results)]:
            (folder / PARTS_FOLDER / part.name / MODEL_FILE).unlink(missing_ok=True)
    return result


def part_seed(seed: int, part: Part) -> int:
    """Derives a part's seed, 31 bits, from its trial's."""
    return int(np.random.SeedSequence((seed, part.number)).generate_state(1)[0] & 0x7FFFFFFF)


def _joined(
    experiment: Experiment, spec: TrialSpec, parts: tuple[Part, ...], results: list[Result], *, pruned: bool
) -> Result:
    lead = experiment.objective[0]
    sign = -1.0 if resolve(lead, (lead.metric,)).direction == "maximize" else 1.0
    best = min(range(len(results)), key=lambda index: sign * results[index].metrics[lead.metric])
    params: dict[str, Value] = {}
    for each in results:
        params |= each.params
    return Result(
        params=params,
        metrics=means([each.metrics for each in results]),
        epochs=sum(each.epochs for each in results),
        best_epoch=0,
        duration_s=sum(each.duration_s for each in results),
        pruned=pruned,
        paused=not pruned and len(results) < len(parts),
        facts=results[best].facts,
        parts=tuple(
            PartResult(
                part=part,
                seed=part_seed(spec.seed, part),
                metrics=each.metrics,
                epochs=each.epochs,
                best_epoch=each.best_epoch,
                duration_s=each.duration_s,
                kept=index == best,
            )
            for index, (part, each) in enumerate(zip(parts, results, strict=False))
        ),
    )


def _take(source: Path, target: Path, names: tuple[str, ...]) -> list[str]:
    """Takes a part's files over, but for those that the trial has of its own; returns their names."""
    taken = [name for name in names if name not in (record.HISTORY, record.PARAMS)]
    for name in taken:
        copy = target / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.unlink(missing_ok=True)
        try:
            os.link(source / name, copy)
        except OSError:  # a file system without links
            shutil.copyfile(source / name, copy)
    return taken


class _Forwarding:
    """The channel of the parts: what they ask goes to the driver once, their epochs as theirs."""

    def __init__(self, channel: Channel, params: Mapping[str, Value]) -> None:
        self._channel = channel
        self._part: Part | None = None
        self._told: Mapping[str, Value] | None = None
        self.chosen: dict[str, Value] = dict(params)
        """What the driver chose so far: later parts have the same."""
        self.ended_at_s = 0.0
        """When the last epoch ended."""

    def of(self, part: Part) -> _Forwarding:
        """Turns to the next part."""
        self._part = part
        return self

    def suggest(self, parameter: Parameter) -> Value:
        value = self.chosen[parameter.name] = self._channel.suggest(parameter)
        return value

    def built(self, params: Mapping[str, Value]) -> None:
        if params != self._told:
            self._told = dict(params)
            self._channel.built(params)

    def report(self, epoch: Epoch, *, await_answer: bool) -> bool:  # noqa: ARG002 (nothing prunes a part)
        self.ended_at_s = epoch.ended_at_s
        return self._channel.report(replace(epoch, part=self._part), await_answer=False)
