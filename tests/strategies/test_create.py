"""Strategies by name: what an experiment can ask for, and what it is told when it asks for something else."""

# ruff: noqa: E501  messages in full

import subprocess
import sys

import optuna
import pytest

from hpsearch import strategies
from hpsearch.errors import StrategyError
from hpsearch.experiment_search import StrategySection
from hpsearch.space import Condition, Parameter, Space
from hpsearch.strategies import Context
from hpsearch.strategies.pruners import PRUNERS

LR = Parameter("lr", "float", 0.01, low=1e-4, high=0.1, sampling="log")
UNITS = Parameter("units", "int", 16, low=16, high=64)
ACTIVATION = Parameter("activation", "choice", "relu", values=("relu", "tanh"))
WHERE = "x.yaml: search.strategy"


def create(*parameters, directions=("minimize",), epochs=27, **section):
    context = Context(Space(parameters), directions, epochs=epochs, where=WHERE)
    defaults = StrategySection(name="optuna").model_dump()
    return strategies.create(StrategySection.model_construct(**{**defaults, **section}), context)


def test_strategies_are_found_in_their_folder():
    assert strategies.names() == ("asha", "auto", "bayesian", "grid", "hyperband", "optuna", "random")


def test_driver_side_loads_neither_tensorflow_nor_torch():
    code = (
        "import sys\n"
        "import hpsearch.space, hpsearch.strategies\n"
        "assert 'optuna' not in sys.modules\n"
        "hpsearch.strategies.names()\n"
        "print([name for name in ('tensorflow', 'keras', 'keras_tuner', 'torch') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("section", "summary", "prunes"),
    [
        ({"name": "grid"}, "grid", False),
        ({"name": "random"}, "random", False),
        ({"name": "random", "pruner": "median"}, "random", True),
        ({"name": "bayesian"}, "bayesian: gaussian process", False),
        ({"name": "hyperband"}, "hyperband", True),
        ({}, "optuna: tpe", False),
        ({"sampler": "nsgaii", "pruner": "none"}, "optuna: nsgaii", False),
        ({"sampler": {"name": "qmc", "qmc_type": "halton"}, "pruner": {"name": "percentile"}}, "optuna: qmc, percentile pruner", True),
    ],
)  # fmt: skip
def test_says_what_it_is(section, summary, prunes):
    strategy = create(UNITS, **section)
    assert (strategy.summary, strategy.prunes) == (summary, prunes)


@pytest.mark.parametrize("name", [name for name in PRUNERS if name != "threshold"])
def test_every_pruner_has_defaults(name):
    pruner = create(UNITS, pruner=name).pruner
    assert type(pruner) is PRUNERS[name]


class TestPruners:
    def test_hyperband_runs_to_the_last_epoch(self):
        assert create(UNITS, pruner="hyperband").pruner._max_resource == 27
        assert create(UNITS, name="hyperband").pruner._max_resource == 27
        options = {"max_resource": 9, "reduction_factor": 2}
        pruner = create(UNITS, name="hyperband", options=options).pruner
        assert (pruner._max_resource, pruner._reduction_factor) == (9, 2)

    def test_options_reach_it(self):
        pruner = create(UNITS, pruner={"name": "median", "n_startup_trials": 3, "n_warmup_steps": 2}).pruner
        assert (pruner._n_startup_trials, pruner._n_warmup_steps) == (3, 2)

    def test_patient_wraps_another(self):
        spec = {"name": "patient", "patience": 2, "wrapped_pruner": {"name": "percentile", "percentile": 10}}
        pruner = create(UNITS, pruner=spec).pruner
        assert isinstance(pruner._wrapped_pruner, optuna.pruners.PercentilePruner)
        assert (pruner._patience, pruner._wrapped_pruner._percentile) == (2, 10)
        assert create(UNITS, pruner={**spec, "wrapped_pruner": "none"}).pruner._wrapped_pruner is None


class TestSamplers:
    def test_options_reach_the_sampler_of_every_trial(self):
        sampler = create(UNITS, sampler={"name": "nsgaii", "population_size": 7}).sampler
        assert [sampler._inner(number)._population_size for number in (0, 1)] == [7, 7]

    def test_a_quasi_random_sequence_is_one_for_all_trials(self):
        sampler = create(UNITS, sampler="qmc").sampler
        assert sampler._inner(0)._seed == sampler._inner(1)._seed

    def test_tpe_models_branches_together_unless_told_otherwise(self):
        assert create(UNITS).sampler._inner(0).inner._group
        assert (
            not create(UNITS, sampler={"name": "tpe", "multivariate": False}).sampler._inner(0).inner._group
        )
        assert not create(UNITS, directions=("minimize", "maximize")).sampler._inner(0).inner._group

    def test_several_objectives(self):
        for sampler in ("tpe", "nsgaii", "nsgaiii", "qmc", "random"):
            strategy = create(UNITS, LR, directions=("minimize", "maximize"), sampler=sampler)
            study = optuna.create_study(directions=["minimize", "maximize"], sampler=strategy.sampler)
            study.optimize(
                lambda t: (t.suggest_int("units", 16, 64), t.suggest_float("lr", 0.1, 1)), n_trials=12
            )
            assert len(study.best_trials) >= 1

    def test_cmaes_says_what_it_draws_at_random(self):
        assert create(LR, ACTIVATION, sampler="cmaes").warnings == (
            f"{WHERE}.sampler: `cmaes` optimises numeric ranges only; drawn at random: `activation`.",
        )
        assert create(LR, sampler="cmaes").warnings == ()

    def test_gp_without_torch(self, monkeypatch):
        monkeypatch.setattr("hpsearch.strategies.optuna.find_spec", lambda package: None)
        with pytest.raises(StrategyError) as error:
            create(LR, sampler="gp")
        assert str(error.value) == (
            f"{WHERE}.sampler: sampler `gp` needs the package `torch`. Run `pip install 'hpsearch[gp]'`."
        )


@pytest.mark.parametrize(
    ("parameters", "section", "message"),
    [
        ((UNITS,), {"name": "optna"}, ".name: unknown strategy; expected one of `asha`, `auto`, `bayesian`, `grid`, `hyperband`, `optuna`, `random`; received optna. Did you mean `optuna`?"),
        ((UNITS,), {"sampler": "tpee"}, ".sampler: unknown sampler; expected one of `tpe`, `gp`, `cmaes`, `nsgaii`, `nsgaiii`, `qmc`, `random`; received tpee. Did you mean `tpe`?"),
        ((UNITS,), {"pruner": "medain"}, ".pruner: unknown pruner; expected one of `none`, `median`, `percentile`, `successive_halving`, `hyperband`, `patient`, `threshold`, `wilcoxon`; received medain. Did you mean `median`?"),
        ((UNITS,), {"sampler": {"n_startup_trials": 3}}, ".sampler: no name; expected a name, or `{name: ..., option: ...}`; received {'n_startup_trials': 3}."),
        ((UNITS,), {"sampler": {"name": "tpe", "n_startup": 3}}, ".sampler.n_startup: sampler `tpe` has no such option; expected one of `n_startup_trials`, `n_ei_candidates`, `multivariate`, `group`, `constant_liar`. Did you mean `n_startup_trials`?"),
        ((UNITS,), {"sampler": {"name": "tpe", "seed": 3}}, ".sampler.seed: sampler `tpe` has no such option; expected one of `n_startup_trials`, `n_ei_candidates`, `multivariate`, `group`, `constant_liar`."),
        ((UNITS,), {"sampler": {"name": "random", "x": 3}}, ".sampler.x: sampler `random` has no such option; expected none."),
        ((UNITS,), {"sampler": {"name": "tpe", "n_startup_trials": "3"}}, ".sampler.n_startup_trials: wrong type; expected a whole number; received '3'."),
        ((UNITS,), {"sampler": {"name": "tpe", "n_startup_trials": True}}, ".sampler.n_startup_trials: wrong type; expected a whole number; received True."),
        ((UNITS,), {"sampler": {"name": "nsgaii", "population_size": 1}}, ".sampler: `population_size` must be greater than or equal to 2; received {'population_size': 1}."),
        ((UNITS,), {"sampler": {"name": "qmc", "qmc_type": "sobel"}}, ".sampler: The `qmc_type='sobel'` is invalid. Choose either `halton` or `sobol`; received {'qmc_type': 'sobel'}."),
        ((UNITS,), {"options": {"n_startup_trials": 3}}, ".options.n_startup_trials: strategy `optuna` has no such option; expected none."),
        ((UNITS,), {"pruner": {"name": "median", "percentile": 3}}, ".pruner.percentile: pruner `median` has no such option; expected one of `n_startup_trials`, `n_warmup_steps`, `interval_steps`, `n_min_trials`."),
        ((UNITS,), {"pruner": {"name": "percentile", "percentile": 300}}, ".pruner: Percentile must be between 0 and 100 inclusive, but got percentile=300; received {'percentile': 300}."),
        ((UNITS,), {"pruner": "threshold"}, ".pruner: a threshold needs `lower` or `upper`. For example `pruner: {name: threshold, upper: 10.0}`."),
        ((UNITS,), {"pruner": {"name": "patient", "wrapped_pruner": "mean"}}, ".pruner.wrapped_pruner: unknown pruner; expected one of `none`, `median`, `percentile`, `successive_halving`, `hyperband`, `patient`, `threshold`, `wilcoxon`; received mean. Did you mean `median`?"),
        ((UNITS,), {"name": "hyperband", "pruner": "median"}, ".pruner: strategy `hyperband` is a pruner itself; received 'median'. Give its options under `options`, or use `name: optuna` to choose a pruner."),
        ((UNITS,), {"name": "hyperband", "options": {"reduction": 2}}, ".options.reduction: strategy `hyperband` has no such option; expected one of `min_resource`, `max_resource`, `reduction_factor`, `bootstrap_count`. Did you mean `reduction_factor`?"),
        ((UNITS,), {"name": "grid", "sampler": "tpe"}, ".sampler: strategy `grid` has no choice of samplers; received 'tpe'. Use `name: optuna` to choose one."),
        ((UNITS,), {"name": "grid", "options": {"n": 3}}, ".options.n: strategy `grid` has no such option; expected none."),
        ((UNITS, LR), {"name": "grid"}, ": a grid cannot cover `lr`, whose range is continuous. Give a step or a list of values, e.g. `search.space: {lr: {step: 0.1}}`, or choose another strategy."),
        ((ACTIVATION,), {"sampler": "cmaes"}, ".sampler: sampler `cmaes` needs at least one numeric range; received `activation` (choice). Use `tpe`."),
        ((UNITS,), {"name": "bayesian", "options": {"surrogate": "keras_tuner", "beta": 0}}, ".options.beta: must be above 0; received 0."),
        ((UNITS,), {"name": "bayesian", "options": {"surrogate": "keras_tuner", "max_trials": 3}}, ".options.max_trials: strategy `bayesian` has no such option; expected one of `num_initial_points`, `alpha`, `beta`."),
    ],
)  # fmt: skip
def test_says_what_is_wrong(parameters, section, message):
    with pytest.raises(StrategyError) as error:
        create(*parameters, **section)
    assert str(error.value) == WHERE + message


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"pruner": "median"}, ".pruner: trials cannot be pruned when there are several objectives; received median. Leave the pruner out, or keep one objective."),
        ({"name": "hyperband"}, ".pruner: trials cannot be pruned when there are several objectives; received hyperband. Leave the pruner out, or keep one objective."),
        ({"sampler": "cmaes"}, ".sampler: sampler `cmaes` has one objective; received 2 objectives. Use `tpe` or `nsgaii`."),
        ({"name": "bayesian"}, ": strategy `bayesian` has one objective; received 2 objectives. Use `name: asha`, or `name: optuna` with sampler `nsgaii` or `tpe`."),
    ],
)  # fmt: skip
def test_what_needs_one_objective(section, message):
    with pytest.raises(StrategyError) as error:
        create(UNITS, directions=("minimize", "maximize"), **section)
    assert str(error.value) == WHERE + message


def test_a_grid_covers_what_is_made_finite():
    given = (Condition("activation", ("tanh",)),)
    create(
        ACTIVATION, Parameter("f", "float", 0.0, low=0.0, high=1.0, step=0.5, conditions=given), name="grid"
    )
