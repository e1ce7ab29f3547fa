"""Rates and certificates against closed forms, the binomial written out, and the known audit counts."""

from __future__ import annotations

import math

import numpy as np
import pytest

from classifiers.reliability import (
    EXPECTED_STRENGTH,
    MAX_WRONG,
    MIN_AUDITS,
    PRIOR,
    PRIOR_STRENGTH,
    Prior,
    accept_from,
    certificate,
    choice_accuracy,
    expected,
    reliability,
    spare,
)


def binomial_at_most(errors: int, n: int, p: float) -> float:
    return sum(math.comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(errors + 1))


# Rates.


def test_the_prior_is_nine_in_ten_with_the_weight_of_ten():
    assert (PRIOR.right, PRIOR.wrong) == pytest.approx((9, 1))
    found = reliability(0, 0, 0, 0)
    assert found.sensitivity == found.specificity
    assert found.sensitivity.mean == pytest.approx(0.9)
    assert found.sensitivity.n == 0
    assert found.sensitivity.is_prior
    # Beta(9, 1) has the distribution function p ** 9.
    assert found.sensitivity.low == pytest.approx(0.025 ** (1 / 9))
    assert found.sensitivity.high == pytest.approx(0.975 ** (1 / 9))


@pytest.mark.parametrize(
    ("counts", "sensitivity", "specificity"),
    [
        ((10, 0, 0, 0), 19 / 20, 9 / 10),
        ((0, 10, 0, 0), 9 / 20, 9 / 10),
        ((0, 0, 10, 0), 9 / 10, 19 / 20),
        ((0, 0, 0, 10), 9 / 10, 9 / 20),
        ((45, 5, 12, 28), 54 / 60, 21 / 50),
        ((0.5, 1.5, 2.25, 0), 9.5 / 12, 11.25 / 12.25),
    ],
)
def test_each_count_moves_its_own_rate(counts, sensitivity, specificity):
    found = reliability(*counts)
    assert found.sensitivity.mean == pytest.approx(sensitivity)
    assert found.specificity.mean == pytest.approx(specificity)
    assert found.sensitivity.n == counts[0] + counts[1]
    assert found.specificity.n == counts[2] + counts[3]


@pytest.mark.parametrize(
    ("n", "is_prior"), [(0, True), (MIN_AUDITS - 1, True), (9.5, True), (MIN_AUDITS, False), (500, False)]
)
def test_a_rate_says_when_it_is_mostly_assumed(n, is_prior):
    assert choice_accuracy(n, 0).is_prior is is_prior
    assert choice_accuracy(0, n).is_prior is is_prior


def test_another_prior():
    assert choice_accuracy(0, 0, Prior(1, 1)).mean == 0.5
    # Beta(1, 1) is uniform.
    assert choice_accuracy(0, 0, Prior(1, 1)).low == pytest.approx(0.025)
    assert reliability(3, 1, 1, 3, (Prior(2, 2),) * 2).sensitivity.mean == pytest.approx(5 / 8)
    assert reliability(3, 1, 1, 3, (Prior(2, 2),) * 2).specificity.mean == pytest.approx(3 / 8)


@pytest.mark.parametrize(("right", "wrong"), [(0, 0), (1, 0), (0, 1), (13, 2), (100, 100), (0, 1000), (1000, 0)])
def test_the_interval_holds_the_mean_and_lies_between_0_and_1(right, wrong):
    found = choice_accuracy(right, wrong)
    assert 0 < found.low < found.mean < found.high < 1


def test_whole_number_intervals_by_the_binomial():
    # P(Beta(a, b) <= p) = P(at least a successes in a + b - 1 trials); here a = 9 + 30, b = 1 + 4.
    found = choice_accuracy(30, 4)
    for bound, mass in [(found.low, 0.025), (found.high, 0.975)]:
        assert 1 - binomial_at_most(38, 43, bound) == pytest.approx(mass)


def test_the_interval_narrows_with_audits():
    widths = [(rate := choice_accuracy(9 * n, n)).high - rate.low for n in [0, 1, 5, 50, 500]]
    assert widths == sorted(widths, reverse=True)


def test_choice_accuracy_is_a_rate_like_the_others():
    assert choice_accuracy(13, 2) == reliability(13, 2, 0, 0).sensitivity


@pytest.mark.parametrize("position", range(4))
@pytest.mark.parametrize("count", [-1, -0.001, math.nan])
def test_negative_counts_are_refused(position, count):
    counts = [5.0] * 4
    counts[position] = count
    with pytest.raises(ValueError, match="negative"):
        reliability(*counts)


@pytest.mark.parametrize("counts", [(-1, 0), (0, -1)])
def test_negative_counts_of_choices_are_refused(counts):
    with pytest.raises(ValueError, match="negative"):
        choice_accuracy(*counts)


# Certificates.


@pytest.mark.parametrize(("errors", "audits"), [(0, 59), (1, 93), (2, 124), (3, 153), (4, 181)])
def test_the_audits_it_takes(errors, audits):
    assert certificate(audits, errors).holds
    assert certificate(audits, errors).still_needed == 0
    assert not certificate(audits - 1, errors).holds
    assert certificate(audits - 1, errors).still_needed == 1
    assert certificate(errors, errors).still_needed == audits - errors


@pytest.mark.parametrize("n", [1, 2, 10, 59, 200])
def test_the_bound_without_errors_has_a_closed_form(n):
    assert certificate(n, 0).bound == pytest.approx(1 - 0.05 ** (1 / n))


@pytest.mark.parametrize(("n", "errors"), [(5, 1), (20, 1), (93, 1), (124, 2), (60, 30), (400, 9), (10, 9)])
@pytest.mark.parametrize("level", [0.5, 0.9, 0.95, 0.99])
def test_at_the_bound_so_few_errors_are_just_too_unlikely(n, errors, level):
    bound = certificate(n, errors, level=level).bound
    assert binomial_at_most(errors, n, bound) == pytest.approx(1 - level)


@pytest.mark.parametrize("n", [0, 1, 7, 59])
def test_only_errors_bound_nothing(n):
    found = certificate(n, n)
    assert found.bound == 1.0
    assert not found.holds


@pytest.mark.parametrize("errors", [0, 1, 2, 5, 20])
@pytest.mark.parametrize("limit", [0.01, 0.05, 0.2, 0.9])
@pytest.mark.parametrize("level", [0.5, 0.95, 0.999])
def test_the_audits_still_needed_are_enough_and_no_more(errors, limit, level):
    for n in [errors, errors + 1, errors + 40]:
        found = certificate(n, errors, limit, level)
        assert found.holds == (found.bound <= limit) == (found.still_needed == 0)
        assert certificate(n + found.still_needed, errors, limit, level).holds
        if found.still_needed:
            assert not certificate(n + found.still_needed - 1, errors, limit, level).holds


def test_more_audits_tighten_the_bound_and_errors_loosen_it():
    bounds = [certificate(n, 2).bound for n in range(2, 200)]
    assert bounds == sorted(bounds, reverse=True)
    bounds = [certificate(100, errors).bound for errors in range(101)]
    assert bounds == sorted(bounds)


def test_at_half_a_level_one_audit_may_do():
    assert certificate(1, 0, limit=0.5, level=0.5).holds
    assert certificate(0, 0, limit=0.99, level=0.01).still_needed == 1


def test_huge_numbers_are_quick():
    assert certificate(1_000_000, 40_000).holds
    assert certificate(500_000, 40_000).still_needed > 300_000


@pytest.mark.parametrize(
    ("n", "errors", "sentence"),
    [
        (59, 0, "59 random audits, 0 errors: at most 5.0 % wrong (95 % sure)."),
        (93, 1, "93 random audits, 1 error: at most 5.0 % wrong (95 % sure)."),
        (124, 2, "124 random audits, 2 errors: at most 5.0 % wrong (95 % sure)."),
        # 1 - 0.05 ** (1 / 300) = 0.00994; 1 - 0.05 ** (1 / 290) = 0.01028, "at most 1.0 %" would be false.
        (300, 0, "300 random audits, 0 errors: at most 1.0 % wrong (95 % sure)."),
        (290, 0, "290 random audits, 0 errors: at most 1.1 % wrong (95 % sure)."),
        (20, 1, "Not certified: 20 random audits with 1 error; 73 more without an error would do."),
        (58, 0, "Not certified: 58 random audits with 0 errors; 1 more without an error would do."),
        (1, 0, "Not certified: 1 random audit with 0 errors; 58 more without an error would do."),
        (2, 2, "Not certified: 2 random audits with 2 errors; 122 more without an error would do."),
        (0, 0, "Not certified: no random audit yet; 59 without an error would do."),
    ],
)
def test_the_sentence(n, errors, sentence):
    assert certificate(n, errors).sentence == sentence


def test_the_sentence_names_another_level():
    assert certificate(1, 0, limit=0.5, level=0.5).sentence == (
        "1 random audit, 0 errors: at most 50.0 % wrong (50 % sure)."
    )
    assert "(99.9 % sure)" in certificate(1000, 0, level=0.999).sentence


@pytest.mark.parametrize(("n", "errors"), [(5, 6), (0, 1), (5, -1), (-1, 0), (-1, -1)])
def test_impossible_audits_are_refused(n, errors):
    with pytest.raises(ValueError, match="between 0 and the number of audits"):
        certificate(n, errors)


@pytest.mark.parametrize(("limit", "level"), [(0, 0.95), (1, 0.95), (0.05, 0), (0.05, 1), (-0.1, 0.5), (0.5, 1.5)])
def test_impossible_limits_are_refused(limit, level):
    with pytest.raises(ValueError, match="between 0 and 1"):
        certificate(10, 0, limit, level)


def judged(sensitivity: float, specificity: float, n: int = 2000) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels that are right as often as the model says, whether they are, and what such a judge says of them."""
    rng = np.random.default_rng(0)
    q = rng.uniform(0.2, 0.9, n)
    right = rng.random(n) < q
    return q, right, np.where(right, rng.random(n) < sensitivity, rng.random(n) >= specificity)


def verdicts(sensitivity: float, specificity: float) -> tuple[np.ndarray, np.ndarray]:
    q, _, valid = judged(sensitivity, specificity)
    return q, valid


def _off(priors: tuple[Prior, Prior], rates: tuple[float, float]) -> float:
    return sum(abs(prior.mean - rate) for prior, rate in zip(priors, rates, strict=True))


@pytest.mark.parametrize("rates", [(0.95, 0.95), (0.85, 0.85), (0.98, 0.3), (0.6, 0.95)])
def test_verdicts_alone_tell_what_to_expect_of_a_judge(rates):
    priors = expected(*verdicts(*rates))
    assert [prior.mean for prior in priors] == pytest.approx(rates, abs=0.06)
    assert [prior.right + prior.wrong for prior in priors] == pytest.approx([EXPECTED_STRENGTH] * 2)


@pytest.mark.parametrize("rates", [(0.95, 0.95), (0.85, 0.85)])
def test_what_people_said_of_the_hard_ones_sets_a_model_right_that_is_too_sure_of_itself(rates):
    q, right, valid = judged(*rates)
    too_sure = np.clip(q + 0.15, 0, 0.99)
    # People see a third of what was refused and of what the model is unsure of.
    seen = (~valid | (q < 0.5)) & (np.arange(len(q)) % 3 == 0)
    alone, helped = (expected(given, valid) for given in (too_sure, np.where(seen, right, too_sure)))
    assert _off(helped, rates) < 0.7 * _off(alone, rates)


@pytest.mark.parametrize(("n", "strength"), [(0, PRIOR_STRENGTH), (4, PRIOR_STRENGTH + 4), (400, EXPECTED_STRENGTH)])
def test_a_few_verdicts_lead_one_to_expect_little(n, strength):
    q, valid = verdicts(0.9, 0.9)
    assert [prior.right + prior.wrong for prior in expected(q[:n], valid[:n])] == pytest.approx([strength] * 2)


def test_without_verdicts_the_prior_is_expected():
    priors = expected(np.empty(0), np.empty(0, dtype=bool))
    assert [(prior.right, prior.wrong) for prior in priors] == [pytest.approx((PRIOR.right, PRIOR.wrong))] * 2


def test_audits_overrule_what_was_expected():
    priors = expected(*verdicts(0.98, 0.3))
    assert reliability(0, 0, 100, 0, priors).specificity.mean > 0.85


# From where on labels are accepted.


@pytest.mark.parametrize(
    ("posterior", "lowest"),
    [
        ([], 0.85),  # nothing to accept
        ([0.2, 0.84], 0.85),  # none that passes by itself
        ([0.99, 0.97, 0.95], 0.85),  # together 3 % wrong
        ([0.85, 0.99, 0.99, 0.98], 0.85),  # together 4.75 % wrong: the doubtful one is borne by the others
        ([0.85, 0.99, 0.97, 0.98], 0.97),  # 5.25 % with it
        ([0.85, 0.85, 0.99, 0.99, 0.99, 0.99], 0.99),  # equal ones pass together or not at all
        ([0.86, 0.9, 0.94], 1.0),  # even the surest is too doubtful
        ([0.86, 1.0], 1.0),
    ],
)
def test_so_many_are_accepted_that_few_are_expected_to_be_wrong(posterior, lowest):
    assert accept_from(np.array(posterior), 0.85) == lowest


@pytest.mark.parametrize(
    ("room", "lowest"), [(0.0, 0.97), (0.005, 0.97), (0.01, 0.85), (3.0, 0.85)]
)  # with the doubtful one 0.21 are expected wrong of four, 0.01 more than the limit
def test_what_was_accepted_before_leaves_room_for_doubtful_ones(room, lowest):
    assert accept_from(np.array([0.85, 0.99, 0.97, 0.98]), 0.85, room) == lowest


@pytest.mark.parametrize(("n", "wrong", "room"), [(0, 0.0, 0.0), (100, 5.0, 0.0), (100, 2.0, 3.0), (100, 5.5, 0.0)])
def test_what_few_wrong_ones_spare(n, wrong, room):
    assert spare(n, wrong) == pytest.approx(room)


def test_what_is_accepted_is_as_much_as_the_limit_allows():
    rng = np.random.default_rng(0)
    for room in (0.0, 1.0, 5.0):
        posterior = rng.beta(8, 1, 500)
        lowest = accept_from(posterior, 0.5, room)
        wrong = np.sort(1 - posterior)
        n = int((posterior >= lowest).sum())
        assert 0 < n == sum((wrong[: k + 1] - MAX_WRONG).sum() <= room for k in range(500) if wrong[k] <= 0.5)


def test_however_many_rounds_there_are_the_limit_holds_for_all_together():
    rng = np.random.default_rng(1)
    n, expected_wrong = 0, 0.0
    for doubt in (20, 4, 3, 30, 2):
        posterior = rng.beta(doubt, 1, 200)
        accepted = posterior[posterior >= accept_from(posterior, 0.6, spare(n, expected_wrong))]
        n, expected_wrong = n + len(accepted), expected_wrong + float((1 - accepted).sum())
        assert expected_wrong <= MAX_WRONG * n + 1e-6
