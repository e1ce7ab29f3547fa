"""One subset's labels and noise: the small expert that R.E.D. delegates to."""

from __future__ import annotations

from typing import Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression

NOISE = -1
"""The class of texts that belong to none of the labels at hand."""


class SubsetClassifier(ClassifierMixin, BaseEstimator):
    """Multinomial logistic regression over one subset's labels plus noise.

    Without the noise class a classifier that knows 10 of 500 labels would give each of the
    other 490 labels' texts to one of its own. Noise is oversampled: ``noise_ratio`` times as
    many rows as the average label of the subset has.

    Args:
        noise_ratio: noise rows for each row of the subset's average label, at least 0.
        C: inverse strength of the L2 penalty.
        random_state: seed for drawing the noise rows.

    Attributes:
        classes_: label codes, with NOISE first when noise rows reached the fit.
        n_noise_: how many noise rows reached the fit.
    """

    def __init__(self, noise_ratio: float = 2.0, C: float = 10.0, random_state: int = 0):
        self.noise_ratio = noise_ratio
        self.C = C
        self.random_state = random_state

    def fit(self, X: np.ndarray, y: np.ndarray, elsewhere: np.ndarray) -> Self:
        """Learn the subset's labels against a sample of what lies elsewhere.

        Args:
            X: the subset's examples, shape (n_examples, n_dims).
            y: their label codes, all >= 0, shape (n_examples,).
            elsewhere: examples of other subsets' labels and texts that belong nowhere,
                shape (n_elsewhere, n_dims); may be empty.
        """
        noise = self._draw_noise(elsewhere, n_average=len(y) / len(np.unique(y)))
        rows = np.concatenate([noise, X])
        codes = np.concatenate([np.full(len(noise), NOISE), y])
        self.regression_ = LogisticRegression(C=self.C, max_iter=1000).fit(rows, codes)
        self.classes_ = self.regression_.classes_
        self.n_noise_ = len(noise)
        return self

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        """Return the probability of each of ``classes_``, shape (n_rows, n_classes); rows sum to 1."""
        return self.regression_.predict_proba(X)

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Return the most probable code of each row, NOISE included, shape (n_rows,)."""
        return self.classes_[self.predict_proba(X).argmax(axis=1)]

    def _draw_noise(self, elsewhere: np.ndarray, n_average: float) -> np.ndarray:
        wanted = min(len(elsewhere), round(self.noise_ratio * n_average))
        rng = np.random.default_rng(self.random_state)
        return elsewhere[np.sort(rng.choice(len(elsewhere), size=wanted, replace=False))]
