"""Which labels are settled without a person: bars, the limit on what is expected to be wrong, and audits' veto."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from classifiers.loop.settling import OWN_DOUBT, SURE, Standing, bars, confirms, is_too_wrong, settles
from classifiers.reliability import Rates

LIMIT = 0.05
NOTHING = Standing()


def settled(posterior: list[float], standing: Standing = NOTHING, limit: float = LIMIT) -> list[int]:
    probabilities = np.array(posterior, dtype=float)
    passes = settles(probabilities, np.full(len(posterior), 0.85), 1 - probabilities, standing, limit)
    return np.flatnonzero(passes).tolist()


@pytest.mark.parametrize("certainty", [0.0, 0.5, 0.85, 0.99, 1.0])
def test_the_models_own_word_needs_more_than_the_judges(certainty):
    model, judge = bars(certainty, np.array([False, True]))
    assert judge == certainty
    assert 1 - model == pytest.approx(OWN_DOUBT * (1 - certainty))
    assert certainty <= model <= 1


@pytest.mark.parametrize(
    ("rates", "question", "does"),
    [
        (Rates(0.95, 0.95), "validate", True),
        (Rates(0.8, 0.8), "validate", True),
        (Rates(0.6, 0.8), "validate", True),
        (Rates(0.98, 0.3), "validate", False),
        (Rates(0.5, 0.5), "validate", False),
        (Rates(0.4, 0.4), "choose", True),
        (Rates(1 / 6, 1 / 6), "choose", False),
    ],
)
def test_what_a_judge_calls_right_must_be_much_likelier_by_it(rates, question, does):
    assert confirms(rates, question) is does


@pytest.mark.parametrize(
    ("posterior", "passes"),
    [
        pytest.param([], [], id="nothing"),
        pytest.param([0.2, 0.84], [], id="below the bar"),
        pytest.param([0.99, 0.97, 0.95], [0, 1, 2], id="together 3 % wrong"),
        pytest.param([0.85, 0.99, 0.99, 0.98], [0, 1, 2, 3], id="together 4.75 %: the others bear the doubtful one"),
        pytest.param([0.85, 0.99, 0.97, 0.98], [1, 2, 3], id="5.25 % with it"),
        pytest.param([0.85, 0.85, 0.99, 0.99, 0.99, 0.99], [2, 3, 4, 5], id="equal ones pass together or not at all"),
        pytest.param([0.95, 0.95], [0, 1], id="just the limit"),
        pytest.param([0.86, 0.9, 0.94], [], id="even the surest is too doubtful"),
        pytest.param([0.86, 1.0], [1], id="one certain, one too doubtful"),
    ],
)
def test_so_many_settle_that_few_are_expected_to_be_wrong(posterior, passes):
    assert settled(posterior) == passes


@pytest.mark.parametrize(
    ("n", "expected_wrong", "passes"),
    [
        (0, 0.0, [1, 2, 3]),
        (1, 0.05, [1, 2, 3]),
        (1, 0.04, [0, 1, 2, 3]),
        (100, 1.0, [0, 1, 2, 3]),
        (100, 9.0, [1, 2, 3]),
    ],
)
def test_what_was_settled_before_leaves_room_for_doubtful_ones(n, expected_wrong, passes):
    # The doubtful one makes it 0.21 wrong of four, 0.01 more than the limit. What is over already is no reason to
    # leave out sure ones.
    assert settled([0.85, 0.99, 0.97, 0.98], Standing(n, expected_wrong)) == passes


@pytest.mark.parametrize("random_state", range(8))
@pytest.mark.parametrize("limit", [0.02, 0.05, 0.2])
def test_what_settles_is_the_most_that_the_limit_allows(random_state, limit):
    rng = np.random.default_rng(random_state)
    posterior = rng.beta(8, 1, 300).round(3)
    bar = bars(0.85, rng.random(300) < 0.5)
    risk = (1 - posterior) * np.where(rng.random(300) < 0.5, 1.0, 1.7)
    n = int(rng.integers(0, 100))
    standing = Standing(n, float(rng.random() * limit * n))
    passes = settles(posterior, bar, risk, standing, limit)
    assert (posterior >= bar)[passes].all()
    all_wrong = standing.expected_wrong + risk[passes].sum()
    assert all_wrong <= limit * (n + passes.sum()) + 1e-6
    left_out = (posterior >= bar) & ~passes
    if left_out.any():
        assert risk[left_out].min() > risk[passes].max(initial=-1)
        # The next ones, all of the same risk, are too many.
        following = left_out & (risk == risk[left_out].min())
        assert all_wrong + risk[following].sum() > limit * (n + passes.sum() + following.sum())


def test_however_many_rounds_there_are_the_limit_holds_for_all_together():
    rng = np.random.default_rng(1)
    standing = NOTHING
    for doubt in (20, 4, 3, 30, 2):
        posterior = rng.beta(doubt, 1, 200)
        passes = settles(posterior, np.full(200, 0.6), 1 - posterior, standing, LIMIT)
        wrong = float((1 - posterior[passes]).sum())
        standing = Standing(standing.n + int(passes.sum()), standing.expected_wrong + wrong)
        assert standing.expected_wrong <= LIMIT * standing.n + 1e-6
    assert standing.n > 200


def test_what_audits_found_of_such_labels_counts_not_what_was_believed():
    posterior = np.array([0.97, 0.97, 0.97])
    assert settles(posterior, np.full(3, 0.85), np.array([0.03, 0.03, 0.2]), NOTHING, LIMIT).tolist() == [
        True,
        True,
        False,
    ]


@pytest.mark.parametrize("limit", [0.02, 0.05, 0.1])
@pytest.mark.parametrize("n_errors", [0, 1, 2, 5, 12])
@pytest.mark.parametrize("n_audits", [0, 1, 2, 10, 40, 100, 400])
def test_settling_stops_when_audits_are_sure_that_too_much_is_wrong(n_audits, n_errors, limit):
    if n_errors > n_audits:
        return
    standing = Standing(1000, 1.0, n_audits, n_errors)
    # Were only as much wrong as the limit allows, so many errors would be too unlikely.
    unlikely = n_errors > 0 and binom.sf(n_errors - 1, n_audits, limit) < 1 - SURE
    assert is_too_wrong(standing, limit) == unlikely
    assert settled([0.99, 0.999], standing, limit=limit) == ([] if unlikely else [0, 1])


def test_without_audits_or_errors_nothing_stops():
    assert not is_too_wrong(NOTHING, LIMIT)
    assert not is_too_wrong(Standing(n_audits=1000), LIMIT)
    assert is_too_wrong(Standing(n_audits=1, n_errors=1), 0.04)
