"""One expert: what it would have said of each example without it, by leaving it out."""

from __future__ import annotations

import numpy as np
import pytest

from classifiers.experts import GAMMA, RIDGE, fit_expert, kernel
from classifiers.subset_classifier import NOISE
from tests.classifiers.clusters import clusters, some_units

CASES = [
    pytest.param(2, 2, 0, id="two labels, two examples each"),
    pytest.param(3, 5, 0, id="without noise"),
    pytest.param(3, 5, 7, id="with noise"),
    pytest.param(1, 4, 9, id="one label"),
    pytest.param(4, 1, 3, id="only examples"),
]


def task(n_labels: int, n_each: int, n_noise: int) -> tuple[np.ndarray, np.ndarray]:
    X, y = clusters(n_labels, n_each, scale=0.3)
    return np.concatenate([X, some_units(n_noise, X.shape[1])]), np.append(y, np.full(n_noise, NOISE))


@pytest.mark.parametrize(("n_labels", "n_each", "n_noise"), CASES)
def test_left_out_is_what_an_expert_without_the_example_says_of_it(n_labels, n_each, n_noise):
    X, y = task(n_labels, n_each, n_noise)
    labels = np.arange(n_labels)
    rows = np.random.default_rng(0).permutation(len(X))
    expert = fit_expert(X, y, labels, rows)
    assert expert.left_out.shape == expert.weights.shape == (len(X), n_labels)
    for position, row in enumerate(rows):
        without = fit_expert(X, y, labels, np.delete(rows, position))
        assert expert.left_out[position] == pytest.approx(without.scores(X[[row]], X)[0], rel=1e-3, abs=1e-5)


@pytest.mark.parametrize(("n_labels", "n_each", "n_noise"), CASES)
def test_scores_are_kernel_ridge_regression_on_who_has_the_label(n_labels, n_each, n_noise):
    X, y = task(n_labels, n_each, n_noise)
    expert = fit_expert(X, y, np.arange(n_labels), np.arange(len(X)))
    new = clusters(n_labels, 3, random_state=1, scale=0.3)[0]
    gram = np.exp(GAMMA * (X @ X.T.astype(np.float64) - 1)) + RIDGE * np.eye(len(X))
    targets = (y[:, None] == np.arange(n_labels)).astype(float)
    expected = np.exp(GAMMA * (new @ X.T - 1)) @ np.linalg.solve(gram, targets)
    assert expert.scores(new, X) == pytest.approx(expected, abs=1e-4)


def test_scores_are_high_for_the_own_label_and_near_zero_for_noise():
    X, y = task(4, 6, 20)
    scores = fit_expert(X, y, np.arange(4), np.arange(len(X))).scores(X, X)
    assert (scores[y != NOISE].argmax(axis=1) == y[y != NOISE]).all()
    assert scores[y != NOISE].max(axis=1).min() > 0.5 > 0.3 > np.abs(scores[y == NOISE]).max()


def test_rows_outside_its_own_are_unknown_to_it():
    X, y = task(3, 5, 6)
    rows = np.array([0, 1, 5, 6, 15, 16])
    expert = fit_expert(X, y, np.array([0, 1]), rows)
    alone = fit_expert(X[rows], y[rows], np.array([0, 1]), np.arange(len(rows)))
    assert np.array_equal(expert.scores(X, X), alone.scores(X, X[rows]))


@pytest.mark.parametrize("codes", [[1, 0], [2, 0, 1], [2]])
def test_columns_follow_the_labels_asked_for(codes):
    X, y = task(3, 5, 6)
    rows = np.arange(len(X))
    scores = fit_expert(X, y, np.array(codes), rows).scores(X, X)
    assert scores == pytest.approx(fit_expert(X, y, np.arange(3), rows).scores(X, X)[:, codes], abs=1e-5)


def test_weights_take_single_precision():
    X, y = task(2, 3, 2)
    expert = fit_expert(X, y, np.arange(2), np.arange(len(X)))
    assert expert.weights.dtype == expert.left_out.dtype == expert.scores(X, X).dtype == np.float32


def test_the_kernel_is_one_for_the_same_text_and_falls_with_the_angle():
    angles = np.linspace(0, np.pi, 50)
    values = kernel(np.array([[1.0, 0.0]]), np.stack([np.cos(angles), np.sin(angles)], axis=1))[0]
    assert values[[0, -1]] == pytest.approx([1.0, np.exp(-2 * GAMMA)])
    assert (np.diff(values) < 0).all()


@pytest.mark.parametrize("n_dims", [2, 5, 50])
def test_the_kernel_is_symmetric_and_within_its_range(n_dims):
    X = some_units(30, n_dims)
    values = kernel(X, X)
    assert values == pytest.approx(values.T, abs=1e-6)
    assert np.exp(-2 * GAMMA) - 1e-6 <= values.min() <= values.max() <= 1 + 1e-5
    assert np.linalg.eigvalsh(values.astype(np.float64)).min() > -1e-5
