"""The global expert: scikit-learn's regression, and scores of examples by an expert that hasn't seen them."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from classifiers import global_expert
from classifiers.global_expert import ALONE_SHARE, N_FOLDS, C, fit_global_expert
from classifiers.subset_classifier import NOISE
from tests.classifiers.clusters import N_DIMS, clusters, some_units


@pytest.mark.parametrize("n_noise", [0, 5])
def test_it_is_scikit_learns_logistic_regression(n_noise):
    X, y = clusters(6, 5, scale=0.3)
    X, y = np.concatenate([X, some_units(n_noise, N_DIMS)]), np.append(y, np.full(n_noise, NOISE))
    own = LogisticRegression(C=C, max_iter=300).fit(X, y)
    new = some_units(20, N_DIMS, 1)
    expected = own.decision_function(new)[:, own.classes_ >= 0]
    expert = fit_global_expert(X, y, 30)
    assert expert.scores(new) == pytest.approx(expert.shrinkage * expected, abs=1e-4)


def test_two_classes_have_a_score_each():
    X, y = clusters(2, 5)
    assert (fit_global_expert(X, y, len(X)).scores(X).argmax(axis=1) == y).all()


def test_scores_are_as_large_as_those_of_experts_that_have_seen_less():
    X, y = clusters(6, 15, scale=0.3)
    expert = fit_global_expert(X, y, len(X))
    assert 0.8 < expert.shrinkage < 1
    new = some_units(500, N_DIMS, 1)
    folds = global_expert._folds(y, random_state=0)
    fold_scores = []
    for fold in range(N_FOLDS):
        weights, intercepts = global_expert._fit(X[folds != fold], y[folds != fold], 6)
        fold_scores.append(new @ weights + intercepts)
    assert expert.scores(new).std() == pytest.approx(np.mean([scores.std() for scores in fold_scores]), rel=0.05)


@pytest.mark.parametrize("n_own", [7, 30])
def test_held_out_scores_are_those_of_an_expert_that_has_not_seen_the_example(monkeypatch, n_own):
    X, y = clusters(6, 5, scale=0.3)
    learnt: list[np.ndarray] = []
    fit = global_expert._fit

    def watched(X, *more):
        learnt.append(X)
        return fit(X, *more)

    monkeypatch.setattr(global_expert, "_fit", watched)
    expert = fit_global_expert(X, y, n_own)
    assert expert.held_out.shape == (n_own, 6)
    assert len(learnt) == 1 + N_FOLDS
    for row in range(n_own):
        seen_by = [(X[row] == known).all(axis=1).any() for known in learnt[1:]]
        assert sum(seen_by) == N_FOLDS - 1
        weights, intercepts = fit(X_fold := learnt[1 + seen_by.index(False)], _codes(X, y, X_fold), 6)
        assert expert.held_out[row] == pytest.approx(X[row] @ weights + intercepts, abs=1e-5)


def test_folds_hold_out_as_many_examples_of_each_label():
    codes = np.arange(4).repeat(10)
    folds = global_expert._folds(codes, random_state=0)
    assert all((np.bincount(folds[codes == code]) == 10 / N_FOLDS).all() for code in range(4))


def test_a_label_whose_only_example_is_held_out_scores_as_low_as_the_lowest():
    X, y = clusters(6, 5)
    X, y = np.concatenate([X, some_units(1, N_DIMS)]), np.append(y, 6)
    expert = fit_global_expert(X, y, len(X))
    assert expert.scores(X)[-1].argmax() == 6
    assert expert.held_out[-1].argmax() != 6


@pytest.fixture
def crowd():
    """More labels than 1 / ALONE_SHARE, the last of them unknown to the expert."""
    X, y = clusters(40, 6, scale=0.2)
    known = y < 39
    return X, y, fit_global_expert(X[known], y[known], int(known.sum()))


@pytest.mark.parametrize("n_changed", [1, 2])
def test_few_labels_are_fitted_alone_and_the_others_stay(crowd, n_changed):
    X, y, before = crowd
    changed = [39, 5][:n_changed]
    after = before.refit(X, y, changed)
    others = np.setdiff1d(np.arange(39), changed)
    assert np.array_equal(after.weights[:, others], before.weights[:, others])
    assert np.array_equal(after.intercepts[others], before.intercepts[others])
    assert after.shrinkage == before.shrinkage
    new, truth = clusters(40, 20, random_state=1, scale=0.2)
    right = after.scores(new).argmax(axis=1) == truth
    whole = fit_global_expert(X, y, len(X)).scores(new).argmax(axis=1) == truth
    assert right.mean() > whole.mean() - 0.02
    assert right[truth == 39].mean() > 0.9


def test_what_is_fitted_alone_again_on_the_same_examples_stays(crowd):
    X, y, before = crowd
    known = y < 39
    after = before.refit(X[known], y[known], [7])
    assert after.scores(X) == pytest.approx(before.scores(X), abs=0.1)


def test_many_labels_are_fitted_with_all_the_others(crowd):
    X, y, before = crowd
    after = before.refit(X, y, range(int(ALONE_SHARE * 40) + 1))
    weights, _ = global_expert._fit(X, y, 40)
    assert np.array_equal(after.weights, weights)
    assert after.shrinkage == before.shrinkage


def test_texts_of_no_label_do_not_disturb_a_label_that_is_fitted_alone(crowd):
    X, y, before = crowd
    with_noise = np.concatenate([X, some_units(3, N_DIMS)]), np.append(y, [NOISE] * 3)
    assert np.array_equal(before.refit(*with_noise, [39]).weights, before.refit(X, y, [39]).weights)


def test_it_is_the_same_on_several_threads():
    from concurrent.futures import ThreadPoolExecutor

    X, y = clusters(6, 5, scale=0.3)
    with ThreadPoolExecutor(3) as pool:
        first, again = fit_global_expert(X, y, len(X)), fit_global_expert(X, y, len(X), map_=pool.map)
    assert first.held_out == pytest.approx(again.held_out, abs=1e-5)


def _codes(X: np.ndarray, y: np.ndarray, some: np.ndarray) -> np.ndarray:
    return y[[int((row == X).all(axis=1).argmax()) for row in some]]
