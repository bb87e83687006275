"""What samplers make of trials that are infeasible."""

from importlib.util import find_spec

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.study import StudyDirection
from optuna.trial import TrialState, create_trial

from hpsearch import strategies
from hpsearch.experiment_search import StrategySection
from hpsearch.legs import LEG
from hpsearch.space import Parameter, Space, suggest
from hpsearch.strategies import Context
from hpsearch.strategies.penalty import advanced, penalised
from hpsearch.trial_record import record_infeasible

X = Parameter("x", "float", 0.2, low=0.0, high=1.0)
Y = Parameter("y", "float", 0.2, low=0.0, high=1.0)


def _failing_share(section, trials, *, told):
    """Plays a search whose upper half in x fails; returns the share of failures in its second half."""
    strategy = strategies.create(StrategySection(**section), Context(Space((X, Y)), ("maximize",), seed=3))
    study = optuna.create_study(direction="maximize", sampler=strategy.sampler)
    failed = []
    for _ in range(trials):
        trial = study.ask()
        x, y = suggest(trial, X), suggest(trial, Y)
        failed.append(x > 0.5)
        if not failed[-1]:
            study.tell(trial, -((x - 0.6) ** 2) - (y - 0.3) ** 2)
            continue
        if told:
            record_infeasible(trial)
        study.tell(trial, state=TrialState.FAIL)
    later = failed[trials // 2 :]
    return sum(later) / len(later)


_NO_TORCH = pytest.mark.skipif(find_spec("torch") is None, reason="needs torch")


@pytest.mark.parametrize(
    ("section", "trials"),
    [
        ({"name": "optuna", "sampler": {"name": "tpe", "n_startup_trials": 5}}, 40),
        ({"name": "bayesian"}, 24),
        pytest.param(
            {"name": "optuna", "sampler": {"name": "gp", "n_startup_trials": 4}},
            12,
            marks=[pytest.mark.slow, _NO_TORCH],
        ),
    ],
    ids=["tpe", "bayesian", "gp"],
)
def test_a_sampler_that_is_told_of_infeasible_trials_leaves_the_half_that_fails(section, trials):
    assert _failing_share(section, trials, told=False) > 0.7  # the best point seems to lie in there
    assert _failing_share(section, trials, told=True) <= 0.5


def test_the_oracle_is_shown_an_infeasible_trial_with_the_worst_value():
    options = {"num_initial_points": 2, "surrogate": "keras_tuner"}
    strategy = StrategySection(name="bayesian", options=options)
    sampler = strategies.create(strategy, Context(Space((X, Y)), ("maximize",))).sampler
    study = optuna.create_study(direction="maximize", sampler=sampler)
    for value in (0.9, 0.4, None, None):
        trial = study.ask()
        suggest(trial, X), suggest(trial, Y)
        if value is not None:
            study.tell(trial, value)
        elif trial.number == 2:
            record_infeasible(trial)
            study.tell(trial, state=TrialState.FAIL)
    history = sampler._inner(3)._history(study, study.trials[3])
    assert [(set(values), score) for values, score in history] == [
        ({"x", "y"}, score) for score in (-0.9, -0.4, -0.4)
    ]


def _trial(number, state, value=None, *, infeasible=False, **params):
    trial = create_trial(
        state=state,
        value=value,
        params=params,
        distributions={name: FloatDistribution(0, 1) for name in params},
    )
    trial.number = number
    if infeasible:
        record_infeasible(trial)
    return trial


def test_infeasible_trials_have_the_worst_value_so_far_and_others_stay_as_they_are():
    trials = [
        _trial(0, TrialState.COMPLETE, 0.3, x=0.1),
        _trial(1, TrialState.FAIL, x=0.2, infeasible=True),
        _trial(2, TrialState.FAIL, x=0.3),
        _trial(3, TrialState.COMPLETE, 0.9, x=0.4),
    ]
    shown = penalised(trials, [StudyDirection.MAXIMIZE])
    assert [(t.number, t.state) for t in shown] == [
        (0, TrialState.COMPLETE),
        (1, TrialState.COMPLETE),
        (2, TrialState.FAIL),
        (3, TrialState.COMPLETE),
    ]
    assert shown[1].value == 0.3
    assert penalised(trials, [StudyDirection.MINIMIZE])[1].value == 0.9
    assert trials[1].state == TrialState.FAIL  # the study's own trial is not touched


def test_a_trial_that_failed_before_it_had_chosen_everything_does_not_shrink_the_space():
    whole = _trial(0, TrialState.COMPLETE, 0.3, x=0.1, y=0.5)
    half = _trial(1, TrialState.FAIL, x=0.2, infeasible=True)
    assert penalised([whole, half], [StudyDirection.MAXIMIZE])[1].state == TrialState.FAIL


def _stopped(number, vector, constraints=None, state=TrialState.RUNNING):
    trial = create_trial(state=state, params={"x": 0.5}, distributions={"x": FloatDistribution(0, 1)})
    trial.number = number
    record = {"until": 3, "values": {"1": [9.0] * len(vector), "3": vector}, "spans": [], "paused": None}
    trial.set_user_attr(LEG, record | {"constraints": {"3": constraints or {}}})
    return trial


def test_of_several_objectives_those_that_paused_are_complete_with_the_values_of_their_last_rung():
    complete = [create_trial(values=values, constraints={"c": -1.0, "d": 0.5}) for values in ([1, 5], [2, 4])]
    for number, trial in enumerate(complete):
        trial.number = number
    trials = [
        *complete,
        _stopped(2, [3.0, 3.0]),
        _stopped(3, [None, 7.0, 0.1], {"c": 0.2}, TrialState.PRUNED),  # 0.1 stands in for the first
        _stopped(4, [4.0, 1.0], state=TrialState.FAIL),
        _trial(5, TrialState.RUNNING, x=0.2),
        _trial(6, TrialState.PRUNED, x=0.2),
    ]
    shown = advanced(trials, [StudyDirection.MAXIMIZE, StudyDirection.MINIMIZE])
    assert [(t.number, t.state.name, t.values) for t in shown] == [
        (0, "COMPLETE", [1, 5]),
        (1, "COMPLETE", [2, 4]),
        (2, "COMPLETE", [3.0, 3.0]),
        (3, "COMPLETE", [1, 7.0]),  # what is not known is as bad as the worst
        (4, "COMPLETE", [4.0, 1.0]),
        (5, "RUNNING", None),
        (6, "PRUNED", None),
    ]
    assert [t.constraints for t in shown[2:4]] == [{"c": 0.0, "d": 0.0}, {"c": 0.2, "d": 0.0}]
    assert trials[3].state == TrialState.PRUNED  # the study's own trial is not touched
