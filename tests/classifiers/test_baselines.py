"""The flat classifier that R.E.D. is measured against."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from classifiers.baselines import GRID, FlatClassifier
from classifiers.posterior import entropy
from tests.classifiers.clusters import clusters


def test_with_a_given_strength_it_is_scikit_learns_logistic_regression():
    X, y = clusters(4, scale=0.4)
    new = clusters(4, random_state=1, scale=0.4)[0]
    model, own = FlatClassifier(C=3.0).fit(X, y), LogisticRegression(C=3.0, max_iter=300).fit(X, y)
    probabilities = own.predict_proba(new)
    found = model.candidates(new, k=4)
    assert np.array_equal(model.predict(new), own.predict(new))
    assert np.take_along_axis(probabilities, found.labels, axis=1) == pytest.approx(found.probabilities)
    assert (np.diff(found.probabilities, axis=1) <= 0).all()
    assert found.entropy == pytest.approx(entropy(probabilities))


def test_otherwise_the_strength_is_the_best_of_the_grid_by_cross_validation():
    X, y = clusters(4, 9, scale=0.5)
    model, again = (FlatClassifier(random_state=1).fit(X, y) for _ in range(2))
    assert model.regression_.C in GRID
    assert np.array_equal(model.regression_.coef_, again.regression_.coef_)


def test_what_else_r_e_d_learns_from_is_taken_and_not_used():
    X, y = clusters(3)
    plain = FlatClassifier(C=1.0).fit(X, y)
    given = FlatClassifier(C=1.0).fit(X, y, elsewhere=X, pool=X, names=X[:3])
    assert np.array_equal(plain.regression_.coef_, given.regression_.coef_)


@pytest.mark.parametrize(("k", "width"), [(1, 1), (3, 3), (10, 3)])
def test_there_are_never_more_candidates_than_labels(k, width):
    X, y = clusters(3)
    found = FlatClassifier(C=1.0).fit(X, y).candidates(X, k)
    assert found.labels.shape == found.probabilities.shape == (len(X), width)


def test_labels_keep_their_names():
    X, y = clusters(3)
    names = np.array(["b", "a", "c"])[y]
    assert FlatClassifier(C=10.0).fit(X, names).predict(X).tolist() == names.tolist()
