"""The judge against people: figures, intervals, and when nothing is claimed."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy.stats import binom
from sklearn.metrics import cohen_kappa_score

from classifiers.agreement import (
    MIN_MEASURED,
    _kappas,
    agreement,
    alpha,
    compare,
    kappa,
    kappa_of_two,
    krippendorff_alpha,
    share,
)


@pytest.mark.parametrize(("part", "n", "low", "high"), [(81, 263, 0.2553, 0.3662), (20, 20, 0.8389, 1.0)])
def test_a_share_has_wilsons_interval(part, n, low, high):
    found = share(part, n)
    assert (found.value, found.n, found.still_needed) == (part / n, n, 0)
    assert (found.low, found.high) == pytest.approx((low, high), abs=5e-4)


@pytest.mark.parametrize("n", range(MIN_MEASURED))
def test_below_a_sensible_n_nothing_is_claimed_but_how_many_are_missing(n):
    found = share(n, n)
    assert (found.value, found.low, found.high, found.n) == (None, None, None, n)
    assert found.still_needed == MIN_MEASURED - n


@pytest.mark.parametrize(("part", "n"), [(-1, 30), (31, 30)])
def test_no_share_of_what_is_not_there(part, n):
    with pytest.raises(ValueError, match="no share"):
        share(part, n)


def test_kappa_is_scikit_learns_and_its_interval_holds_it():
    for cells in product((0, 1, 7, 30), repeat=4):
        if sum(cells) < MIN_MEASURED or max(cells) == sum(cells):
            continue
        true_valid, false_invalid, true_invalid, false_valid = cells
        people = [1] * (true_valid + false_invalid) + [0] * (true_invalid + false_valid)
        judge = [1] * true_valid + [0] * (false_invalid + true_invalid) + [1] * false_valid
        found = kappa(*cells)
        assert found.value == pytest.approx(cohen_kappa_score(people, judge))
        assert -1 <= found.low <= found.value <= found.high <= 1
        assert found.low < found.high


def test_the_drawn_kappas_use_the_same_formula():
    table = np.random.default_rng(0).integers(1, 20, size=(50, 4))
    for cells, found in zip(table, _kappas(table / table.sum(axis=1, keepdims=True)), strict=True):
        people = np.repeat([1, 1, 0, 0], cells)
        judge = np.repeat([1, 0, 1, 0], cells)
        assert found == pytest.approx(cohen_kappa_score(people, judge))


def test_a_judge_without_an_error_is_not_certain_to_be_perfect():
    few, many = kappa(15, 0, 15, 0), kappa(150, 0, 150, 0)
    assert few.value == few.high == many.value == 1
    assert few.low < 0.95
    assert few.low < many.low < 1


def test_kappa_says_nothing_where_only_one_answer_occurs():
    found = kappa(40, 0, 0, 0)
    assert (found.value, found.n, found.still_needed) == (None, 40, 0)


def test_kappas_interval_covers_the_truth_as_often_as_it_says():
    truth = np.array([0.5, 0.05, 0.35, 0.1])
    true_kappa = _kappas(truth[None, [0, 1, 3, 2]])[0]
    rng = np.random.default_rng(1)
    found = [kappa(*map(int, cells)) for cells in rng.multinomial(60, truth, size=300)]
    covered = np.mean([one.low <= true_kappa <= one.high for one in found])
    assert 0.91 <= covered <= 0.99


def test_agreement_counts_each_figure_from_its_own_cells():
    found = agreement(true_valid=45, false_invalid=5, true_invalid=20, false_valid=10)
    assert found.sensitivity.value == 0.9
    assert found.specificity.value == pytest.approx(2 / 3)
    assert (found.agreement.value, found.agreement.n) == (65 / 80, 80)
    assert found.kappa.value == pytest.approx(0.5862, abs=1e-4)


def test_one_figure_may_be_known_before_another():
    found = agreement(true_valid=25, false_invalid=0, true_invalid=3, false_valid=2)
    assert found.sensitivity.value == 1
    assert (found.specificity.value, found.specificity.still_needed) == (None, MIN_MEASURED - 5)


def test_negative_counts_are_refused():
    with pytest.raises(ValueError, match="negative"):
        kappa(30, -1, 1, 1)


def rights(both: int, only_first: int, only_second: int, neither: int) -> tuple[list[bool], list[bool]]:
    first = [True] * (both + only_first) + [False] * (only_second + neither)
    second = [True] * both + [False] * only_first + [True] * only_second + [False] * neither
    return first, second


@pytest.mark.parametrize(("only_first", "only_second"), [(0, 0), (1, 0), (3, 3), (2, 9), (12, 1)])
def test_two_judges_are_compared_on_what_only_one_of_them_got_right(only_first, only_second):
    found = compare(*rights(30, only_first, only_second, 4))
    assert (found.both, found.only_first, found.only_second, found.neither) == (30, only_first, only_second, 4)
    discordant = only_first + only_second
    expected = min(1.0, 2 * binom.cdf(min(only_first, only_second), discordant, 0.5)) if discordant else 1.0
    assert found.p_value == pytest.approx(expected)
    assert found.first.value == (30 + only_first) / found.n
    assert found.second.value == (30 + only_second) / found.n


def test_a_comparison_of_few_questions_claims_nothing():
    found = compare(*rights(5, 4, 0, 0))
    assert (found.n, found.p_value, found.first.value) == (9, None, None)


def test_two_judges_must_have_answered_the_same():
    with pytest.raises(ValueError, match="same questions"):
        compare([True], [])


# Krippendorff, Computing Krippendorff's alpha-reliability (2011), examples A to C; None: not seen by that person.
BINARY = ([0, 1, 0, 0, 0, 0, 0, 0, 1, 0], [1, 1, 1, 0, 0, 1, 0, 0, 0, 0])
TWO = ("aabbdcccedda", "babbbccceddd")
FOUR = (
    [1, 2, 3, 3, 2, 1, 4, 1, 2, None, None, None],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, None, 3],
    [None, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, None],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, None],
)


def units(people) -> list[list]:
    return [[label for label in given if label is not None] for given in zip(*people, strict=True)]


@pytest.mark.parametrize(("people", "value"), [(BINARY, 0.095), (TWO, 0.692), (FOUR, 0.743)])
def test_alpha_is_what_its_author_computes(people, value):
    assert krippendorff_alpha(units(people)) == pytest.approx(value, abs=5e-4)


def test_alpha_does_not_depend_on_the_order_of_people_or_documents():
    given = units(FOUR)
    turned = [list(reversed(unit)) for unit in reversed(given)]
    assert krippendorff_alpha(turned) == pytest.approx(krippendorff_alpha(given))
    assert alpha(turned * 3) == alpha(given * 3)


@pytest.mark.parametrize("given", [[], [[1], [2]], [[1, 1], [1, 1]]])
def test_without_anything_to_disagree_on_there_is_no_alpha(given):
    assert krippendorff_alpha(given) is None
    assert alpha(given * 30).value is None


def test_alpha_has_an_interval_that_narrows_and_needs_enough_documents():
    few, many = alpha(units(TWO) * 2), alpha(units(TWO) * 40)
    assert alpha(units(TWO)).still_needed == MIN_MEASURED - 12
    assert few.n == 24
    assert few.low < few.value < few.high
    assert many.high - many.low < few.high - few.low
    assert alpha(units(TWO) * 2, random_state=1) != few


def test_two_people_who_always_agree_are_not_certain_to_go_on_so():
    first = [f"label {n % 7}" for n in range(40)]
    for found in (alpha([[label, label] for label in first]), kappa_of_two(first, first)):
        assert found.value == found.high == pytest.approx(1)
        assert 0.7 < found.low < 0.999


def test_kappa_of_two_is_scikit_learns_with_an_interval_that_covers_as_often_as_it_says():
    rng = np.random.default_rng(0)
    covered = 0
    for trial in range(60):
        first = rng.integers(0, 5, size=80)
        second = np.where(rng.random(80) < 0.7, first, rng.integers(0, 5, size=80))
        found = kappa_of_two(first.tolist(), second.tolist(), random_state=trial)
        assert found.value == pytest.approx(cohen_kappa_score(first, second))
        # They agree by intent with probability 0.7, and by chance in the rest: kappa is 0.7.
        covered += found.low <= 0.7 <= found.high
    assert covered >= 52


def test_kappa_of_two_takes_labels_and_none_and_claims_nothing_from_few_or_from_one_label():
    assert kappa_of_two([1, None] * 10, [1, None] * 10).value == pytest.approx(1)
    assert kappa_of_two([1, 2] * 9, [1, 2] * 9).still_needed == 2
    assert kappa_of_two([1] * 30, [1] * 30).value is None
    with pytest.raises(ValueError, match="same documents"):
        kappa_of_two([1], [])
