"""Suspicious labels: closed form against leaving out for real, and whether wrong labels are found."""

from __future__ import annotations

import numpy as np
import pytest

from classifiers import suspicion
from classifiers.subset_classifier import NOISE
from classifiers.suspicion import RIDGE, RIDGE_OF_INTERCEPT, margins
from tests.classifiers.clusters import clusters


def left_out_for_real(X: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """The margin of each example, by a fit on all others."""
    known = np.unique(codes)
    Z, target = np.hstack([X, np.ones((len(X), 1))]), (codes[:, None] == known).astype(float)
    penalty = np.diag([*[RIDGE] * X.shape[1], RIDGE_OF_INTERCEPT])
    found = []
    for row in range(len(X)):
        others = np.arange(len(X)) != row
        weights = np.linalg.solve(Z[others].T @ Z[others] + penalty, Z[others].T @ target[others])
        scores, given = Z[row] @ weights, codes[row] == known
        found.append(scores[given][0] - scores[~given].max())
    return np.array(found)


@pytest.mark.parametrize("n_labels", [2, 5])
def test_the_closed_form_is_leaving_out(monkeypatch, n_labels):
    monkeypatch.setattr(suspicion, "CHUNK_ROWS", 7)
    rng = np.random.default_rng(1)
    X = rng.normal(size=(30, 8))
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    codes = np.arange(30) % n_labels
    assert margins(X, codes).margin == pytest.approx(left_out_for_real(X, codes), abs=1e-8)


def test_wrong_labels_stand_first_with_the_right_one_beside_them():
    X, codes = clusters(6, 20)
    wrong = np.array([3, 25, 77])
    given = codes.copy()
    given[wrong] = (codes[wrong] + 1) % 6
    found = margins(X, given)
    assert set(found.suspicious[:3]) == set(wrong)
    assert found.rival[wrong].tolist() == codes[wrong].tolist()
    assert (np.diff(found.margin[found.suspicious]) >= 0).all()


def test_texts_of_no_label_are_told_apart_like_a_label():
    X, codes = clusters(3, 10)
    given = np.where(codes == 2, NOISE, codes)
    given[0] = NOISE
    found = margins(X, given)
    assert found.suspicious.tolist() == [0]
    assert (found.rival[0], found.rival[25]) == (0, found.rival[25])


@pytest.mark.parametrize("codes", [[], [0], [0, 0, 0], [NOISE, NOISE]])
def test_nothing_is_said_where_there_is_nothing_to_compare(codes):
    X = np.eye(4)[: len(codes)]
    found = margins(X, np.array(codes, dtype=int))
    assert np.isnan(found.margin).all()
    assert not len(found.suspicious)


def test_of_an_only_example_nothing_is_said():
    X, codes = clusters(2, 5)
    found = margins(X, np.append(codes[:-1], 7))
    assert np.isnan(found.margin[-1])
    assert np.isfinite(found.margin[:-1]).all()
