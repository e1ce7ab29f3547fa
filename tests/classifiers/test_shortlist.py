"""Which labels become candidates: weights that a grid search finds too, and the best by them."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.special import log_softmax

from classifiers import shortlist
from classifiers.shortlist import (
    L2,
    USUAL_WEIGHT,
    Shortlist,
    best,
    fit_shortlist,
    fit_weights,
    last_view_helps,
    weighed,
)

N_LABELS = 40


def some_views(
    n: int = 300, trust: tuple[float, ...] = (2.0, 0.5), seed: int = 0
) -> tuple[list[np.ndarray], np.ndarray]:
    """Views that see the true label stand out, each as far as it is to be trusted."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, N_LABELS, n)
    views = [rng.normal(size=(n, N_LABELS)).astype(np.float32) for _ in trust]
    for view, by in zip(views, trust, strict=True):
        view[np.arange(n), truth] += by
    return views, truth


def in_ten(labels: np.ndarray, truth: np.ndarray) -> float:
    return float((labels == truth[:, None]).any(axis=1).mean())


def test_weights_are_those_that_a_grid_finds():
    views, truth = some_views(60)
    scale = [(view - view.mean(axis=1, keepdims=True)).std() for view in views]

    def loss(weights: tuple[float, ...]) -> float:
        scores = sum(weight / by * view for weight, by, view in zip(weights, scale, views, strict=True))
        likelihood = log_softmax(scores.astype(float), axis=1)[np.arange(60), truth].sum()
        return L2 / 2 * sum((weight - USUAL_WEIGHT) ** 2 for weight in weights) - likelihood

    grid = min(itertools.product(np.linspace(0, 4, 81), repeat=2), key=loss)
    assert fit_weights(views, truth) * scale == pytest.approx(np.array(grid), abs=0.06)


def test_a_view_that_misleads_has_no_weight_and_a_better_one_has_more():
    views, truth = some_views(trust=(2.0, 0.5, -1.0))
    weights = fit_weights(views, truth)
    assert weights[0] > weights[1] > weights[2] == 0


@pytest.mark.parametrize("n", [1, 20])
def test_where_nothing_can_be_learnt_every_view_counts_by_its_scatter(n):
    views, _ = some_views(n)
    views[1] *= 10
    weights = fit_weights(views, np.full(n, -1))
    assert weights[0] == pytest.approx(10 * weights[1], rel=0.5)
    assert (weights > 0).all()


def test_a_view_without_any_scatter_does_no_harm():
    views, truth = some_views()
    flat = np.zeros_like(views[0])
    assert fit_weights([*views, flat], truth)[:2] == pytest.approx(fit_weights(views, truth), rel=1e-2)


@pytest.mark.parametrize("k", [1, 5, 10, N_LABELS])
@pytest.mark.parametrize("n_near", [3, 30])
def test_the_best_by_all_views_become_candidates(monkeypatch, k, n_near):
    monkeypatch.setattr(shortlist, "N_NEAR_LABELS", n_near)
    views, _ = some_views(20)
    cosines = np.random.default_rng(1).normal(size=(20, N_LABELS)).astype(np.float32)
    chosen = Shortlist(np.array([1.0, 2.0]), 0.5, 1.5)
    labels, nearest = chosen.choose(views, lambda near: np.take_along_axis(cosines, near, axis=1), k)
    assert labels.shape == nearest.shape == (20, k)
    assert np.array_equal(nearest, np.take_along_axis(cosines, labels, axis=1))
    scores = views[0] + 2 * views[1]
    for row, first, second in zip(labels.tolist(), scores, cosines, strict=True):
        near = sorted(range(N_LABELS), key=lambda code: -first[code])[: max(n_near, k)]
        assert row == sorted(near, key=lambda code: -(first[code] + 3 * second[code]))[:k]


def test_fitted_on_some_texts_it_finds_more_of_others_than_any_view_alone():
    trust = (1.5, 1.0, 1.5)
    (*views, nearest), truth = some_views(1_000, trust)
    fitted = fit_shortlist(views, lambda near: np.take_along_axis(nearest, near, axis=1), truth)
    (*views, nearest), truth = some_views(1_000, trust, seed=1)
    labels, _ = fitted.choose(views, lambda near: np.take_along_axis(nearest, near, axis=1), 5)
    assert in_ten(labels, truth) > max(in_ten(best(view, 5), truth) for view in (*views, nearest)) + 0.05


def test_the_last_view_helps_where_it_knows_something_the_others_do_not():
    views, truth = some_views(400, (1.0, 1.0))
    assert last_view_helps(views, truth)
    assert not last_view_helps([views[0], np.zeros_like(views[0])], truth)
    assert not last_view_helps(*some_views(400, (1.0, -1.0)))
    assert not last_view_helps(views, np.full(400, -1))


def test_no_texts_have_no_candidates():
    views = [np.empty((0, N_LABELS), dtype=np.float32)]
    labels, nearest = Shortlist(np.array([1.0]), 1.0, 1.0).choose(views, lambda near: near.astype(np.float32), 10)
    assert labels.shape == nearest.shape == (0, 10)


@pytest.mark.parametrize("n", [1, 3, 6, 10])
def test_best_are_the_columns_of_the_highest_scores(n):
    scores = np.random.default_rng(0).normal(size=(50, 6))
    assert np.array_equal(best(scores, n), np.argsort(-scores, axis=1)[:, :n])


def test_a_weighted_sum_is_one():
    views, _ = some_views(5)
    assert weighed(views, np.array([2.0, 0.0])) == pytest.approx(2 * views[0])


def test_a_sum_that_the_nearest_examples_outweigh_still_says_whose_are_looked_up():
    views, truth = some_views(400, (3.0,))
    nearest = 10 * np.eye(N_LABELS, dtype=np.float32)[truth]
    fitted = fit_shortlist(views, lambda near: np.take_along_axis(nearest, near, axis=1), truth)
    labels, _ = fitted.choose(views, lambda near: np.zeros(near.shape, dtype=np.float32), N_LABELS)
    assert in_ten(labels[:, :30], truth) > 0.9
    assert in_ten(labels[:, :10], truth) > 0.7
