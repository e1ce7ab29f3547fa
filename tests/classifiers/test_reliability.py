"""Rates against closed forms and the binomial written out, and what a judge's word weighs beside the model's."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from classifiers.posterior import after_verdict
from classifiers.reliability import (
    EXPECTED_STRENGTH,
    EXPECTED_WEIGHT,
    MAX_WEIGHT,
    MIN_AUDITS,
    N_OFFERED,
    PRIOR,
    PRIOR_STRENGTH,
    Prior,
    Rate,
    Rates,
    Reliability,
    Said,
    choice_accuracy,
    expected,
    measure,
    reliability,
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


# What verdicts lead one to expect.


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


# What the judge's word adds.


N_ROUND = 400


def said_of(
    q: np.ndarray, right: np.ndarray, valid: np.ndarray, n_known: int, spot_check: bool = True, random_state: int = 0
) -> Said:
    """Verdicts of which people have decided so many, drawn at random."""
    known = np.random.default_rng(random_state).permutation(len(q)) < n_known
    return Said(q, valid, np.where(known, right, np.nan).astype(float), known & spot_check)


def of_independent_judge(n_known: int, random_state: int, rates: tuple[float, float] = (0.95, 0.95)) -> Said:
    """The model's belief is calibrated, and the judge errs whatever the model says."""
    rng = np.random.default_rng(random_state)
    q = rng.uniform(0.3, 0.95, N_ROUND)
    right = rng.random(N_ROUND) < q
    valid = np.where(right, rng.random(N_ROUND) < rates[0], rng.random(N_ROUND) >= rates[1])
    return said_of(q, right, valid, n_known, random_state=random_state)


def of_copying_judge(n_known: int, random_state: int) -> Said:
    """The judge goes by what the model believes, and nothing else."""
    rng = np.random.default_rng(random_state)
    q = rng.uniform(0.3, 0.95, N_ROUND)
    right = rng.random(N_ROUND) < q
    return said_of(q, right, q > 0.6, n_known, random_state=random_state)


def mean_weight(judge: Callable[[int, int], Said], n_known: int, question: str = "validate") -> float:
    return float(np.mean([measure(judge(n_known, seed), question).weight for seed in range(5)]))


@pytest.mark.parametrize("question", ["validate", "choose"])
@pytest.mark.parametrize("n", [0, 1, 50])
def test_without_decisions_a_word_weighs_what_is_expected_of_it(question, n):
    q, right, valid = judged(0.9, 0.9, n)
    found = measure(said_of(q, right, valid | (question == "choose"), 0), question)
    assert (found.weight, found.n_weighed) == (EXPECTED_WEIGHT, 0)


def test_an_independent_judges_word_weighs_more_with_decisions_and_a_copying_ones_less():
    n_known = (0, 30, 120, 360)
    independent, copying = (
        [mean_weight(judge, n) for n in n_known] for judge in (of_independent_judge, of_copying_judge)
    )
    assert independent[-1] == pytest.approx(1, abs=0.2)
    assert min(independent) > 0.7
    assert copying[0] > copying[1] > copying[-1]
    assert copying[1] < 0.5 < independent[1]
    assert copying[-1] < 0.25


@pytest.mark.parametrize("rates", [(0.95, 0.95), (0.85, 0.85), (0.98, 0.3), (0.6, 0.95)])
def test_a_poor_judge_that_errs_by_itself_is_no_copying_one(rates):
    weights = [measure(of_independent_judge(300, seed, rates)).weight for seed in range(5)]
    assert np.mean(weights) == pytest.approx(1, abs=0.25)


@pytest.mark.parametrize("random_state", range(5))
def test_with_a_copying_judge_beliefs_after_its_word_are_as_right_as_they_say(random_state):
    rates = measure(of_copying_judge(200, random_state)).validating
    fresh = of_copying_judge(N_ROUND, random_state + 100)
    belief = np.stack([fresh.believed, 1 - fresh.believed], axis=1)
    after = after_verdict(belief, np.zeros(N_ROUND, dtype=int), fresh.valid, *rates)[:, 0]
    sure = after >= 0.85
    assert after[sure].mean() == pytest.approx(fresh.right[sure].mean(), abs=0.1)


def test_the_weight_lies_within_its_bounds_and_counts_the_decisions():
    for seed in range(5):
        for judge in (of_independent_judge, of_copying_judge):
            found = measure(judge(77, seed))
            assert 0 <= found.weight <= MAX_WEIGHT
            assert found.n_weighed == 77


def test_a_judge_that_says_the_opposite_of_what_is_right_weighs_nothing_before_its_rates_are_known():
    q, right, valid = judged(0.95, 0.95, 200)
    found = measure(said_of(q, right, ~valid, 200, spot_check=False))
    assert found.weight < 0.1 or found.sensitivity.mean < 1 - found.specificity.mean


@pytest.mark.parametrize(("knows", "weight"), [(True, 1.0), (False, 0.0)])
def test_a_choice_weighs_what_people_find_of_the_options_it_took(knows, weight):
    rng = np.random.default_rng(0)
    n, rows = 400, np.arange(400)
    belief = rng.dirichlet(np.full(N_OFFERED + 1, 0.5), n)
    truth = (rng.random((n, 1)) > belief.cumsum(axis=1)).sum(axis=1)
    other = (truth + rng.integers(1, N_OFFERED + 1, n)) % (N_OFFERED + 1)
    chosen = np.where(rng.random(n) < 0.8, truth, other) if knows else belief.argmax(axis=1)
    given = said_of(belief[rows, chosen], chosen == truth, np.ones(n, dtype=bool), 300)
    assert measure(given, "choose").weight == pytest.approx(weight, abs=0.2)


def test_spot_checks_are_counted_and_others_change_what_is_expected():
    q = np.full(6, 0.5)
    valid = np.array([True, True, False, False, True, False])
    right = np.array([1, 0, 0, 1, 1, np.nan])
    spot_check = np.array([True, True, True, True, False, False])
    found = measure(Said(q, valid, right, spot_check))
    priors = expected(np.array([1.0, 0.5]), np.array([True, False]))
    counted = reliability(1, 1, 1, 1, priors)
    assert (found.sensitivity, found.specificity) == (counted.sensitivity, counted.specificity)
    assert found.n_weighed == 5
    chosen = measure(Said(q, np.ones(6, dtype=bool), right, spot_check), "choose")
    assert chosen.sensitivity == chosen.specificity == choice_accuracy(right=2, wrong=2)


@pytest.mark.parametrize("rates", [(0.95, 0.95), (0.85, 0.85), (0.98, 0.3)])
def test_audits_of_what_the_judge_called_valid_leave_its_rates_as_they_are(rates):
    found = []
    for random_state in range(8):
        given = of_independent_judge(N_ROUND, random_state, rates)
        likelihood = given.believed * rates[0], (1 - given.believed) * (1 - rates[1])
        settled = given.valid & (likelihood[0] >= 0.85 * sum(likelihood))
        rng = np.random.default_rng(random_state)
        spot_check = rng.permutation(N_ROUND) < 10
        known = spot_check | (settled & (rng.random(N_ROUND) < 0.5))
        found.append(measure(Said(given.believed, given.valid, np.where(known, given.right, np.nan), spot_check)))
    measured = [np.mean([getattr(one, name).mean for one in found]) for name in ("sensitivity", "specificity")]
    assert measured == pytest.approx(rates, abs=0.06)
    assert np.mean([one.weight for one in found]) == pytest.approx(1, abs=0.2)


# What to reckon with.


def log_ratios(rates: Rates) -> tuple[float, float]:
    """What valid and invalid tell, nats."""
    sensitivity, specificity = rates
    return math.log(sensitivity / (1 - specificity)), math.log((1 - sensitivity) / specificity)


def with_rates(sensitivity: float, specificity: float, weight: float) -> Reliability:
    first, second = (Rate(mean, 0.0, 1.0, 100, False) for mean in (sensitivity, specificity))
    return Reliability(first, second, weight=weight)


@pytest.mark.parametrize("rates", [(0.95, 0.95), (0.85, 0.6), (0.98, 0.3), (0.55, 0.99), (0.3, 0.4), (0.05, 0.1)])
@pytest.mark.parametrize("weight", [0.01, 0.3, 0.85, 1.0, 1.25])
def test_verdicts_tell_their_weight_of_what_the_rates_say(rates, weight):
    found = with_rates(rates[0], rates[1], weight)
    assert 0 < found.validating.specificity < 1
    assert 0 < found.validating.sensitivity < 1
    assert log_ratios(found.validating) == pytest.approx([weight * told for told in log_ratios(Rates(*rates))])
    assert found.of("validate") == found.validating


@pytest.mark.parametrize("accuracy", [0.95, 0.6, 1 / 6, 0.05])
@pytest.mark.parametrize("weight", [0.01, 0.3, 0.85, 1.0, 1.25])
def test_a_choice_tells_its_weight_of_what_the_rates_say(accuracy, weight):
    found = with_rates(accuracy, accuracy, weight).choosing

    def told(p: float) -> float:
        """Of the option that was chosen, against each other one."""
        return math.log(p / ((1 - p) / N_OFFERED))

    assert found.sensitivity == found.specificity
    assert told(found.sensitivity) == pytest.approx(weight * told(accuracy))
    assert with_rates(accuracy, accuracy, weight).of("choose") == found


@pytest.mark.parametrize("rates", [(0.95, 0.95), (0.98, 0.3), (0.3, 0.4)])
def test_what_weighs_nothing_is_a_coin(rates):
    found = with_rates(rates[0], rates[1], 0.0)
    assert found.validating == (0.5, 0.5)
    assert found.choosing == pytest.approx([1 / (1 + N_OFFERED)] * 2)


@pytest.mark.parametrize("sensitivity", [0.05, 0.5, 0.9])
@pytest.mark.parametrize("weight", [0.5, 1.0, 1.25])
def test_a_judge_that_says_the_same_of_right_and_wrong_is_a_coin(sensitivity, weight):
    assert with_rates(sensitivity, 1 - sensitivity, weight).validating == (0.5, 0.5)


@pytest.mark.parametrize("rates", [(0.95, 0.9), (0.98, 0.3), (0.3, 0.4)])
def test_at_full_weight_the_rates_are_the_judges(rates):
    assert with_rates(rates[0], rates[1], 1.0).validating == pytest.approx(rates)


def test_a_judge_worse_than_chance_speaks_against_what_it_calls_valid():
    valid, invalid = log_ratios(with_rates(0.2, 0.3, 0.85).validating)
    assert valid < 0 < invalid
