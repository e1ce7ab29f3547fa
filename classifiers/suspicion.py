"""Which examples probably have a wrong label: how well each label fits its text, the text itself left out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from threadpoolctl import threadpool_limits

from classifiers.subset_classifier import NOISE

# Strength of the penalty on the weights, for unit vectors; the intercepts have next to none.
RIDGE, RIDGE_OF_INTERCEPT = 0.5, 1e-6
# Examples scored at a time: bounds memory to some 60 MB at 1,000 labels.
CHUNK_ROWS = 4_096


@dataclass(frozen=True)
class Margins:
    """How the labels of n examples fit, each example left out.

    Attributes:
        margin: score of the given label less that of the best other one, shape (n,): below 0 the other fits better. NaN
            where nothing can be said, of a label's only example and where there is no other label.
        rival: code of the best other label, or NOISE, shape (n,).
    """

    margin: np.ndarray
    rival: np.ndarray

    @property
    def suspicious(self) -> np.ndarray:
        """Positions of the examples that another label fits better, the worst first."""
        found = np.flatnonzero(self.margin < 0)
        return found[np.argsort(self.margin[found], kind="stable")]


def margins(X: np.ndarray, codes: np.ndarray) -> Margins:
    """Fit a ridge regression on which label each example has, and score each one as if it had not been there.

    That takes no second fit (Allen 1974, PRESS).

    Args:
        X: unit vectors, shape (n, n_dims).
        codes: label codes, NOISE for texts of no label, shape (n,).
    """
    known, column, n_each = np.unique(codes, return_inverse=True, return_counts=True)
    if len(known) < 2:
        return Margins(np.full(len(codes), np.nan), np.full(len(codes), NOISE))
    Z = np.hstack([X.astype(np.float64), np.ones((len(X), 1))])
    penalty = np.diag(np.append(np.full(X.shape[1], RIDGE), RIDGE_OF_INTERCEPT))
    added = np.zeros((Z.shape[1], len(known)))
    np.add.at(added.T, column, Z)
    with threadpool_limits(limits=1):
        gram = cho_factor(Z.T @ Z + penalty)
        weights, projected = cho_solve(gram, added), cho_solve(gram, Z.T)
        leverage = np.einsum("ij,ji->i", Z, projected)
        chunks = [slice(start, start + CHUNK_ROWS) for start in range(0, len(Z), CHUNK_ROWS)]
        found = [_left_out(Z[rows] @ weights, leverage[rows], column[rows]) for rows in chunks]
    margin, rival = (np.concatenate(part) for part in zip(*found, strict=True))
    return Margins(np.where(n_each[column] > 1, margin, np.nan), known[rival])


def _left_out(scores: np.ndarray, leverage: np.ndarray, column: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Margins and columns of the best other labels, by scores of examples that were learnt, shape (n, n_labels)."""
    rows = np.arange(len(scores))
    scores[rows, column] -= leverage
    scores /= (1 - leverage)[:, None]
    given = scores[rows, column].copy()
    scores[rows, column] = -np.inf
    best = scores.argmax(axis=1)
    return given - scores[rows, best], best
