"""The certificate's bounds against a table, its own definition written out, and exact chances of a false one."""

from __future__ import annotations

import math
from itertools import pairwise, product

import numpy as np
import pytest

from classifiers.certificate import (
    LEVEL,
    LIMIT,
    audits_for,
    audits_needed,
    bound,
    forecast,
    holds,
    level_of,
    log_wealth,
    n_within,
    set_audits_needed,
    set_bound,
    set_holds,
    set_log_wealth,
)

# Audits, errors; bound at 95 %, at 90 %, clean audits still needed for 5 %, wealth at 5 %.
TABLE = [
    (0, 0, 1.0, 1.0, 71, 1.0000),
    (10, 0, 0.30948, 0.24955, 61, 1.4888),
    (40, 0, 0.08702, 0.06833, 31, 5.1950),
    (70, 0, 0.05058, 0.03957, 1, 19.2682),
    (71, 0, 0.04989, 0.03902, 0, 20.1447),
    (80, 1, 0.07557, 0.06536, 43, 3.6884),
    (123, 1, 0.04971, 0.04292, 0, 20.6206),
    (160, 2, 0.05183, 0.04630, 6, 15.8567),
    (166, 2, 0.05000, 0.04466, 0, 20.0037),
    (300, 6, 0.05229, 0.04882, 14, 12.6193),
    (1000, 30, 0.05076, 0.04921, 16, 14.2164),
]


# The bound for sets that change.


@pytest.mark.parametrize(("n", "k", "at_95", "at_90", "needed", "wealth"), TABLE)
def test_the_table(n, k, at_95, at_90, needed, wealth):
    assert bound(n, k) == pytest.approx(at_95, abs=5.1e-6)
    assert bound(n, k, level=0.9) == pytest.approx(at_90, abs=5.1e-6)
    assert audits_needed(n, k) == needed
    assert holds(n, k) is (needed == 0)
    assert math.exp(log_wealth(n, k, 0.05)) == pytest.approx(wealth, abs=5.1e-5)


@pytest.mark.parametrize(
    ("limit", "level", "certified_at"),
    [
        (0.05, 0.95, (71, 123, 166, 206, 244)),
        (0.05, 0.90, (56, 106, 148, 187)),
        (0.10, 0.95, (35, 60, 82, 101)),
        (0.02, 0.95, (180, 310, 421, 521)),
    ],
)
def test_audits_by_number_of_errors(limit, level, certified_at):
    assert [k + audits_needed(k, k, limit, level) for k in range(len(certified_at))] == list(certified_at)


@pytest.mark.parametrize(("n", "k", "share"), [(1, 0, 0.3), (7, 2, 0.05), (30, 30, 0.9), (50, 3, 0.0), (4, 1, 1.0)])
def test_wealth_is_what_its_definition_says(n, k, share):
    ratios = [(j + 0.5) / 64 for j in range(64)]
    weights = [math.exp(-4 * t) for t in ratios]
    terms = (w * t**k / (1 - share * (1 - t)) ** n for w, t in zip(weights, ratios, strict=True))
    assert math.exp(log_wealth(n, k, share)) == pytest.approx(sum(terms) / sum(weights))


@pytest.mark.parametrize("share", [0.001, 0.05, 0.3, 0.99])
def test_a_bet_on_the_truth_is_fair_and_one_on_less_is_lost(share):
    """What an audit is expected to make of the wealth, with the bets as they stand after any audits before it."""
    for n, k in product((0, 5, 80), (0, 1, 5)):
        after_right, after_wrong = np.exp(log_wealth(n + 1, np.array([k, k + 1]), share))
        before = math.exp(log_wealth(n, k, share))
        assert (1 - share) * after_right + share * after_wrong == pytest.approx(before)
        more = min(1.5 * share, 1.0)
        assert (1 - more) * after_right + more * after_wrong < before


def test_wealth_rises_with_the_share_and_falls_with_errors():
    shares = np.linspace(0, 1, 201)
    for n, k in ((1, 0), (40, 0), (80, 1), (1000, 30)):
        assert (np.diff(log_wealth(n, k, shares)) > 0).all()
        assert (np.diff(log_wealth(n, np.arange(n + 1), 0.05)) < 0).all()


def test_the_bound_is_where_the_wealth_is_enough():
    for (n, k), level in product(((10, 0), (80, 1), (300, 6), (30, 20)), (0.5, 0.9, 0.99)):
        assert math.exp(log_wealth(n, k, bound(n, k, level))) == pytest.approx(1 / (1 - level))


def test_bounds_are_monotone():
    for k in range(4):
        assert all(after < before for before, after in pairwise(bound(n, k) for n in range(40, 200, 20)))
    for n in (60, 200):
        assert all(fewer < more for fewer, more in pairwise(bound(n, k) for k in range(20)))
    assert bound(80, 1, 0.9) < bound(80, 1, 0.95) < bound(80, 1, 0.99)


@pytest.mark.parametrize("n", [0, 1, 5, 40])
def test_nothing_but_errors_bounds_nothing(n):
    assert bound(n, n) == 1


def test_a_hundred_thousand_audits_are_no_trouble():
    assert np.isfinite(log_wealth(100_000, np.array([0, 1, 5000, 100_000]), 0.05)).all()
    assert np.isfinite(log_wealth(100_000, 0, 1.0))
    assert 0.05 < bound(100_000, 5000) < 0.054
    assert holds(200_000, 6000)


@pytest.mark.parametrize(("n", "k"), [(0, 0), (3, 3), (10, 1), (70, 0), (200, 5), (1000, 60)])
@pytest.mark.parametrize("limit", [0.02, 0.05, 0.3])
def test_so_many_are_needed_and_no_fewer(n, k, limit):
    needed = audits_needed(n, k, limit)
    assert bound(n + needed, k) <= limit
    assert needed == 0 or bound(n + needed - 1, k) > limit


def test_no_rule_certifies_before_59_audits():
    assert audits_needed(0, 0) >= math.log(1 - LEVEL) / math.log(1 - LIMIT)


@pytest.mark.parametrize("arguments", [(3, 4), (-1, 0), (3, -1), (3, 1, 0.0), (3, 1, 1.0), (3, 1, 0.05, 0.0)])
def test_impossible_numbers_are_refused(arguments):
    with pytest.raises(ValueError, match="must"):
        audits_needed(*arguments)
    with pytest.raises(ValueError, match="must"):
        holds(*arguments)


# The bound for a set that stays as it is.


def test_62_clean_audits_of_500():
    assert set_audits_needed(0, 0, 0, 500) == 62
    assert set_bound(62, 0, 0, 500) == 0.05
    assert set_bound(61, 0, 0, 500) > 0.05


@pytest.mark.parametrize("n_labels", [40, 100, 500, 2000])
def test_counting_what_is_left_needs_fewer_audits(n_labels):
    for errors in range(3):
        assert set_audits_needed(errors, errors, errors, n_labels) < audits_needed(errors, errors)


@pytest.mark.parametrize("n_labels", [1, 4, 9])
def test_the_wealth_of_a_set_is_a_mixture_of_chances_of_what_was_seen(n_labels):
    """In every order of errors and right ones, multiplied draw by draw."""
    for n_wrong in range(1, n_labels + 1):
        weights = [math.exp(-4 * fewer / n_wrong) for fewer in range(n_wrong)]
        for n, k in counts(n_labels):
            if k <= n_wrong and n_wrong - k <= n_labels - n:
                chance = chance_of(n, k, n_wrong, n_labels)
                mixture = sum(
                    w * chance_of(n, k, fewer, n_labels) / chance / sum(weights) for fewer, w in enumerate(weights)
                )
                assert math.exp(set_log_wealth(n, k, n_wrong, n_labels)) == pytest.approx(mixture)


def counts(n_labels: int) -> list[tuple[int, int]]:
    return [(n, k) for n in range(n_labels + 1) for k in range(n + 1)]


def chance_of(n: int, k: int, n_wrong: int, n_labels: int) -> float:
    """Chance that the first k drawn are wrong and the next n - k right."""
    wrong = [(n_wrong - i) / (n_labels - i) for i in range(k)]
    right = [(n_labels - n_wrong - i) / (n_labels - k - i) for i in range(n - k)]
    return max(math.prod(wrong) * math.prod(right), 0.0) if k <= n_wrong else 0.0


def test_what_cannot_be_is_refuted():
    assert set_log_wealth(95, 0, 6, 100) == math.inf
    assert set_log_wealth(94, 0, 6, 100) < math.inf
    assert set_log_wealth(10, 7, 6, 100) == -math.inf


@pytest.mark.parametrize("n_labels", [1, 2, 13, 30])
def test_the_wealth_of_a_set_rises_with_wrong_labels_and_falls_with_errors(n_labels):
    """So what refutes so many refutes more, and a skipped audit that counts as wrong is on the safe side."""
    for n, k in counts(n_labels):
        against = [set_log_wealth(n, k, wrong, n_labels) for wrong in range(1, n_labels + 1)]
        assert all(fewer <= more + 1e-9 for fewer, more in pairwise(against))
        if k:
            fewer_errors = [set_log_wealth(n, k - 1, wrong, n_labels) for wrong in range(1, n_labels + 1)]
            assert all(a >= b - 1e-9 or b == math.inf for a, b in zip(fewer_errors, against, strict=True))


def chance_of_false(n_labels: int, n_wrong: int, limit: float, level: float) -> float:
    """Exact chance that, at any time, the set is certified by either form while too many are wrong still."""
    chance, false = np.zeros(n_wrong + 2), 0.0
    chance[0] = 1.0
    for n in range(n_labels):
        k = np.arange(len(chance))
        for errors in np.flatnonzero((chance > 1e-15) & (n_wrong - k > limit * n_labels + 1e-9)):
            if set_holds(n, errors, errors, n_labels, limit, level) or holds(n, errors, limit, level):
                false += chance[errors]
                chance[errors] = 0.0
        wrong = chance * np.clip((n_wrong - k) / (n_labels - n), 0, 1)
        chance = chance - wrong
        chance[1:] += wrong[:-1]
    return false


@pytest.mark.parametrize(("limit", "level"), [(0.05, 0.95), (0.1, 0.95), (0.2, 0.9), (0.05, 0.8)])
@pytest.mark.parametrize("n_labels", [1, 5, 20, 41])
def test_no_set_is_falsely_certified_too_often(n_labels, limit, level):
    """Every number of wrong labels above the limit, looked at after every audit, by the exact chance."""
    for n_wrong in range(n_within(limit, n_labels) + 1, n_labels + 1):
        assert chance_of_false(n_labels, n_wrong, limit, level) <= 1 - level


@pytest.mark.parametrize(("n_labels", "n_wrong"), [(200, 11), (200, 14), (400, 21), (400, 23)])
def test_nor_is_a_larger_one(n_labels, n_wrong):
    chance = chance_of_false(n_labels, n_wrong, LIMIT, LEVEL)
    assert 0.01 < chance <= 1 - LEVEL


def test_the_bound_of_a_set_counts_corrections():
    # All audited: what was found is corrected, what was skipped may be wrong.
    assert set_bound(100, 8, 8, 100) == 0
    assert set_bound(100, 8, 2, 100) == 0.06
    assert set_bound(80, 4, 4, 400) < set_bound(80, 4, 0, 400) < set_bound(80, 5, 0, 400)


@pytest.mark.parametrize(("n_labels", "limit"), [(20, 0.05), (100, 0.05), (100, 0.29), (700, 0.1), (3, 0.2)])
def test_the_three_ways_to_ask_of_a_set_agree(n_labels, limit):
    some = range(0, n_labels + 1, max(n_labels // 7, 1))
    for n, k in [(audits, errors) for audits in some for errors in range(min(audits, 3) + 1)]:
        within = set_bound(n, k, k, n_labels) <= limit
        assert set_holds(n, k, k, n_labels, limit) is within
        needed = set_audits_needed(n, k, k, n_labels, limit)
        assert (needed == 0) is within or n == n_labels
        assert set_holds(n + needed, k, k, n_labels, limit)
        assert needed == 0 or not set_holds(n + needed - 1, k, k, n_labels, limit)


@pytest.mark.parametrize("arguments", [(11, 0, 0, 10), (5, 2, 3, 10), (5, 6, 0, 10), (5, 1, -1, 10)])
def test_impossible_sets_are_refused(arguments):
    with pytest.raises(ValueError, match=r"must|can be"):
        set_bound(*arguments)


@pytest.mark.parametrize(
    ("limit", "n_labels", "allowed"), [(0.05, 500, 25), (0.05, 19, 0), (0.29, 100, 29), (0.07, 100, 7), (0.1, 0, 0)]
)
def test_how_many_the_limit_allows(limit, n_labels, allowed):
    assert n_within(limit, n_labels) == allowed


# The levels of a project's certificates.


def test_all_certificates_of_a_project_keep_its_level_together():
    assert [level_of(restart) for restart in range(3)] == pytest.approx([0.96, 0.992, 0.9984])
    for level in (0.9, 0.95, 0.99):
        assert sum(1 - level_of(restart, level) for restart in range(40)) == pytest.approx(1 - level)


# The forecast.


def by_hand(n: int, k: int, further: int, limit: float, level: float) -> float:
    """The chance by going through every course that the audits may take."""
    if holds(n, k, limit, level):
        return 1.0
    if not further:
        return 0.0
    wrong = (k + 1) / (n + 50)
    return (1 - wrong) * by_hand(n + 1, k, further - 1, limit, level) + wrong * by_hand(
        n + 1, k + 1, further - 1, limit, level
    )


@pytest.mark.parametrize(("n", "k"), [(0, 0), (8, 0), (9, 1), (2, 1)])
def test_the_forecast_goes_through_all_courses(n, k):
    chances = forecast(n, k, 11, limit=0.3, level=0.8)
    assert chances == pytest.approx([by_hand(n, k, further, 0.3, 0.8) for further in range(12)])
    assert chances[-1] > 0 or k == 1


def test_the_forecast_agrees_with_audits_drawn_at_its_rate():
    rng = np.random.default_rng(0)
    share_wrong = rng.beta(1 + 1, 49 + 39, size=4000)
    more = np.arange(1, 301)
    errors = (rng.random((4000, 300)) < share_wrong[:, None]).cumsum(axis=1)
    needed = np.array([1 + k + audits_needed(1 + k, 1 + k) for k in range(errors.max() + 1)])
    drawn = (40 + more >= needed[errors]).cumsum(axis=1) > 0
    assert forecast(40, 1, 300)[1:] == pytest.approx(drawn.mean(axis=0), abs=0.025)


def test_a_forecast_starts_from_now_and_never_falls():
    assert (forecast(71, 0, 5) == 1).all()
    chances = forecast(40, 0, 400)
    assert chances.shape == (401,)
    assert chances[30] == 0
    assert chances[31] == pytest.approx(math.prod(1 - 1 / (n + 50) for n in range(40, 71)))
    assert (np.diff(chances) >= 0).all()
    assert chances[-1] < 1
    assert forecast(0, 0, 0).tolist() == [0]
    # More errors, less hope.
    assert (forecast(40, 1, 400) <= chances).all()


def test_the_number_of_audits_for_a_chance():
    chances = forecast(40, 0, 400)
    found = [audits_for(chances, chance) for chance in (0.1, 0.5, 0.9)]
    assert found[:2] == [31, 31]
    assert chances[found[2]] >= 0.9 > chances[found[2] - 1]
    assert audits_for(chances, 0.999) is None
    assert audits_for(forecast(71, 0, 10), 0.9) == 0


@pytest.mark.parametrize(
    ("share_wrong", "chances"), [(0.005, (70, 89, 99, 100)), (0.01, (49, 70, 89, 97)), (0.02, (24, 36, 52, 68))]
)
def test_chances_at_a_known_share(share_wrong, chances):
    rng = np.random.default_rng(1)
    errors = (rng.random((6000, 320)) < share_wrong).cumsum(axis=1)
    needed = np.array([k + audits_needed(k, k) for k in range(errors.max() + 1)])
    certified = (np.arange(1, 321) >= needed[errors]).cumsum(axis=1) > 0
    assert 100 * certified.mean(axis=0)[[79, 159, 239, 319]] == pytest.approx(chances, abs=3)
