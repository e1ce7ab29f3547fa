"""Query strategies: what all of them keep to, and each one's own rule."""

from __future__ import annotations

import numpy as np
import pytest

from classifiers.query import STRATEGIES, choose
from classifiers.red_classifier import Candidates

every_strategy = pytest.mark.parametrize("strategy", STRATEGIES)


def candidates(probabilities: list[list[float]], entropy: list[float] | None = None) -> Candidates:
    rows = np.array(probabilities, dtype=float).reshape(len(probabilities), -1)
    labels = np.tile(np.arange(rows.shape[1]), (len(rows), 1))
    return Candidates(labels, rows, np.array(entropy or [0.0] * len(rows)))


def some_candidates(n_documents: int, k: int = 3) -> Candidates:
    rng = np.random.default_rng(n_documents)
    rows = -np.sort(-rng.random((n_documents, k)), axis=1)
    return Candidates(rng.integers(0, 9, (n_documents, k)), rows, rng.random(n_documents))


@every_strategy
@pytest.mark.parametrize(("n_documents", "k"), [(0, 3), (1, 1), (1, 3), (7, 1), (7, 2), (50, 10)])
def test_a_strategy_gives_every_document_a_score_and_the_same_one_again(strategy, n_documents, k):
    given = some_candidates(n_documents, k)
    scores = STRATEGIES[strategy](given, np.random.default_rng(5))
    assert scores.shape == (n_documents,)
    assert np.isfinite(scores).all()
    assert np.array_equal(STRATEGIES[strategy](given, np.random.default_rng(5)), scores)


@every_strategy
def test_a_strategy_leaves_the_candidates_as_they_are(strategy):
    given, untouched = some_candidates(9), some_candidates(9)
    STRATEGIES[strategy](given, np.random.default_rng(0))
    assert np.array_equal(given.labels, untouched.labels)
    assert np.array_equal(given.probabilities, untouched.probabilities)
    assert np.array_equal(given.entropy, untouched.entropy)


@every_strategy
@pytest.mark.parametrize("batch_size", [0, 1, 4, 9, 100])
def test_the_highest_scores_are_chosen_each_document_once(strategy, batch_size):
    given = some_candidates(9)
    chosen = choose(given, strategy, batch_size, random_state=5)
    scores = STRATEGIES[strategy](given, np.random.default_rng(5))
    assert len(chosen) == len(set(chosen.tolist())) == min(batch_size, 9)
    assert scores[chosen].tolist() == sorted(scores, reverse=True)[:batch_size]


@every_strategy
def test_nothing_is_chosen_from_nothing(strategy):
    assert choose(some_candidates(0), strategy, 10).tolist() == []


def test_entropy_asks_where_the_proposing_classifier_is_least_sure():
    given = candidates([[0.9], [0.2], [0.5]], entropy=[0.3, 0.1, 0.7])
    assert choose(given, "entropy", 3).tolist() == [2, 0, 1]


def test_margin_asks_where_the_best_two_are_closest():
    given = candidates([[0.9, 0.1], [0.4, 0.39], [0.5, 0.2]], entropy=[9, 1, 5])
    assert choose(given, "margin", 3).tolist() == [1, 2, 0]


def test_margin_of_a_single_candidate_is_its_probability():
    given = candidates([[0.9], [0.2], [0.5]])
    assert STRATEGIES["margin"](given, np.random.default_rng(0)).tolist() == [-0.9, -0.2, -0.5]


def test_random_asks_elsewhere_with_another_seed_and_looks_at_nothing():
    assert (
        choose(some_candidates(50), "random", 10, 1).tolist() != choose(some_candidates(50), "random", 10, 2).tolist()
    )
    assert np.array_equal(choose(some_candidates(50), "random", 10), choose(candidates([[1.0]] * 50), "random", 10))


def test_random_asks_about_each_document_equally_often():
    given = candidates([[0.5]] * 10)
    asked = np.bincount([choose(given, "random", 1, seed)[0] for seed in range(1000)], minlength=10)
    assert asked.min() > 60
    assert asked.max() < 140


@pytest.mark.parametrize("strategy", ["entropy", "margin"])
def test_equal_scores_keep_the_documents_order(strategy):
    assert choose(candidates([[0.5, 0.2]] * 6), strategy, 4).tolist() == [0, 1, 2, 3]


def test_an_unknown_strategy_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match=r"'best'; choose from entropy, margin, random\."):
        choose(some_candidates(3), "best", 1)
