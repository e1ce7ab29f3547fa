"""One subset's classifier: the noise reaches the fit and wins where none of the labels belongs."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression

from classifiers import subset_classifier
from classifiers.subset_classifier import NOISE, SubsetClassifier

# Two labels in two directions of eight; what lies elsewhere is spread over the other six.
X = np.eye(8)[[0, 0, 0, 0, 1, 1]]
Y = np.array([3, 3, 3, 3, 7, 7])
ELSEWHERE = np.eye(8)[np.arange(60) % 6 + 2]
N_AVERAGE = 3


@pytest.fixture
def fitted_rows(monkeypatch) -> list[tuple[np.ndarray, np.ndarray]]:
    """Every (rows, codes) that reached a logistic regression."""
    seen = []

    class Watched(LogisticRegression):
        def fit(self, rows, codes):
            seen.append((rows, codes))
            return super().fit(rows, codes)

    monkeypatch.setattr(subset_classifier, "LogisticRegression", Watched)
    return seen


@pytest.mark.parametrize(
    ("noise_ratio", "n_noise"), [(0.0, 0), (0.1, 0), (0.5, 2), (1.0, 3), (2.0, 6), (20.0, 60), (100.0, 60)]
)
def test_noise_rows_reach_the_fit_in_the_ratio_asked_for(fitted_rows, noise_ratio, n_noise):
    model = SubsetClassifier(noise_ratio=noise_ratio).fit(X, Y, ELSEWHERE)
    ((rows, codes),) = fitted_rows
    assert model.n_noise_ == (codes == NOISE).sum() == n_noise
    assert len(rows) == len(X) + n_noise
    assert np.array_equal(rows[codes != NOISE], X)
    assert np.array_equal(codes[codes != NOISE], Y)
    assert set(rows[codes == NOISE].argmax(axis=1)) <= set(range(2, 8))
    assert model.classes_.tolist() == ([NOISE] if n_noise else []) + [3, 7]


def test_noise_rows_are_drawn_without_repetition(fitted_rows):
    elsewhere = np.random.default_rng(0).normal(size=(50, 8))
    SubsetClassifier(noise_ratio=10.0).fit(X, Y, elsewhere)
    rows, codes = fitted_rows[0]
    assert len(np.unique(rows[codes == NOISE], axis=0)) == 30


def test_another_seed_draws_other_noise_and_the_same_seed_the_same(fitted_rows):
    elsewhere = np.random.default_rng(0).normal(size=(50, 8))
    for random_state in (0, 0, 1):
        SubsetClassifier(random_state=random_state).fit(X, Y, elsewhere)
    first, again, other = (rows for rows, _ in fitted_rows)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_noise_wins_far_from_the_labels_and_loses_near_them():
    model = SubsetClassifier(noise_ratio=20.0).fit(X, Y, ELSEWHERE)
    assert model.predict(np.eye(8)).tolist() == [3, 7] + [NOISE] * 6


def test_without_noise_every_text_goes_to_one_of_the_labels():
    model = SubsetClassifier(noise_ratio=0.0).fit(X, Y, ELSEWHERE)
    assert set(model.predict(np.eye(8))) <= {3, 7}


def test_more_noise_makes_it_more_careful_far_from_the_labels():
    far = np.eye(8)[[5]]
    noise = [
        SubsetClassifier(noise_ratio=ratio).fit(X, Y, ELSEWHERE).predict_proba(far)[0, 0] for ratio in (0.5, 2.0, 10.0)
    ]
    assert noise == sorted(noise)
    assert noise[0] < noise[-1]


def test_nothing_elsewhere_means_no_noise():
    model = SubsetClassifier().fit(X, Y, np.empty((0, 8)))
    assert (model.n_noise_, model.classes_.tolist()) == (0, [3, 7])


def test_one_label_is_learnt_against_noise_alone():
    model = SubsetClassifier().fit(X[:4], Y[:4], ELSEWHERE)
    assert model.classes_.tolist() == [NOISE, 3]
    assert model.predict(np.eye(8)[[0, 4]]).tolist() == [3, NOISE]


def test_probabilities_belong_to_classes_and_sum_to_one():
    model = SubsetClassifier().fit(X, Y, ELSEWHERE)
    probabilities = model.predict_proba(np.eye(8))
    assert probabilities.shape == (8, 3)
    assert probabilities.sum(axis=1) == pytest.approx(np.ones(8))
    assert np.array_equal(model.classes_[probabilities.argmax(axis=1)], model.predict(np.eye(8)))


def test_it_clones_like_any_estimator():
    copy = clone(SubsetClassifier(noise_ratio=3.0, C=1.5, random_state=9))
    assert copy.get_params() == {"noise_ratio": 3.0, "C": 1.5, "random_state": 9}
