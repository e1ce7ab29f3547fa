"""Query strategies: what all of them keep to, each one's own rule, and how a batch is spread."""

from __future__ import annotations

import time
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from classifiers.posterior import expected_information_gain
from classifiers.query import (
    HEAD,
    MIN_GAIN,
    MIN_GAIN_SETTLED,
    NEAR_DUPLICATE,
    STRATEGIES,
    Asked,
    audit_slice,
    choose,
)

every_strategy = pytest.mark.parametrize("strategy", STRATEGIES)


def asked(belief: list[list[float]], entropy: list[float] | None = None, rates: tuple[float, float] = (0.9, 0.9)):
    rows = np.array(belief, dtype=float).reshape(len(belief), -1)
    return Asked(rows, np.array(entropy or [0.0] * len(rows)), *rates, settled=rows.max(axis=1, initial=0) >= 0.85)


def some_asked(n_documents: int, k: int = 3) -> Asked:
    rng = np.random.default_rng(n_documents)
    belief = rng.dirichlet(np.ones(k + 1), n_documents)
    return Asked(belief, rng.random(n_documents), 0.9, 0.8, settled=belief.max(axis=1) >= 0.85)


def ranked(n_documents: int) -> Asked:
    """Documents in the order in which the entropy strategy asks about them."""
    return asked([[0.5, 0.5]] * n_documents, entropy=list(range(n_documents, 0, -1)))


def at_angles(*cosines: float) -> np.ndarray:
    """Unit vectors with these cosines to the first axis."""
    return np.array([[c, np.sqrt(1 - c * c)] for c in cosines])


@every_strategy
@pytest.mark.parametrize(("n_documents", "k"), [(0, 3), (1, 1), (1, 3), (7, 1), (7, 2), (50, 10)])
def test_a_strategy_gives_every_document_a_score_and_the_same_one_again(strategy, n_documents, k):
    given = some_asked(n_documents, k)
    scores = STRATEGIES[strategy](given, np.random.default_rng(5))
    assert scores.shape == (n_documents,)
    assert (scores < np.inf).all()
    assert np.array_equal(STRATEGIES[strategy](given, np.random.default_rng(5)), scores)


@every_strategy
def test_a_strategy_leaves_what_is_known_as_it_is(strategy):
    given, untouched = some_asked(9), some_asked(9)
    STRATEGIES[strategy](given, np.random.default_rng(0))
    choose(given, strategy, 4, X=np.eye(9), labels=np.zeros(9, dtype=int), label_cap=2)
    assert np.array_equal(given.belief, untouched.belief)
    assert np.array_equal(given.entropy, untouched.entropy)


@every_strategy
@pytest.mark.parametrize("batch_size", [0, 1, 4, 9, 100])
def test_the_highest_scores_are_chosen_each_document_once(strategy, batch_size):
    given = some_asked(9)
    chosen = choose(given, strategy, batch_size, random_state=5)
    scores = STRATEGIES[strategy](given, np.random.default_rng(5))
    assert len(chosen) == len(set(chosen.tolist())) == min(batch_size, (scores > -np.inf).sum())
    assert scores[chosen].tolist() == sorted(scores, reverse=True)[: len(chosen)]


@every_strategy
@pytest.mark.parametrize("batch_size", [0, 1, 4, 9, 100])
def test_a_spread_batch_is_as_full_and_still_in_the_order_of_the_scores(strategy, batch_size):
    given = some_asked(9)
    X = at_angles(*[0.0, 0.01, 0.5, 0.51, 0.52, 0.9, 0.91, 1.0, 1.0])
    chosen = choose(given, strategy, batch_size, random_state=5, X=X, labels=np.arange(9) % 2, label_cap=1)
    scores = STRATEGIES[strategy](given, np.random.default_rng(5))
    assert len(set(chosen.tolist())) == min(batch_size, (scores > -np.inf).sum())
    assert scores[chosen].tolist() == sorted(scores[chosen], reverse=True)


@every_strategy
def test_of_more_vectors_than_documents_their_own_count(strategy):
    rows, X = np.array([7, 0, 3, 9, 1, 8, 2, 4, 6]), at_angles(*np.random.default_rng(1).uniform(size=11))
    among = choose(some_asked(9), strategy, 4, random_state=5, X=X, rows=rows)
    assert among.tolist() == choose(some_asked(9), strategy, 4, random_state=5, X=X[rows]).tolist()


def test_vectors_are_copied_of_the_best_alone():
    n = 20_000
    given, X, rows = some_asked(n), np.ones((n, 64), dtype=np.float32), np.arange(n)[::-1]
    tracemalloc.start()
    try:
        choose(given, "random", 4, X=X, rows=rows)
        assert tracemalloc.get_traced_memory()[1] < X.nbytes / 3
    finally:
        tracemalloc.stop()


@every_strategy
def test_nothing_is_chosen_from_nothing(strategy):
    assert choose(some_asked(0), strategy, 10).tolist() == []
    assert (
        choose(some_asked(0), strategy, 10, X=np.empty((0, 4)), labels=np.empty(0, dtype=int), label_cap=1).tolist()
        == []
    )


def test_entropy_asks_where_the_proposing_classifier_is_least_sure():
    given = asked([[0.9, 0.1], [0.2, 0.8], [0.5, 0.5]], entropy=[0.3, 0.1, 0.7])
    assert choose(given, "entropy", 3).tolist() == [2, 0, 1]


def test_margin_asks_where_the_best_two_are_closest():
    given = asked([[0.85, 0.1, 0.05], [0.41, 0.4, 0.19], [0.5, 0.3, 0.2]], entropy=[9, 1, 5])
    assert choose(given, "margin", 3).tolist() == [1, 2, 0]


def test_margin_counts_none_of_these_and_any_order_of_candidates():
    given = asked([[0.5, 0.1, 0.4], [0.1, 0.7, 0.2], [0.2, 0.1, 0.7]])
    assert STRATEGIES["margin"](given, np.random.default_rng(0)) == pytest.approx([-0.1, -0.5, -0.5])


def test_margin_of_a_single_candidate_is_its_distance_to_none():
    given = asked([[0.9, 0.1], [0.2, 0.8], [0.5, 0.5]])
    assert STRATEGIES["margin"](given, np.random.default_rng(0)) == pytest.approx([-0.8, -0.6, 0.0])


def test_gain_asks_where_a_verdict_on_the_best_candidate_teaches_most():
    given = asked([[0.98, 0.01, 0.01], [0.3, 0.55, 0.15], [0.8, 0.1, 0.1], [0.05, 0.05, 0.9]])
    assert choose(given, "gain", 4).tolist() == [1, 2, 3, 0]
    assert STRATEGIES["gain"](given, np.random.default_rng(0)) == pytest.approx(
        expected_information_gain(np.array([0.98, 0.55, 0.8, 0.05]), 0.9, 0.9)
    )


def test_gain_knows_the_judge():
    rows = [[0.3, 0.7], [0.7, 0.3]]
    assert choose(asked(rows, rates=(0.999, 0.6)), "gain", 1).tolist() != (
        choose(asked(rows, rates=(0.6, 0.999)), "gain", 1).tolist()
    )


@pytest.mark.parametrize("sensitivity", [0.0, 0.5, 0.75, 1.0])
def test_a_coin_tossing_judge_gains_nothing_anywhere(sensitivity):
    given = asked([[0.5, 0.5], [0.9, 0.1]], rates=(sensitivity, 1 - sensitivity))
    assert STRATEGIES["gain"](given, np.random.default_rng(0)) == pytest.approx([0, 0], abs=1e-12)


def test_settling_asks_first_where_one_valid_verdict_is_enough_and_last_where_none_is_needed():
    # A judge of 0.9 / 0.9 lifts 0.4 to 0.86, above the threshold of 0.85, and 0.3 to 0.79.
    given = asked([[0.77, 0.13, 0.1], [0.3, 0.2, 0.5], [0.4, 0.3, 0.3], [0.75, 0.15, 0.1], [0.1, 0.1, 0.8]])
    given = replace(given, settled=np.array([True, False, False, False, False]))
    assert choose(given, "settling", 5).tolist() == [3, 2, 1, 4, 0]


def test_settling_does_not_ask_what_an_answer_would_hardly_change_and_asks_less_about_what_is_settled():
    # A judge of 0.9 / 0.9 tells 0.03 nats of one that is 98 % sure, 0.1 of one at 93 %.
    given = asked([[0.985, 0.015], [0.93, 0.07], [0.75, 0.25], [0.01, 0.99], [0.07, 0.93]])
    given = replace(given, settled=np.array([True, True, True, False, False]))
    told = STRATEGIES["gain"](given, np.random.default_rng(0))
    assert (told > MIN_GAIN).tolist() == [False, True, True, False, True]
    assert (told > MIN_GAIN_SETTLED["validate"]).tolist() == [False, False, True, False, False]
    assert choose(given, "settling", 5).tolist() == [4, 2]
    open_ = replace(given, settled=np.zeros(5, dtype=bool))
    assert sorted(choose(open_, "settling", 5).tolist()) == [1, 2, 4]


def test_a_settled_label_is_chosen_about_where_it_would_not_be_asked_to_be_validated():
    # 0.15 nats of one that is 90 % sure.
    given = asked([[0.90, 0.10], [0.98, 0.02]])
    assert choose(given, "settling", 2).tolist() == []
    assert choose(replace(given, question="choose"), "settling", 2).tolist() == [0]


def test_random_asks_elsewhere_with_another_seed_and_looks_at_nothing():
    assert choose(some_asked(50), "random", 10, 1).tolist() != choose(some_asked(50), "random", 10, 2).tolist()
    assert np.array_equal(choose(some_asked(50), "random", 10), choose(asked([[1.0, 0.0]] * 50), "random", 10))


def test_random_asks_about_each_document_equally_often():
    given = asked([[0.5, 0.5]] * 10)
    times = np.bincount([choose(given, "random", 1, seed)[0] for seed in range(1000)], minlength=10)
    assert times.min() > 60
    assert times.max() < 140


@pytest.mark.parametrize("strategy", ["entropy", "margin", "gain"])
def test_equal_scores_keep_the_documents_order(strategy):
    assert choose(asked([[0.5, 0.3, 0.2]] * 6), strategy, 4).tolist() == [0, 1, 2, 3]


def test_an_unknown_strategy_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match=r"'best'; choose from entropy, margin, gain, settling, random\."):
        choose(some_asked(3), "best", 1)


# Spreading.


def test_a_near_duplicate_of_a_chosen_document_is_passed_over():
    X = at_angles(1.0, 0.99, 0.5, 0.0)
    assert choose(ranked(4), "entropy", 2, X=X).tolist() == [0, 2]
    assert choose(ranked(4), "entropy", 3, X=X).tolist() == [0, 2, 3]


@pytest.mark.parametrize(("cosine", "chosen"), [(NEAR_DUPLICATE, [0, 2]), (NEAR_DUPLICATE - 1e-6, [0, 1])])
def test_near_begins_at_its_limit(cosine, chosen):
    assert choose(ranked(3), "entropy", 2, X=at_angles(1.0, cosine, 0.0)).tolist() == chosen


def test_only_chosen_documents_keep_others_out():
    # 1 is near 0 and 2; it is passed over because of 0, so it says nothing about 2.
    X = at_angles(1.0, 0.985, np.cos(2 * np.arccos(0.985)))
    assert X[0] @ X[2] < NEAR_DUPLICATE <= X[1] @ X[2] + 1e-12
    assert choose(ranked(3), "entropy", 2, X=X).tolist() == [0, 2]


def test_the_batch_is_filled_with_the_best_of_those_passed_over():
    same = np.tile([1.0, 0.0], (5, 1))
    assert choose(ranked(5), "entropy", 3, X=same).tolist() == [0, 1, 2]
    assert choose(ranked(5), "entropy", 3, X=at_angles(1.0, 1.0, 1.0, 1.0, 0.0)).tolist() == [0, 1, 4]


def test_no_label_gets_more_than_its_share():
    labels = np.array([7, 7, 7, 3, 7, 3, 5])
    assert choose(ranked(7), "entropy", 4, labels=labels, label_cap=1).tolist() == [0, 1, 3, 6]
    assert choose(ranked(7), "entropy", 3, labels=labels, label_cap=1).tolist() == [0, 3, 6]
    assert choose(ranked(7), "entropy", 5, labels=labels, label_cap=2).tolist() == [0, 1, 3, 5, 6]


def test_both_rules_hold_together():
    labels, X = np.array([1, 1, 1, 2, 2, 3]), at_angles(1.0, 0.0, 0.5, 1.0, 0.7, 0.3)
    # 3 is the twin of 0, 2 the third of its label.
    assert choose(ranked(6), "entropy", 4, X=X, labels=labels, label_cap=2).tolist() == [0, 1, 4, 5]


@pytest.mark.parametrize("given", [{"labels": np.zeros(4, dtype=int)}, {"label_cap": 1}])
def test_a_cap_needs_labels_and_labels_need_a_cap(given):
    assert choose(ranked(4), "entropy", 3, **given).tolist() == [0, 1, 2]


@pytest.mark.parametrize("label_cap", [0, -1])
def test_a_cap_below_one_is_refused(label_cap):
    with pytest.raises(ValueError, match="At least one document"):
        choose(ranked(4), "entropy", 3, labels=np.zeros(4, dtype=int), label_cap=label_cap)


def test_spreading_looks_no_further_than_the_head_of_the_ranking():
    n = 2 * HEAD + 5
    labels = np.zeros(n, dtype=int)
    labels[2 * HEAD - 1] = 1
    assert choose(ranked(n), "entropy", 2, labels=labels, label_cap=1).tolist() == [0, 2 * HEAD - 1]
    labels = np.zeros(n, dtype=int)
    labels[2 * HEAD] = 1
    assert choose(ranked(n), "entropy", 2, labels=labels, label_cap=1).tolist() == [0, 1]


@every_strategy
def test_a_hundred_thousand_documents_are_quick(strategy):
    n = 100_000
    rng = np.random.default_rng(0)
    given = Asked(rng.dirichlet(np.ones(11), n), rng.random(n), 0.9, 0.9, settled=np.zeros(n, dtype=bool))
    X = rng.standard_normal((n, 64), dtype=np.float32)
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    labels = rng.integers(0, 500, n)
    start = time.process_time()
    chosen = choose(given, strategy, 400, X=X, labels=labels, label_cap=2)
    assert time.process_time() - start < 10  # measured: 0.2 s
    assert len(set(chosen.tolist())) == 400
    assert np.bincount(labels[chosen]).max() <= 2


# The audit slice.


@pytest.mark.parametrize("n_documents", [0, 1, 20])
@pytest.mark.parametrize("size", [0, 1, 5, 20, 99])
@pytest.mark.parametrize("taken", [(), [0], np.arange(10)])
def test_a_slice_has_each_document_once_and_none_that_is_taken(n_documents, size, taken):
    drawn = audit_slice(n_documents, size, 3, taken)
    free = set(range(n_documents)) - set(np.asarray(taken).tolist())
    assert len(drawn) == len(set(drawn.tolist())) == min(size, len(free))
    assert set(drawn.tolist()) <= free
    assert np.array_equal(audit_slice(n_documents, size, 3, taken), drawn)
    assert drawn.dtype.kind == "i"


def test_another_seed_draws_another_slice():
    assert audit_slice(1000, 20, 1).tolist() != audit_slice(1000, 20, 2).tolist()


def test_every_free_document_is_drawn_equally_often():
    drawn = np.concatenate([audit_slice(10, 3, seed, taken=[4, 9]) for seed in range(1000)])
    times = np.bincount(drawn, minlength=10)
    assert times[[4, 9]].tolist() == [0, 0]
    free = np.delete(times, [4, 9])
    # 3,000 draws from 8 documents: 375 each; six standard deviations are 92.
    assert free.min() > 283
    assert free.max() < 467
