"""How much each hyperparameter matters: PED-ANOVA (Watanabe et al. 2023, arXiv:2304.10255), by Optuna.

PED-ANOVA looks at the best trials and asks which hyperparameters' values differ most from those of all
trials. It is quick, and it sees what matters where it is good, not on average over the whole space.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import optuna

FEWEST = 10
"""Complete trials from which a share says anything."""


def importances(study: optuna.Study) -> dict[str, float]:
    """Returns the share of each hyperparameter that varies, the most important first.

    A hyperparameter that only some trials have is judged among those, and weighs as many as they are.

    Args:
        study: As `shown` makes it; of several objectives the first counts.

    Returns:
        Shares that sum to 1; empty where there are too few complete trials.
    """
    complete = [trial for trial in study.trials if trial.state.name == "COMPLETE"]
    names = list(dict.fromkeys(name for trial in complete for name in trial.params))
    found: dict[str, float] = {}
    everywhere = [name for name in names if all(name in trial.params for trial in complete)]
    if everywhere:
        found |= _shares(study, everywhere)
    for name in set(names) - set(everywhere):
        having = sum(name in trial.params for trial in complete)
        shares = _shares(study, [name, *everywhere]) if having >= FEWEST else {}
        found[name] = shares.get(name, 0.0) * having / len(complete)
    total = sum(found.values())
    ranked = sorted(found.items(), key=lambda item: (-item[1], item[0]))
    return {name: share / total for name, share in ranked} if total > 0 else {}


def _shares(study: optuna.Study, names: list[str]) -> dict[str, float]:
    from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

    several = len(study.directions) > 1
    complete = [t for t in study.trials if t.state.name == "COMPLETE" and all(n in t.params for n in names)]
    varied = [name for name in names if len({t.params[name] for t in complete}) > 1]
    if len(complete) < FEWEST or not varied:
        return {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = get_param_importances(
            study,
            evaluator=PedAnovaImportanceEvaluator(),
            params=varied,
            target=(lambda trial: trial.values[0]) if several else None,
        )
    return {name: float(share) for name, share in found.items()}
