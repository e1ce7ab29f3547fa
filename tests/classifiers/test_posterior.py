"""Beliefs against Bayes' rule written out in loops, and against values worked out by hand."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from classifiers.posterior import (
    MIN_NONE,
    ODDS_FACTORS,
    SHARE_STRENGTH,
    after_choice,
    after_verdict,
    entropy,
    expected_choice_gain,
    expected_information_gain,
    label_factors,
    none_factor,
    prior,
    shares,
)

SHAPES = [(0, 3), (1, 1), (1, 4), (6, 1), (30, 5)]


def some_belief(n_documents: int, k: int) -> np.ndarray:
    return np.random.default_rng(n_documents + k).dirichlet(np.ones(k + 1), n_documents)


def choice_chance(choice: int, truth: int, offered: np.ndarray, accuracy: float) -> float:
    """P(choice | truth), option by option; "none of these" is k."""
    k = len(offered)
    options = [c for c in range(k) if offered[c]] + [k]
    if choice not in options:
        return 0.0
    if len(options) == 1:
        return 1.0
    true_option = truth if truth in options else k
    return accuracy if choice == true_option else (1 - accuracy) / (len(options) - 1)


def verdict_chance(valid: bool, candidate: int, truth: int, sensitivity: float, specificity: float) -> float:
    said_valid = sensitivity if candidate == truth else 1 - specificity
    return said_valid if valid else 1 - said_valid


def bayes(row: np.ndarray, likelihood: list[float]) -> list[float]:
    joint = [p * chance for p, chance in zip(row, likelihood, strict=True)]
    return [p / sum(joint) for p in joint]


def mutual_information(row: np.ndarray, chances: list[list[float]]) -> float:
    """Between truth t, of probability row[t], and an answer of probability chances[t][answer]."""
    total = 0.0
    for answer in range(len(chances[0])):
        marginal = sum(p * chance[answer] for p, chance in zip(row, chances, strict=True))
        for p, chance in zip(row, chances, strict=True):
            if p * chance[answer] > 0:
                total += p * chance[answer] * math.log(chance[answer] / marginal)
    return total


# The prior.


@pytest.mark.parametrize(
    ("probabilities", "expected"),
    [
        pytest.param([0.5, 0.3], [0.5, 0.3, 0.2], id="none gets the rest"),
        pytest.param([0.0, 0.0], [0.0, 0.0, 1.0], id="nothing fits"),
        pytest.param([0.25], [0.25, 0.75], id="one candidate"),
        pytest.param([0.9, 0.099], [0.9, 0.099, 0.001], id="just enough left"),
        pytest.param([0.8, 0.2], [0.7992, 0.1998, 0.001], id="nothing left"),
        pytest.param([0.9995, 0.0], [0.999, 0.0, 0.001], id="too little left"),
        pytest.param([0.9, 0.6], [0.5994, 0.3996, 0.001], id="the article's, above one"),
        pytest.param([1.0] * 10, [0.0999] * 10 + [0.001], id="far above one"),
        pytest.param([1.0], [0.999, 0.001], id="one certain candidate"),
        pytest.param([], [1.0], id="no candidate"),
    ],
)
def test_prior_by_hand(probabilities, expected):
    assert prior(np.array([probabilities], dtype=float))[0] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("n_documents", "k"), SHAPES)
@pytest.mark.parametrize("scale", [0.0, 0.1, 1.0, 10.0])
def test_prior_is_a_belief_whatever_the_rows_add_up_to(n_documents, k, scale):
    given = np.random.default_rng(0).random((n_documents, k)) * scale
    belief = prior(given)
    assert belief.shape == (n_documents, k + 1)
    assert belief.sum(axis=1) == pytest.approx(np.ones(n_documents))
    assert (belief[:, -1] >= MIN_NONE * (1 - 1e-9)).all()
    assert np.array_equal(np.argsort(belief[:, :-1], kind="stable"), np.argsort(given, kind="stable"))


def test_prior_of_single_precision_is_computed_in_double():
    belief = prior(np.array([[0.7, 0.3]], dtype=np.float32))
    assert belief.dtype == np.float64
    assert abs(belief.sum() - 1) < 1e-12


@pytest.mark.parametrize("wrong", [-0.1, np.nan, np.inf])
def test_prior_refuses_what_is_no_probability(wrong):
    with pytest.raises(ValueError, match="finite and not negative"):
        prior(np.array([[0.5, wrong]]))


# Verdicts.


@pytest.mark.parametrize(
    ("valid", "expected"),
    [
        # 0.5 * 0.9 : 0.3 * 0.2 : 0.2 * 0.2 = 0.45 : 0.06 : 0.04
        (True, [45 / 55, 6 / 55, 4 / 55]),
        # 0.5 * 0.1 : 0.3 * 0.8 : 0.2 * 0.8 = 0.05 : 0.24 : 0.16
        (False, [5 / 45, 24 / 45, 16 / 45]),
    ],
)
def test_verdict_by_hand(valid, expected):
    belief = after_verdict(np.array([[0.5, 0.3, 0.2]]), np.array([0]), np.array([valid]), 0.9, 0.8)
    assert belief[0] == pytest.approx(expected)


@pytest.mark.parametrize(("n_documents", "k"), SHAPES)
@pytest.mark.parametrize(("sensitivity", "specificity"), [(0.95, 0.95), (0.6, 0.99), (0.98, 0.3), (0.2, 0.1), (1, 0.5)])
def test_verdicts_follow_bayes(n_documents, k, sensitivity, specificity):
    rng = np.random.default_rng(1)
    given = some_belief(n_documents, k)
    candidate, valid = rng.integers(0, k, n_documents), rng.random(n_documents) < 0.5
    belief = after_verdict(given, candidate, valid, sensitivity, specificity)
    assert belief.shape == given.shape
    for i in range(n_documents):
        likelihood = [verdict_chance(valid[i], candidate[i], t, sensitivity, specificity) for t in range(k + 1)]
        assert belief[i] == pytest.approx(bayes(given[i], likelihood))


def test_each_document_may_have_its_own_judge():
    given, candidate, valid = some_belief(4, 3), np.array([0, 1, 2, 0]), np.array([True, False, True, False])
    se, sp = np.array([0.9, 0.8, 0.7, 0.6]), np.array([0.95, 0.85, 0.75, 0.65])
    together = after_verdict(given, candidate, valid, se, sp)
    for i in range(4):
        one = slice(i, i + 1)
        assert together[i] == pytest.approx(
            after_verdict(given[one], candidate[one], valid[one], float(se[i]), float(sp[i]))[0]
        )


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_the_order_of_verdicts_does_not_matter(order):
    verdicts = [(0, False, 0.9, 0.8), (1, True, 0.95, 0.7), (0, True, 0.6, 0.99)]
    belief = forwards = some_belief(5, 3)
    for index in range(3):
        forwards = after_one(forwards, *verdicts[index])
    for index in order:
        belief = after_one(belief, *verdicts[index])
    assert belief == pytest.approx(forwards)


def after_one(belief: np.ndarray, candidate: int, valid: bool, sensitivity: float, specificity: float) -> np.ndarray:
    n = len(belief)
    return after_verdict(belief, np.full(n, candidate), np.full(n, valid), sensitivity, specificity)


@pytest.mark.parametrize("valid", [True, False])
def test_a_coin_tossing_judge_changes_nothing(valid):
    given = some_belief(8, 4)
    assert after_one(given, 1, valid, 0.7, 0.3) == pytest.approx(given)


def test_valid_raises_the_candidate_and_invalid_lowers_it():
    given = some_belief(20, 3)
    assert (after_one(given, 2, True, 0.9, 0.9)[:, 2] > given[:, 2]).all()
    assert (after_one(given, 2, False, 0.9, 0.9)[:, 2] < given[:, 2]).all()


def test_refusals_bring_none_of_these_up_from_its_least():
    belief = prior(np.array([[0.6, 0.3, 0.1]]))
    for candidate in [0, 1, 2] * 5:  # 0.6 / 9**5 is far below MIN_NONE
        belief = after_one(belief, candidate, False, 0.9, 0.9)
    assert belief[0, -1] > 0.95


@pytest.mark.parametrize("valid", [True, False])
def test_many_equal_verdicts_stay_a_belief(valid):
    belief = some_belief(3, 2)
    for _ in range(500):
        belief = after_one(belief, 0, valid, 0.99, 0.99)
    assert np.isfinite(belief).all()
    assert belief.sum(axis=1) == pytest.approx(np.ones(3))


def test_a_perfect_judge_settles_it_and_cannot_contradict_itself():
    settled = after_one(some_belief(2, 2), 0, True, 1, 1)
    assert settled.tolist() == [[1, 0, 0], [1, 0, 0]]
    assert after_one(settled, 0, False, 1, 1).tolist() == settled.tolist()


def test_an_update_leaves_the_belief_before_it_as_it_was():
    given = np.array([[0.5, 0.5], [1.0, 0.0]])
    after_one(given, 0, False, 1, 1)
    after_choice(given, np.array([0, 1]), np.ones((2, 1), dtype=bool), 1.0)
    assert given.tolist() == [[0.5, 0.5], [1.0, 0.0]]


@pytest.mark.parametrize("candidate", [-1, 3, 4])
def test_a_verdict_on_none_of_these_is_refused(candidate):
    with pytest.raises(ValueError, match="one of the candidates"):
        after_one(some_belief(1, 3), candidate, True, 0.9, 0.9)


# Choices.


def test_choice_by_hand():
    # Offered: 0 and 2; 1 behaves as none of these. Three options, each error has chance 0.1.
    given, offered = np.array([[0.4, 0.1, 0.3, 0.2]]), np.array([[True, False, True]])
    # 0.4 * 0.8 : 0.1 * 0.1 : 0.3 * 0.1 : 0.2 * 0.1 = 0.32 : 0.01 : 0.03 : 0.02
    assert after_choice(given, np.array([0]), offered, 0.8)[0] == pytest.approx([32 / 38, 1 / 38, 3 / 38, 2 / 38])
    # 0.4 * 0.1 : 0.1 * 0.8 : 0.3 * 0.1 : 0.2 * 0.8 = 0.04 : 0.08 : 0.03 : 0.16
    assert after_choice(given, np.array([3]), offered, 0.8)[0] == pytest.approx([4 / 31, 8 / 31, 3 / 31, 16 / 31])


@pytest.mark.parametrize(("n_documents", "k"), SHAPES)
@pytest.mark.parametrize("accuracy", [0.95, 0.5, 0.1])
def test_choices_follow_bayes(n_documents, k, accuracy):
    rng = np.random.default_rng(2)
    given = some_belief(n_documents, k)
    offered = rng.random((n_documents, k)) < 0.6
    chosen = np.array([rng.choice([*np.flatnonzero(row), k]) for row in offered], dtype=int)
    belief = after_choice(given, chosen, offered, accuracy)
    assert belief.shape == given.shape
    for i in range(n_documents):
        likelihood = [choice_chance(chosen[i], t, offered[i], accuracy) for t in range(k + 1)]
        assert belief[i] == pytest.approx(bayes(given[i], likelihood))


def test_each_document_may_have_its_own_accuracy():
    given, offered, accuracy = some_belief(3, 2), np.ones((3, 2), dtype=bool), np.array([0.9, 0.6, 0.4])
    together = after_choice(given, np.array([0, 1, 2]), offered, accuracy)
    gains = expected_choice_gain(given, offered, accuracy)
    for i in range(3):
        one = slice(i, i + 1)
        assert together[i] == pytest.approx(after_choice(given[one], np.array([i]), offered[one], accuracy[i])[0])
        assert gains[i] == pytest.approx(expected_choice_gain(given[one], offered[one], accuracy[i])[0])


def test_choosing_none_where_nothing_is_offered_changes_nothing():
    given = some_belief(3, 2)
    assert after_choice(given, np.full(3, 2), np.zeros((3, 2), dtype=bool), 0.9) == pytest.approx(given)


@pytest.mark.parametrize("accuracy", [0.3, 0.9, 1.0])
def test_one_offered_candidate_is_the_binary_question(accuracy):
    given, offered = some_belief(4, 3), np.tile([False, True, False], (4, 1))
    for chosen, valid in [(1, True), (3, False)]:
        assert after_choice(given, np.full(4, chosen), offered, accuracy) == pytest.approx(
            after_one(given, 1, valid, accuracy, accuracy)
        )
    assert expected_choice_gain(given, offered, accuracy) == pytest.approx(
        expected_information_gain(given[:, 1], accuracy, accuracy)
    )


@pytest.mark.parametrize("chosen", [-1, 1, 4])
def test_a_choice_that_was_not_offered_is_refused(chosen):
    with pytest.raises(ValueError, match="one of the offered"):
        after_choice(some_belief(1, 3), np.array([chosen]), np.array([[True, False, True]]), 0.9)


# Expected gains.


@pytest.mark.parametrize("q", [0.0, 1e-9, 0.02, 0.3, 0.5, 0.77, 1 - 1e-9, 1.0])
@pytest.mark.parametrize(("sensitivity", "specificity"), list(itertools.product([0.0, 0.3, 0.5, 0.9, 1.0], repeat=2)))
def test_gain_is_the_mutual_information_of_truth_and_verdict(q, sensitivity, specificity):
    chances = [[sensitivity, 1 - sensitivity], [1 - specificity, specificity]]
    gain = expected_information_gain(q, sensitivity, specificity)
    assert gain == pytest.approx(mutual_information(np.array([q, 1 - q]), chances), abs=1e-12)
    assert 0 <= gain <= math.log(2) + 1e-12


def test_gain_by_hand():
    # h(0.5) - h(0.9): log 2 + 0.9 log 0.9 + 0.1 log 0.1
    assert expected_information_gain(0.5, 0.9, 0.9) == pytest.approx(0.6931472 - 0.3250830)
    assert expected_information_gain(0.5, 1, 1) == pytest.approx(math.log(2))


@pytest.mark.parametrize("q", [0.0, 1.0])
@pytest.mark.parametrize(("sensitivity", "specificity"), [(0.9, 0.9), (0.7, 0.95), (1.0, 1.0), (0.123, 0.777)])
def test_what_is_known_already_gains_nothing(q, sensitivity, specificity):
    assert expected_information_gain(q, sensitivity, specificity) == 0


@pytest.mark.parametrize("sensitivity", [0.0, 0.25, 0.5, 0.9, 1.0])
def test_a_coin_tossing_judge_gains_nothing(sensitivity):
    gain = expected_information_gain(np.linspace(0, 1, 101), sensitivity, 1 - sensitivity)
    assert gain == pytest.approx(np.zeros(101), abs=1e-12)


@pytest.mark.parametrize("rate", [0.6, 0.8, 0.95, 1.0])
def test_gain_is_largest_on_an_even_question_and_falls_to_both_sides(rate):
    gain = expected_information_gain(np.linspace(0, 1, 101), rate, rate)
    assert gain.argmax() == 50
    assert (np.diff(gain[:51]) > 0).all()
    assert gain == pytest.approx(gain[::-1])


@pytest.mark.parametrize(("sensitivity", "specificity"), [(0.98, 0.3), (0.6, 0.99), (0.9, 0.8)])
def test_an_uneven_judge_still_gains_most_near_the_middle(sensitivity, specificity):
    q = np.linspace(0, 1, 101)
    assert 0.35 < q[expected_information_gain(q, sensitivity, specificity).argmax()] < 0.65


def test_gain_is_what_entropy_falls_by_on_average():
    given = some_belief(10, 1)
    said_valid = given[:, 0] * 0.9 + given[:, 1] * 0.2
    after = said_valid * entropy(after_one(given, 0, True, 0.9, 0.8))
    after += (1 - said_valid) * entropy(after_one(given, 0, False, 0.9, 0.8))
    assert expected_information_gain(given[:, 0], 0.9, 0.8) == pytest.approx(entropy(given) - after)


def test_gain_takes_any_shape():
    assert expected_information_gain(np.empty(0), 0.9, 0.9).shape == (0,)
    assert expected_information_gain(np.full((4, 3), 0.5), 0.9, 0.9).shape == (4, 3)
    assert expected_information_gain(0.5, np.array([0.6, 0.9]), 0.9).shape == (2,)


@pytest.mark.parametrize(("n_documents", "k"), SHAPES)
@pytest.mark.parametrize("accuracy", [0.0, 0.2, 0.5, 0.95, 1.0])
def test_choice_gain_is_the_mutual_information_of_truth_and_choice(n_documents, k, accuracy):
    given = some_belief(n_documents, k)
    offered = np.random.default_rng(3).random((n_documents, k)) < 0.6
    gains = expected_choice_gain(given, offered, accuracy)
    assert gains.shape == (n_documents,)
    for i in range(n_documents):
        chances = [[choice_chance(c, t, offered[i], accuracy) for c in range(k + 1)] for t in range(k + 1)]
        assert gains[i] == pytest.approx(mutual_information(given[i], chances), abs=1e-12)


def test_choice_gain_is_nothing_when_nothing_is_offered_or_any_option_is_as_likely():
    given = some_belief(5, 3)
    assert expected_choice_gain(given, np.zeros((5, 3), dtype=bool), 0.9) == pytest.approx(np.zeros(5), abs=1e-12)
    assert expected_choice_gain(given, np.ones((5, 3), dtype=bool), 0.25) == pytest.approx(np.zeros(5), abs=1e-12)


def test_a_perfect_choice_among_all_gains_the_whole_entropy():
    given = some_belief(5, 3)
    assert expected_choice_gain(given, np.ones((5, 3), dtype=bool), 1.0) == pytest.approx(entropy(given))


def test_a_choice_among_more_candidates_teaches_more():
    given = np.array([[0.4, 0.3, 0.2, 0.1]])
    gains = [expected_choice_gain(given, np.array([np.arange(3) < n]), 1.0)[0] for n in range(4)]
    assert gains == sorted(gains)
    assert len(set(gains)) == 4


# Entropy.


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ([1.0, 0.0], 0.0),
        ([0.5, 0.5], math.log(2)),
        ([0.25] * 4, math.log(4)),
        ([0.5, 0.25, 0.25], 1.5 * math.log(2)),
        ([1.0], 0.0),
    ],
)
def test_entropy_by_hand(row, expected):
    assert entropy(np.array([row])) == pytest.approx([expected])


def test_entropy_of_nothing_is_empty():
    assert entropy(np.empty((0, 3))).shape == (0,)


# How common "none of these" is.


def some_prior(n: int = 2000, none: float = 0.02) -> np.ndarray:
    """Probabilities of three candidates that leave about so much to none of these."""
    rng = np.random.default_rng(0)
    rest = rng.beta(0.3, 0.3 * (1 - none) / none, n)
    return rng.dirichlet(np.ones(3), n) * (1 - rest)[:, None]


@pytest.mark.parametrize(("n_none", "n_audits"), [(0, 10), (1, 10), (9, 100), (60, 100), (0, 1000)])
def test_none_of_these_becomes_as_common_as_audits_and_the_model_say(n_none, n_audits):
    probabilities = some_prior()
    own = prior(probabilities)[:, -1].mean()
    factor = none_factor(probabilities, n_none, n_audits)
    wanted = (n_none + SHARE_STRENGTH * own) / (n_audits + SHARE_STRENGTH)
    assert prior(probabilities, factor)[:, -1].mean() == pytest.approx(wanted, rel=1e-3)


def test_without_audits_the_model_is_believed():
    probabilities = some_prior()
    assert none_factor(probabilities, 0, 0) == pytest.approx(1.0)
    assert prior(probabilities, 1.0) == pytest.approx(prior(probabilities))


@pytest.mark.parametrize(("n_none", "end"), [(0, 0), (10**9, 1)])
def test_no_number_of_audits_makes_none_of_these_impossible_or_certain(n_none, end):
    factor = none_factor(some_prior(), n_none, 10**9)
    assert factor == ODDS_FACTORS[end]
    belief = prior(some_prior(), factor)
    assert ((belief > 0) & (belief < 1)).all()


def test_where_there_is_no_document_none_of_these_is_as_common_as_ever():
    assert none_factor(np.empty((0, 3)), 1, 5) == 1.0


# The pool's shares of the labels.

N_SHARED = 6
SKEWED = np.array([0.6, 0.2, 0.1, 0.06, 0.03, 0.01])


def drawn(true_shares: np.ndarray, n: int, noise: float = 1.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Probabilities of texts as a model that has learnt equal shares gives them, the candidates, the truth.

    A text shows its label's mean on a line, with noise: by Bayes' rule the probabilities are exact.
    """
    rng = np.random.default_rng(0)
    truth = rng.choice(N_SHARED, n, p=true_shares)
    seen = truth + rng.normal(scale=noise, size=n)
    likelihood = np.exp(-((seen[:, None] - np.arange(N_SHARED)) ** 2) / (2 * noise**2))
    probabilities = likelihood / likelihood.sum(axis=1, keepdims=True)
    labels = np.argsort(-probabilities, axis=1)
    return np.take_along_axis(probabilities, labels, axis=1), labels, truth


def test_shares_of_a_skewed_pool_are_found_and_make_more_of_it_right():
    probabilities, labels, truth = drawn(SKEWED, 5_000)
    found = shares(probabilities, labels, np.full(N_SHARED, 30))
    assert found.sum() == pytest.approx(1)
    assert found == pytest.approx(SKEWED, abs=0.03)
    factors = label_factors(probabilities, labels, np.full(N_SHARED, 30))
    assert factors == pytest.approx(found * N_SHARED)
    best = prior(probabilities, factors=factors[labels])[:, :-1].argmax(axis=1)[:, None]
    assert (np.take_along_axis(labels, best, axis=1)[:, 0] == truth).mean() > (labels[:, 0] == truth).mean() + 0.1


def test_a_pool_like_the_examples_changes_hardly_anything():
    probabilities, labels, _ = drawn(np.full(N_SHARED, 1 / N_SHARED), 5_000, 0.6)
    assert label_factors(probabilities, labels, np.full(N_SHARED, 30)) == pytest.approx(1.0, abs=0.15)


def test_the_model_knows_the_shares_of_its_examples_already():
    probabilities, labels, _ = drawn(SKEWED, 5_000)
    n_examples = 1_000 * SKEWED
    weighted = probabilities * SKEWED[labels]
    told = label_factors(weighted / weighted.sum(axis=1, keepdims=True), labels, n_examples)
    assert told == pytest.approx(1.0, abs=0.5)
    assert told * SKEWED == pytest.approx(SKEWED, abs=0.03)


@pytest.mark.parametrize("n_documents", [0, 1, 20])
def test_few_texts_say_little_against_the_examples(n_documents):
    probabilities, labels, _ = drawn(SKEWED, n_documents)
    n_examples = np.array([1, 2, 3, 4, 5, 6])
    few = shares(probabilities, labels, n_examples, strength=100)
    assert few == pytest.approx(n_examples / 21, abs=0.02)
    assert (label_factors(probabilities, labels, n_examples) > 0).all()


def test_certain_texts_count_whole_and_none_of_these_counts_for_no_label():
    nothing = np.zeros((50, 2)), np.tile([0, 1], (50, 1))
    found = shares(*nothing, np.array([5, 5, 5]), np.array([8, 1, 0]), strength=1)
    assert found == pytest.approx(np.array([9, 2, 1]) / 12)


def test_a_label_without_examples_has_a_share_and_a_factor_too():
    probabilities, labels, _ = drawn(SKEWED, 100)
    factors = label_factors(probabilities, labels, np.array([0, 3, 3, 3, 3, 3]))
    assert np.isfinite(factors).all()
    assert factors[0] > 1


def test_factors_multiply_the_odds_of_the_candidates():
    probabilities = np.array([[0.5, 0.3], [0.2, 0.0]])
    factors = np.array([[2.0, 1.0], [0.5, 3.0]])
    expected = np.array([[1.0, 0.3, 0.2 * 4], [0.1, 0.0, 0.8 * 4]])
    expected /= expected.sum(axis=1, keepdims=True)
    assert prior(probabilities, 4.0, factors) == pytest.approx(expected)
    assert prior(probabilities, 4.0, 1.0) == pytest.approx(prior(probabilities, 4.0))
