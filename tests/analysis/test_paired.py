"""Whether trials of several parts can be told apart."""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats

from hpsearch.analysis.paired import compare, parts_told_apart
from hpsearch.parts import PartResult, parts_of

METRIC = "val_accuracy"


def results(values, folds):
    parts = parts_of(folds, len(values) // (folds or 1))
    return tuple(PartResult(p, 0, {METRIC: v}, 1, 1, 1.0) for p, v in zip(parts, values, strict=True))


def study(*rows, folds):
    """Ranked trials with these values of their parts."""
    ranking = tuple(
        SimpleNamespace(number=number, parts=results(values, folds), values=(float(np.mean(values)),))
        for number, values in enumerate(rows)
    )
    return SimpleNamespace(ranking=ranking, objectives={METRIC: "maximize"})


EASY_AND_HARD = np.array([0.95, 0.80, 0.90, 0.70, 0.85])
NOISE = np.array([0.001, -0.002, 0.0, 0.002, -0.001])


def test_repeats_are_compared_by_welchs_test():
    one, other = [0.90, 0.92, 0.91], [0.88, 0.905, 0.86]
    found = compare(results(one, None), results(other, None), METRIC)
    welch = stats.ttest_ind(one, other, equal_var=False)
    assert found.difference / found.error == pytest.approx(welch.statistic)
    assert found.limit == pytest.approx(stats.t.ppf(0.975, welch.df))
    assert found.told_apart == (welch.pvalue < 0.05)


def test_folds_are_compared_in_pairs_with_nadeau_and_bengios_correction():
    one, other = EASY_AND_HARD + 0.02 + NOISE, EASY_AND_HARD
    found = compare(results(one, 5), results(other, 5), METRIC)
    assert found.difference == pytest.approx(0.02)
    variance = np.var(one - other, ddof=1)
    assert found.error == pytest.approx(np.sqrt((1 / 5 + 1 / 4) * variance))
    assert found.limit == pytest.approx(stats.t.ppf(0.975, 4))
    assert found.told_apart  # though the folds differ among themselves by ten times as much
    assert not compare(results(one, None), results(other, None), METRIC).told_apart


def test_parts_that_only_one_of_them_has_do_not_count():
    one, other = results(EASY_AND_HARD, 5), results(EASY_AND_HARD - NOISE, 5)
    assert compare(one, other[:3], METRIC) == compare(one[:3], other[:3], METRIC)
    assert compare(one, other[:1], METRIC) is None


def test_equal_values_are_no_difference():
    assert not compare(results([0.5, 0.5], None), results([0.5, 0.5], None), METRIC).told_apart


def test_it_is_said():
    close = study(
        EASY_AND_HARD, EASY_AND_HARD - NOISE, EASY_AND_HARD - 2 * NOISE, EASY_AND_HARD - 0.1, folds=5
    )
    said = parts_told_apart(close)
    assert said.startswith("Over 5 folds trial 0 cannot be told from the next 2 trials: the difference")
    assert "corrected for the rows that folds share" in said
    clear = parts_told_apart(study(EASY_AND_HARD + NOISE, EASY_AND_HARD - 0.1, folds=5))
    assert clear.startswith("Over 5 folds trial 0 is better than trial 1 by 0.1000, more than 2.8 times the")
    repeated = parts_told_apart(study([0.9, 0.7, 0.8], [0.8, 0.6, 0.9], folds=None))
    assert repeated.startswith("Over 3 repeats trial 0 cannot be told from trial 1: ")
    assert "the standard error of a difference is" in repeated


def test_of_one_training_and_of_one_trial_nothing_is_said():
    assert parts_told_apart(study(EASY_AND_HARD, folds=5)) is None
    plain = SimpleNamespace(number=0, parts=(), values=(0.5,))
    assert parts_told_apart(SimpleNamespace(ranking=(plain, plain), objectives={METRIC: "maximize"})) is None
