"""Scores against a calculation by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import binomtest

from classifiers.evaluation import Score, brier, calibration_error, compare, coverage_at_precision, score


def test_accuracy_and_macro_f1_by_hand():
    found = score(np.array([0, 0, 0, 1, 1, 2]), np.array([0, 0, 1, 1, 2, 2]))
    assert found is not None
    assert found.n == 6
    assert found.accuracy == pytest.approx(4 / 6)
    # F1 of label 0: 2*2/(3+2); of 1: 2*1/(2+2); of 2: 2*1/(1+2).
    assert found.macro_f1 == pytest.approx((4 / 5 + 1 / 2 + 2 / 3) / 3)


def test_a_rare_label_counts_as_much_as_a_common_one_in_macro_f1():
    found = score(np.array([0] * 99 + [1]), np.zeros(100, dtype=int))
    assert found is not None
    assert found.accuracy == 0.99
    assert found.macro_f1 < 0.5


def test_a_label_that_cannot_be_predicted_is_wrong():
    assert score(np.array([-1, 0]), np.array([0, 0])) == Score(n=2, accuracy=0.5, macro_f1=pytest.approx(1 / 3))


@pytest.mark.parametrize(("predicted", "value"), [([0, 1], 1.0), ([1, 0], 0.0)])
def test_all_right_and_all_wrong(predicted, value):
    assert score(np.array([0, 1]), np.array(predicted)) == Score(n=2, accuracy=value, macro_f1=value)


def test_scores_are_plain_numbers():
    found = score(np.array([0, 1]), np.array([0, 1]))
    assert found is not None
    assert (type(found.accuracy), type(found.macro_f1)) == (float, float)


def test_without_documents_there_is_no_score():
    assert score(np.array([]), np.array([])) is None


# Calibration.


def calibration_error_in_loops(probability: np.ndarray, right: np.ndarray, n_bins: int) -> float:
    error = 0.0
    for b in range(n_bins):
        inside = (probability > b / n_bins) & (probability <= (b + 1) / n_bins)
        if b == 0:
            inside |= probability == 0
        if inside.any():
            error += inside.mean() * abs(probability[inside].mean() - right[inside].mean())
    return error


@pytest.mark.parametrize(
    ("probability", "right", "error"),
    [
        pytest.param([1.0, 1.0], [True, True], 0.0, id="sure and right"),
        pytest.param([1.0, 1.0], [False, False], 1.0, id="sure and wrong"),
        pytest.param([0.0, 0.0], [False, False], 0.0, id="probability zero"),
        pytest.param([0.5, 0.5], [True, False], 0.0, id="even and evenly right"),
        pytest.param([0.8], [True], 0.2, id="one document"),
        pytest.param([0.74, 0.76], [True, False], 0.25, id="one bin, mean probability 0.75"),
        pytest.param([0.9, 0.2, 0.2, 0.2], [True, True, False, False], 0.125, id="0.1 / 4 + 3 * 0.1333 / 4"),
    ],
)
def test_calibration_error_by_hand(probability, right, error):
    assert calibration_error(np.array(probability), np.array(right)) == pytest.approx(error)


@pytest.mark.parametrize("n_bins", [1, 2, 15, 100])
@pytest.mark.parametrize("n_documents", [1, 10, 3000])
def test_calibration_error_is_what_the_loops_say(n_documents, n_bins):
    rng = np.random.default_rng(n_documents)
    probability = rng.random(n_documents)
    right = rng.random(n_documents) < probability**2
    assert calibration_error(probability, right, n_bins) == pytest.approx(
        calibration_error_in_loops(probability, right, n_bins)
    )


def test_a_bin_holds_its_upper_edge():
    # With two bins 0.5 belongs to the first, with (0.4, 0.5] right half the time.
    assert calibration_error(np.array([0.5, 0.4]), np.array([True, False]), n_bins=2) == pytest.approx(0.05)
    assert calibration_error(np.array([0.5, 0.6]), np.array([True, False]), n_bins=2) == pytest.approx(0.55)


def test_true_probabilities_are_calibrated_and_inflated_ones_are_not():
    rng = np.random.default_rng(0)
    probability = rng.random(100_000)
    right = rng.random(100_000) < probability
    assert calibration_error(probability, right) < 0.01
    assert calibration_error(np.sqrt(probability), right) == pytest.approx(2 / 3 - 1 / 2, abs=0.01)


def test_without_documents_calibration_is_not_known():
    assert math.isnan(calibration_error(np.array([]), np.array([])))


# Coverage.


def coverage_in_loops(probability: np.ndarray, right: np.ndarray, precision: float) -> float:
    covered = [0.0]
    for threshold in set(probability.tolist()):
        taken = probability >= threshold
        if right[taken].mean() >= precision:
            covered.append(taken.mean())
    return max(covered)


@pytest.mark.parametrize(
    ("probability", "right", "precision", "coverage"),
    [
        pytest.param([0.9, 0.8, 0.7, 0.6], [1, 1, 0, 0], 1.0, 0.5, id="the sure half"),
        pytest.param([0.6, 0.7, 0.8, 0.9], [0, 0, 1, 1], 1.0, 0.5, id="in any order"),
        pytest.param([0.9, 0.8, 0.7, 0.6], [1, 1, 0, 0], 0.5, 1.0, id="half is enough"),
        pytest.param([0.9, 0.8, 0.7, 0.6], [1, 1, 0, 0], 0.6, 0.75, id="two of three"),
        pytest.param([0.9, 0.8, 0.7, 0.6], [0, 1, 1, 1], 0.75, 1.0, id="precision may rise again"),
        pytest.param([0.9, 0.8, 0.7, 0.6], [0, 1, 1, 1], 0.8, 0.0, id="never reached"),
        pytest.param([0.9, 0.5, 0.5, 0.1], [1, 1, 0, 0], 1.0, 0.25, id="ties are taken together"),
        pytest.param([0.5, 0.5], [1, 0], 0.95, 0.0, id="one tie, half wrong"),
        pytest.param([0.5] * 20, [1] * 19 + [0], 0.95, 1.0, id="exactly the precision"),
        pytest.param([0.3], [1], 0.95, 1.0, id="one right"),
        pytest.param([0.3], [0], 0.95, 0.0, id="one wrong"),
        pytest.param([0.3, 0.2], [0, 0], 0.0, 1.0, id="no demand"),
        pytest.param([], [], 0.95, 0.0, id="none"),
    ],
)
def test_coverage_by_hand(probability, right, precision, coverage):
    assert coverage_at_precision(np.array(probability), np.array(right, dtype=bool), precision) == coverage


@pytest.mark.parametrize("precision", [0.0, 0.5, 0.8, 0.95, 1.0])
@pytest.mark.parametrize("n_documents", [1, 10, 300])
@pytest.mark.parametrize("n_decimals", [1, 9])
def test_coverage_is_what_the_loops_say(n_documents, precision, n_decimals):
    rng = np.random.default_rng(n_documents)
    probability = rng.random(n_documents).round(n_decimals)
    right = rng.random(n_documents) < np.sqrt(probability)
    assert coverage_at_precision(probability, right, precision) == pytest.approx(
        coverage_in_loops(probability, right, precision)
    )


def test_coverage_falls_as_the_precision_rises():
    rng = np.random.default_rng(0)
    probability = rng.random(500)
    right = rng.random(500) < probability
    coverage = [coverage_at_precision(probability, right, precision) for precision in np.linspace(0, 1, 21)]
    assert coverage == sorted(coverage, reverse=True)


def test_the_new_scores_are_plain_numbers_too():
    probability, right = np.array([0.9, 0.1]), np.array([True, False])
    assert type(calibration_error(probability, right)) is float
    assert type(coverage_at_precision(probability, right)) is float


@pytest.mark.parametrize("gained", range(12))
@pytest.mark.parametrize("lost", range(12))
def test_better_is_what_mcnemars_exact_test_calls_better(gained, lost):
    before = np.array([False] * gained + [True] * lost + [True, True, False])
    after = np.array([True] * gained + [False] * lost + [True, True, False])
    found = compare(before, after)
    assert (found.n, found.gained, found.lost) == (gained + lost + 3, gained, lost)
    assert found.after - found.before == pytest.approx((gained - lost) / found.n)
    assert -1 <= found.low <= found.after - found.before + 1e-12
    assert found.after - found.before - 1e-12 <= found.high <= 1
    n_apart = gained + lost
    test = binomtest(gained, n_apart, alternative="greater").pvalue if n_apart else 1.0
    assert found.is_better == (test < 0.025)
    other = compare(after, before)
    assert (other.low, other.high) == pytest.approx((-found.high, -found.low))


def test_brier_is_small_where_probabilities_come_true():
    right = np.array([True, True, False, False])
    assert brier(np.array([1.0, 1.0, 0.0, 0.0]), right) == 0
    assert brier(np.array([0.5, 0.5, 0.5, 0.5]), right) == 0.25
    assert brier(np.array([0.0, 0.0, 1.0, 1.0]), right) == 1
