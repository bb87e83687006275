"""How trials ended, and what that says about those that did not: pruned, or no longer improving."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import yaml

from hpsearch.analysis.tried import declared_in, place
from hpsearch.space import Parameter
from hpsearch.trial import TrialState
from hpsearch.writing import number, score

if TYPE_CHECKING:
    from hpsearch.study import Study
    from hpsearch.trial_view import TrialView

NEAR = 0.15
"""Two values no further apart, as a part of the range, are expected to do about as well."""


def endings(study: Study) -> Iterator[str]:
    """Yields a sentence about the trials that were pruned, and one about those that ended by themselves."""
    if pruned := pruned_trials(study):
        yield _of_pruned(study, pruned)
    complete = [t for t in study.ranking if t.feasible and not t.parts]
    training = training_of(study)
    longest = training.get("epochs", 0)
    before = [trial for trial in complete if trial.epochs < trial.params.get("epochs", longest)]
    patience = (training.get("early_stopping") or {}).get("patience")
    if before and patience is not None:
        many = len(before) * 3 >= len(complete)
        longer = " Where values go up and down, a longer `patience` may find more." if many else ""
        yield (
            f"{len(before)} of {len(complete)} complete trials ended before their last epoch, because they "
            f"had not improved for {patience} epochs (`early_stopping`)." + longer
        )


def pruned_trials(study: Study) -> list[TrialView]:
    """Returns the trials of one training that were pruned while they trained, the best first."""
    metric, direction = next(iter(study.objectives.items()))
    sign = -1 if direction == "maximize" else 1
    pruned = [t for t in study.trials if t.state is TrialState.PRUNED and t.epochs and not t.parts]
    return sorted(pruned, key=lambda trial: sign * trial.metrics.get(metric, sign * math.inf))


def _of_pruned(study: Study, pruned: Sequence[TrialView]) -> str:
    first = sum(trial.epochs == 1 for trial in pruned)
    at_once = f", {first} of them after their first epoch" if first else ""
    said = f"{len(pruned)} trials were pruned: others were better after as many epochs{at_once}."
    metric, best = next(iter(study.objectives)), pruned[0]
    if metric in best.metrics:
        said += (
            f" The best of them was trial {best.number}, which had reached {score(best.metrics[metric])} "
            f"by epoch {best.epochs}."
        )
    if "pruner" in str(study.facts.get("strategy")) and first * 2 > len(pruned) and first >= 3:
        said += (
            " Settings that begin slowly end so, too, whatever they might become: a pruner's "
            "`n_warmup_steps` gives them time."
        )
    return said


def near_the_best(study: Study) -> str | None:
    """Says how far a trial fell behind that is next to the best: one number differs, by little.

    Returns:
        A sentence about the one furthest behind; None if there is none, or if it is no further behind than
        the second.
    """
    ranking = tuple(trial for trial in study.ranking if trial.feasible)
    if len(ranking) < 3 or len(study.objectives) > 1 or ranking[0].parts:
        return None
    best, second = ranking[:2]
    declared = declared_in(study)
    near = [trial for trial in ranking[1:] if _is_near(best, trial, declared)]
    if not near:
        return None
    other = near[-1]
    gap = abs(best.values[0] - other.values[0])
    if gap <= abs(best.values[0] - second.values[0]):
        return None
    names = _differences(best, other)
    if not names:
        same = f"Trial {other.number} has the settings of trial {best.number}"
        return f"{same}, and is {gap:.4f} behind: so much is chance."
    (name,) = names
    return (
        f"Trial {other.number} differs from trial {best.number} in `{name}` alone "
        f"({number(other.params.get(name))} instead of {number(best.params.get(name))}), and is {gap:.4f} "
        f"behind: {_stopped(other, best)} or by chance, and then the first places are a matter of luck."
    )


def _is_near(best: TrialView, other: TrialView, declared: Mapping[str, Parameter]) -> bool:
    names = _differences(best, other)
    if len(names) != 1:
        return not names
    (name,) = names
    places = [place(trial.params.get(name), declared.get(name)) for trial in (best, other)]
    return None not in places and abs(places[0] - places[1]) <= NEAR  # type: ignore[operator]


def _stopped(other: TrialView, best: TrialView) -> str:
    """Names what may be the cause, besides chance."""
    if other.epochs >= best.epochs:
        return "by that setting,"
    ended = f"at epoch {other.epochs}, trial {best.number} at {best.epochs}"
    return f"by that setting, because it ended too early ({ended}),"


def _differences(one: TrialView, other: TrialView) -> list[str]:
    names = {*one.params, *other.params}
    return [name for name in names if one.params.get(name) != other.params.get(name)]


def training_of(study: Study) -> dict[str, Any]:
    """Returns the section `training` of the experiment; empty if it is not there."""
    written = yaml.safe_load(study.experiment)
    section = written.get("training") if isinstance(written, dict) else None
    return section if isinstance(section, dict) else {}
