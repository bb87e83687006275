"""The wrapper around every sampler, and what it remembers."""

import pickle

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import RandomSampler
from optuna.trial import TrialState

from hpsearch.space import SpaceExhausted
from hpsearch.strategies.distinct import PROPOSAL, DistinctSampler
from hpsearch.strategies.grid import FirstValue
from hpsearch.strategies.visited import Visited, index_of, size_of, value_at


class Fixed(optuna.samplers.BaseSampler):
    """Proposes the same values together, always, and counts how often it was made."""

    made = 0

    def __init__(self, **values):
        self.values = values
        Fixed.made += 1

    def infer_relative_search_space(self, study, trial):
        return {}

    def sample_relative(self, study, trial, search_space):
        return self.values

    def sample_independent(self, study, trial, param_name, param_distribution):
        return value_at(param_distribution, 0)


def study_of(sampler, **settings):
    return optuna.create_study(sampler=sampler, **settings)


def run(study, declare, trials):
    points = []
    for _ in range(trials):
        trial = study.ask()
        points.append(declare(trial))
        study.tell(trial, 0.0)
    return points


class TestDistinct:
    def test_a_number_gives_way_to_the_nearest_one(self):
        study = study_of(DistinctSampler(lambda _: Fixed(x=5), 0))
        points = run(study, lambda trial: trial.suggest_int("x", 0, 8), 9)
        assert points == [5, 4, 6, 3, 7, 2, 8, 1, 0]
        assert study.sampler.exhausted(study)
        with pytest.raises(SpaceExhausted, match="every value of `x` was tried"):
            study.ask().suggest_int("x", 0, 8)

    def test_a_category_gives_way_to_any_other(self):
        def orders(seed):
            study = study_of(DistinctSampler(lambda _: Fixed(x="a"), seed))
            return run(study, lambda trial: trial.suggest_categorical("x", list("abcdef")), 6)

        assert all(order[0] == "a" and sorted(order) == list("abcdef") for order in map(orders, range(4)))
        assert len({tuple(orders(seed)) for seed in range(4)}) > 1
        assert orders(3) == orders(3)

    def test_of_a_branch_only_what_is_left_is_proposed(self):
        def declare(trial):
            a = trial.suggest_categorical("a", ["one", "many"])
            return (a, trial.suggest_int("b", 0, 3)) if a == "many" else (a,)

        study = study_of(DistinctSampler(lambda _: Fixed(a="one", b=3), 0))
        points = run(study, declare, 5)
        assert points == [("one",), *(("many", b) for b in (3, 2, 1, 0))]
        assert study.sampler.exhausted(study)

    def test_a_continuous_range_is_never_exhausted(self):
        study = study_of(DistinctSampler(lambda _: Fixed(a=0, x=0.5), 0))
        points = run(study, lambda t: (t.suggest_int("a", 0, 1), t.suggest_float("x", 0, 1)), 4)
        assert points == [(0, 0.5)] * 4
        assert not study.sampler.exhausted(study)

    def test_failed_and_pruned_trials_count(self):
        study = study_of(DistinctSampler(lambda _: Fixed(x=0), 0))
        for state in (TrialState.FAIL, TrialState.PRUNED):
            trial = study.ask()
            trial.suggest_int("x", 0, 2)
            study.tell(trial, state=state)
        trial = study.ask()
        trial.suggest_int("x", 0, 2)
        with pytest.warns(UserWarning, match="nan is not acceptable"):
            study.tell(trial, float("nan"))  # Optuna makes a failure of it
        assert sorted(t.params["x"] for t in study.trials) == [0, 1, 2]
        assert study.sampler.exhausted(study)

    def test_a_trial_that_failed_before_its_first_hyperparameter_does_not_count(self):
        study = study_of(DistinctSampler(RandomSampler, 0))
        study.tell(study.ask(), state=TrialState.FAIL)
        assert not study.sampler.exhausted(study)

    def test_a_model_without_hyperparameters_is_exhausted_after_one_trial(self):
        study = study_of(DistinctSampler(RandomSampler, 0))
        trial = study.ask()
        assert not study.sampler.exhausted(study)
        study.tell(trial, 1.0)
        assert study.sampler.exhausted(study)

    def test_running_trials_count_until_they_declare_more(self):
        study = study_of(DistinctSampler(RandomSampler, 0))
        first, second = study.ask(), study.ask()
        assert {first.suggest_int("x", 0, 1), second.suggest_int("x", 0, 1)} == {0, 1}
        assert study.sampler.exhausted(study)
        first.suggest_int("y", 0, 1)  # as a model does in its `fit`
        assert not study.sampler.exhausted(study)
        assert study.ask().suggest_int("x", 0, 1) == first.params["x"]

    def test_trials_it_did_not_propose_count_too(self):
        study = study_of(DistinctSampler(lambda _: Fixed(x=0), 0))
        study.add_trial(
            optuna.create_trial(params={"x": 0}, distributions={"x": IntDistribution(0, 2)}, value=0.0)
        )
        assert run(study, lambda trial: trial.suggest_int("x", 0, 2), 2) == [1, 2]

    def test_a_hidden_bracket_does_not_hide_trials(self):
        """Under Hyperband, Optuna shows a sampler the trials of one bracket only."""
        pruner = optuna.pruners.HyperbandPruner(min_resource=1, max_resource=9)
        study = study_of(DistinctSampler(RandomSampler, 0), pruner=pruner)
        points = []
        for _ in range(12):
            trial = study.ask()
            points.append(trial.suggest_int("x", 0, 11))
            trial.report(1.0, 1)
            trial.should_prune()
            study.tell(trial, 1.0)
        assert sorted(points) == list(range(12))


class TestSeeded:
    def test_each_trial_and_each_hyperparameter_draws_otherwise(self):
        study = study_of(DistinctSampler(RandomSampler, 0))
        run(study, lambda t: [t.suggest_float(name, 0, 1) for name in "xyz"], 5)
        values = [value for trial in study.trials for value in trial.params.values()]
        assert len(set(values)) == 15

    def test_the_order_in_which_trials_ask_does_not_matter(self):
        def play(order):
            study = study_of(DistinctSampler(RandomSampler, 7))
            trials = [study.ask(), study.ask()]
            for which, name in order:
                trials[which].suggest_float(name, 0, 1)
            return [trial.params for trial in study.trials]

        assert play([(0, "x"), (0, "y"), (1, "x")]) == play([(1, "x"), (0, "x"), (0, "y")])

    def test_what_was_proposed_together_outlives_the_process(self, tmp_path):
        def storage():
            backend = optuna.storages.journal.JournalFileBackend(str(tmp_path / "study.log"))
            return optuna.storages.JournalStorage(backend)

        study = study_of(
            DistinctSampler(lambda _: Fixed(x=0.25, y=0.5), 0), storage=storage(), study_name="s"
        )
        trial = study.ask()
        assert trial.suggest_float("x", 0, 1) == 0.25
        assert study.trials[0].system_attrs[PROPOSAL] == {"x": 0.25, "y": 0.5}
        sampler = DistinctSampler(lambda _: Fixed(x=0.75, y=0.75), 0)
        again = optuna.load_study(study_name="s", storage=storage(), sampler=sampler)
        assert optuna.trial.Trial(again, trial._trial_id).suggest_float("y", 0, 1) == 0.5

    def test_a_proposal_that_no_longer_fits_is_drawn_anew(self):
        study = study_of(DistinctSampler(lambda _: Fixed(x=9, c="gone"), 0))
        trial = study.ask()
        assert trial.suggest_int("x", 0, 3) == 0
        assert trial.suggest_categorical("c", ["here"] * 1 + ["there"]) == "here"

    def test_works_with_a_relational_database(self, tmp_path):
        def play(stop):
            points = []
            for trials in (stop, 4 - stop):
                study = optuna.create_study(
                    study_name=f"s{stop}",
                    storage=f"sqlite:///{tmp_path}/studies.db",
                    sampler=DistinctSampler(RandomSampler, 0),
                    load_if_exists=True,
                )
                points += run(study, lambda t: (t.suggest_int("z", 0, 1), t.suggest_int("a", 0, 1)), trials)
            return points

        whole = play(4)
        assert len(set(whole)) == 4
        assert play(2) == whole

    def test_can_be_pickled(self):
        sampler = pickle.loads(pickle.dumps(DistinctSampler(RandomSampler, 3)))
        declare = lambda trial: trial.suggest_float("x", 0, 1)  # noqa: E731
        assert run(study_of(sampler), declare, 2) == run(
            study_of(DistinctSampler(RandomSampler, 3)), declare, 2
        )


class TestGrid:
    def test_goes_through_in_order_without_building_the_product(self):
        def declare(trial):
            return tuple(trial.suggest_categorical(f"x{i}", list(range(10))) for i in range(30))  # 10^30

        study = study_of(DistinctSampler(lambda _: FirstValue(), 0, in_order=True))
        points = run(study, declare, 12)
        assert [point[-2:] for point in points] == [(0, i) for i in range(10)] + [(1, 0), (1, 1)]


class TestVisited:
    @pytest.mark.parametrize(
        ("distribution", "values"),
        [
            (IntDistribution(3, 9, step=3), [3, 6, 9]),
            (IntDistribution(1, 4, log=True), [1, 2, 3, 4]),
            (FloatDistribution(0.0, 0.5, step=0.1), [0.0, 0.1, 0.2, 0.3, 0.4, 0.5]),
            (FloatDistribution(0.5, 0.5), [0.5]),
            (CategoricalDistribution(("b", "a", 3)), ["b", "a", 3]),
        ],
    )
    def test_values_of_a_distribution(self, distribution, values):
        assert size_of(distribution) == len(values)
        assert [value_at(distribution, i) for i in range(len(values))] == values
        assert [index_of(distribution, value) for value in values] == list(range(len(values)))

    @pytest.mark.parametrize("log", [True, False])
    def test_a_continuous_distribution_has_no_size(self, log):
        assert size_of(FloatDistribution(0.1, 1.0, log=log)) is None

    def test_a_trial_is_looked_at_once_when_it_has_ended(self, monkeypatch):
        """So an ask costs the same after 10 and after 500 trials."""
        followed = []
        follow = Visited._follow
        monkeypatch.setattr(
            Visited, "_follow", lambda self, t: (followed.append(t.number), follow(self, t))[1]
        )
        study = study_of(DistinctSampler(RandomSampler, 0))
        for number in range(500):
            followed.clear()
            assert not study.sampler.exhausted(study)
            trial = study.ask()
            for name in "abc":
                trial.suggest_int(name, 0, 9)
            study.tell(trial, 0.0)
            assert set(followed) <= {number - 1, number}
            assert len(followed) <= 4

    def test_a_value_outside_its_distribution_is_left_alone(self):
        """As of a trial that someone enqueued."""
        study = study_of(DistinctSampler(RandomSampler, 0))
        study.enqueue_trial({"x": 7})
        with pytest.warns(UserWarning, match="out of range"):
            study.ask().suggest_int("x", 0, 1)
        assert {study.ask().suggest_int("x", 0, 1), study.ask().suggest_int("x", 0, 1)} == {0, 1}
