"""Reading a learning-rate test: on curves whose truth is known, on noise, and on anything at all."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpsearch.training.rate_curve import FEWEST_LOSSES, WARM_UP, Divergence, lines, read, window

RATES = np.geomspace(1e-5, 10, 200)
DECADES = np.log10(RATES)
NOISE = np.random.default_rng(0).normal(size=(300, 200))


def curve(middle: float, end: float, noise: int = 0, size: float = 0.0) -> np.ndarray:
    """Falls from 2.3 to 0.3, most steeply at `middle`, and rises from `end` on; both in decades."""
    fall = 2 / (1 + np.exp(4 * (DECADES - middle)))
    rise = np.maximum(0, DECADES - end) * 8
    return 0.3 + fall + rise + size * NOISE[noise]


@settings(max_examples=40, deadline=None)
@given(st.floats(-4, -1), st.floats(1.2, 2), st.integers(0, 299), st.sampled_from([0.0, 0.05, 0.3]))
def test_the_steepest_fall_and_the_limit_are_found(middle, gap, noise, size):
    found = read(RATES, curve(middle, middle + gap, noise, size))
    assert abs(math.log10(found.suggestion) - middle) < (0.35 if size else 0.1)
    assert middle < math.log10(found.high) <= middle + gap + 0.35
    assert found.low == pytest.approx(found.suggestion / 3)
    assert found.notes == ()
    assert len(found.smoothed) == len(RATES)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 299), st.sampled_from([0.25, 8.0, 1024.0]), st.integers(-100, 100))
def test_the_unit_and_the_zero_of_the_loss_do_not_matter(noise, unit, zero):
    losses = curve(-2.5, -1, noise, 0.2)
    one, other = read(RATES, losses), read(RATES, unit * losses + zero)
    assert other.suggestion == pytest.approx(one.suggestion)
    assert other.high == pytest.approx(one.high)


@pytest.mark.parametrize("steps", [50, 100, 200, 1000])
def test_the_number_of_steps_hardly_matters(steps):
    rates = np.geomspace(1e-5, 10, steps)
    found = read(rates, np.interp(np.log10(rates), DECADES, curve(-2.5, -1)))
    assert abs(math.log10(found.suggestion) + 2.5) < 0.1
    assert -1.5 <= math.log10(found.high) <= -1  # a line a decade long sees the rise half a decade before


def test_noise_alone_suggests_nothing():
    suggestions = [read(RATES, 2 + row).suggestion for row in NOISE]
    assert sum(each is not None for each in suggestions) <= 3
    short = [read(RATES[:40], 2 + row[:40]).suggestion for row in NOISE]
    assert sum(each is not None for each in short) <= 3


@pytest.mark.parametrize("losses", [np.full(200, 0.7), 0.3 + (DECADES + 5) ** 2, 1e-9 * np.arange(200)])
def test_a_loss_that_never_falls_suggests_nothing(losses):
    found = read(RATES, losses)
    assert (found.suggestion, found.low, found.high) == (None, None, None)
    assert found.notes == ("The loss does not fall at any of the rates.",)


@pytest.mark.parametrize("peak", [30.0, 1e30])
def test_neither_a_spike_nor_an_explosion_hides_the_fall(peak):
    losses = curve(-2.5, 5)
    losses[100] = peak
    losses = np.append(losses[:150], peak)  # at 0.3
    found = read(RATES[: len(losses)], losses)
    assert abs(math.log10(found.suggestion) + 2.5) < 0.35
    assert 0.1 < found.high <= 0.32


def test_a_range_that_is_cut_off_is_said():
    (note,) = read(RATES, curve(0, 5)).notes
    assert "go on to a higher one" in note
    (note,) = read(RATES, curve(-5, -3)).notes
    assert "begin at a lower rate" in note


def test_too_few_steps_say_nothing():
    found = read(RATES[:3], [2.0, 1.0, 0.5])
    assert found.suggestion is None
    assert found.smoothed == (2.0, 1.0, 0.5)
    assert "ran away after 3 steps" in found.notes[0]
    assert read([], []).smoothed == ()


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.floats(-1e100, 1e100), min_size=FEWEST_LOSSES, max_size=60),
    st.floats(1e-6, 1e-2),
    st.floats(1.1, 1e6),
)
def test_whatever_the_losses_the_suggestion_is_one_of_the_rates(losses, low, ratio):
    rates = np.geomspace(low, low * ratio, len(losses))
    found = read(rates, losses)
    if found.suggestion is not None:
        assert found.suggestion in rates
        assert found.high in rates
        assert found.low < found.suggestion <= found.high


@given(st.floats(-5, 5), st.floats(-5, 5), st.integers(2, 10))
def test_lines_through_a_line_are_that_line(slope, level, half):
    steps = np.arange(40.0)
    levels, slopes = lines(level + slope * steps, 2 * half + 1)
    np.testing.assert_allclose(levels, level + slope * steps, atol=1e-9)
    np.testing.assert_allclose(slopes, slope, atol=1e-9)


@given(st.integers(FEWEST_LOSSES, 2000), st.floats(1.01, 1e9))
def test_a_window_is_odd_and_fits(steps, ratio):
    width = window(np.geomspace(1e-5, 1e-5 * ratio, steps))
    assert width % 2 == 1
    assert 5 <= width <= max(5, steps // 3)


def seen(*losses: float) -> int | None:
    """The step at which the loss has run away."""
    divergence = Divergence()
    return next((step for step, loss in enumerate(losses, start=1) if divergence.seen(loss)), None)


def test_a_loss_that_runs_away_is_seen():
    calm = [1.0] * 30
    assert seen(*calm, *calm) is None
    assert 31 < seen(*calm, *[5.0] * 60) < 50  # 4 times 1 as soon as the average has followed
    assert seen(*calm, *[3.9] * 100) is None
    assert seen(*calm, 100.0) == 31
    assert seen(*calm, math.nan) == 31
    assert seen(math.inf) == 1


def test_the_first_losses_may_be_anything():
    assert seen(0.001, *[1.0] * 100) is None
    assert seen(*[1.0] * (WARM_UP - 2), 1000.0) is None


def test_a_loss_below_zero_does_not_run_away_by_falling():
    assert seen(*np.linspace(-1, -50, 100)) is None
    assert seen(*[-1.0] * 30, *[2.5] * 100) is not None
