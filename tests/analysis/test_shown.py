"""A study as charts see it."""

import optuna

from hpsearch.analysis.shown import shown


def test_trials_have_the_users_values(searched):
    copy = shown(searched)
    assert copy.directions == [optuna.study.StudyDirection.MAXIMIZE]
    for theirs, ours in zip(copy.trials, searched.trials, strict=True):
        assert theirs.params == dict(ours.params)
        assert (theirs.values or []) == list(ours.values)
    assert {trial.state.name for trial in copy.trials} == {"COMPLETE", "FAIL"}
    assert isinstance(copy.trials[0].distributions["learning_rate"], optuna.distributions.FloatDistribution)
    assert copy.trials[0].distributions["learning_rate"].log
    assert copy.trials[0].distributions["units"] == optuna.distributions.IntDistribution(16, 128)


def test_times_are_those_of_the_last_attempt(searched):
    for theirs, ours in zip(shown(searched).trials, searched.trials, strict=True):
        assert (theirs.datetime_complete - theirs.datetime_start).total_seconds() <= (
            ours.duration_s or 9
        ) + 0.1


def test_branches_and_what_does_not_vary(branched):
    copy = shown(branched)
    for theirs, ours in zip(copy.trials, branched.trials, strict=True):
        assert theirs.params == dict(ours.params)
    assert any("rate" not in trial.params for trial in copy.trials)


def test_optuna_can_read_it(branched):
    copy = shown(branched)
    assert copy.best_trial.number == branched.best[0].number
    optuna.visualization.matplotlib.plot_optimization_history(copy)


def test_a_table_has_a_row_a_trial(searched):
    frame = searched.trials_dataframe()
    assert list(frame.index) == [trial.number for trial in searched.trials]
    assert frame.loc[0, "params.units"] == searched.trials[0].params["units"]
    assert frame.loc[0, "metrics.val_accuracy"] == searched.trials[0].values[0]
    assert frame.loc[6, "failure"] == "error"
    assert frame["state"].value_counts().to_dict() == {"COMPLETE": 21, "FAILED": 3}
    assert list(frame.columns[:1]) == ["state"]
    assert list(frame.columns[-2:]) == ["failure", "cause"]
