"""What R.E.D. is measured against: one flat classifier over all labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import numpy as np
from joblib import parallel_config
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from threadpoolctl import threadpool_limits

from classifiers.candidates import Candidates
from classifiers.posterior import entropy
from classifiers.words import Texts

GRID = (3.0, 10.0, 30.0, 100.0)
N_FOLDS = 3
# Rows predicted at a time: bounds memory to some 100 MB at 1,000 labels, whatever the pool's size.
CHUNK_ROWS = 8_192


class FlatClassifier(ClassifierMixin, BaseEstimator):
    """Multinomial logistic regression over all labels, as scikit-learn has it.

    Args:
        C: inverse strength of the L2 penalty; None: the best of GRID by cross-validation.
        random_state: seed of the folds.
    """

    def __init__(self, C: float | None = None, random_state: int = 0):
        self.C = C
        self.random_state = random_state

    def fit(self, X: np.ndarray, y: Sequence | np.ndarray, **ignored: object) -> Self:
        """Fit, choosing C first unless it is given; what else R.E.D. learns from is of no use here."""
        # Side by side on one BLAS thread each, as R.E.D.'s experts are.
        with threadpool_limits(limits=1), parallel_config("threading", n_jobs=-1):
            if self.C is None:
                folds = StratifiedKFold(N_FOLDS, shuffle=True, random_state=self.random_state)
                search = GridSearchCV(LogisticRegression(max_iter=300), {"C": list(GRID)}, cv=folds)
                self.regression_ = search.fit(X, y).best_estimator_
            else:
                self.regression_ = LogisticRegression(C=self.C, max_iter=300).fit(X, y)
        self.classes_ = self.regression_.classes_
        self.examples_ = X, y
        return self

    def refit(self, X: np.ndarray, y: Sequence | np.ndarray, **ignored: object) -> Self:
        """Learn other examples: it fits them all."""
        return self.fit(X, y)

    def train_itself(self, pool: np.ndarray, labels: np.ndarray, certain: np.ndarray, **ignored: object) -> Self:
        """Fit once more, on the examples and on the texts of the pool whose labels, codes, are certain."""
        X, y = self.examples_
        return self.fit(np.concatenate([X, pool[certain]]), np.append(y, self.classes_[labels[certain]]))

    def left_out(self, X: np.ndarray, y: np.ndarray, k: int = 10) -> None:
        """It can't tell what it would say of an example that it had not learnt."""

    def candidates(self, X: np.ndarray, k: int = 10, texts: Texts | None = None) -> Candidates:
        """Return the k most probable labels (positions in ``classes_``) of each row of X; texts don't count."""
        k = min(k, len(self.classes_))
        starts = range(0, len(X), CHUNK_ROWS)
        return Candidates.joined([self._candidates(X[start : start + CHUNK_ROWS], k) for start in starts], k)

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Return the most probable label of each row, shape (n_rows,)."""
        return self.regression_.predict(X)

    def _candidates(self, X: np.ndarray, k: int) -> Candidates:
        probabilities = self.regression_.predict_proba(X)
        return Candidates.ranked(probabilities, entropy(probabilities), k)
