"""The global expert: one logistic regression over all labels, one more view where their number allows.

Experts of subsets see few labels and a sample of the rest; this one weighs all of them against each other. It costs
labels times examples, so it is for some hundreds of labels only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from sklearn.linear_model import LogisticRegression

from classifiers.subset_classifier import NOISE

# Above so many labels the rest of a fit costs less than this expert alone would.
MAX_LABELS = 200
# Inverse strength of the L2 penalty; between 10 and 50 nothing changes on banking77 and clinc150.
C = 20.0
N_FOLDS = 5

Map = Callable[[Callable, Iterable], Iterable]


@dataclass(frozen=True)
class GlobalExpert:
    """What the global expert has learnt.

    Attributes:
        weights: shape (n_dims, n_labels), float32.
        intercepts: shape (n_labels,), float32.
        held_out: the scores of examples by an expert fitted without them, shape (n_examples, n_labels), float32;
            meaningless for rows that it learnt from in every fold.
    """

    weights: np.ndarray
    intercepts: np.ndarray
    held_out: np.ndarray

    def scores(self, X: np.ndarray) -> np.ndarray:
        """Return the score of each label, in logits, for vectors (n, n_dims): shape (n, n_labels)."""
        return X @ self.weights + self.intercepts


def fit_global_expert(
    X: np.ndarray, codes: np.ndarray, n_own: int = 0, random_state: int = 0, map_: Map = map
) -> GlobalExpert:
    """Fit on all examples, and once for each fold of the first ``n_own``, which is held out then.

    Args:
        X: unit vectors, shape (n_examples, n_dims), float32.
        codes: label codes, of more than two labels, or NOISE, shape (n_examples,).
        n_own: how many rows, from the first, get held-out scores; 0: none, and nothing but the fit is paid for.
        random_state: seed of the folds.
        map_: like the built-in; that of an executor fits the folds side by side.
    """
    n_labels = int(codes.max()) + 1
    folds = _folds(codes[:n_own], random_state) if n_own else np.empty(0, dtype=int)
    own = [np.flatnonzero(folds == fold) for fold in range(N_FOLDS if n_own else 0)]
    learnt = [np.arange(len(X)), *(np.setdiff1d(np.arange(len(X)), rows) for rows in own)]
    (weights, intercepts), *others = map_(lambda rows: _fit(X[rows], codes[rows], n_labels), learnt)
    held_out = np.zeros((n_own, n_labels), dtype=np.float32)
    for rows, (fold_weights, fold_intercepts) in zip(own, others, strict=True):
        held_out[rows] = X[rows] @ fold_weights + fold_intercepts
    return GlobalExpert(weights, intercepts, held_out)


def _fit(X: np.ndarray, codes: np.ndarray, n_labels: int) -> tuple[np.ndarray, np.ndarray]:
    """Weights and intercepts of every label; one without an example here scores as low as the lowest."""
    model = LogisticRegression(C=C, max_iter=300).fit(X, codes)
    coefficients, intercepts = model.coef_, model.intercept_
    if len(model.classes_) == 2:
        # scikit-learn keeps the second class's row alone.
        coefficients, intercepts = np.vstack([-coefficients, coefficients]), np.array([-intercepts, intercepts]).ravel()
    known = model.classes_ != NOISE
    weights = np.zeros((X.shape[1], n_labels), dtype=np.float32)
    offsets = np.full(n_labels, intercepts.min(), dtype=np.float32)
    weights[:, model.classes_[known]] = coefficients[known].T
    offsets[model.classes_[known]] = intercepts[known]
    return weights, offsets


def _folds(codes: np.ndarray, random_state: int) -> np.ndarray:
    """Deal each label's examples out evenly: the fold of each row, shape (n_examples,)."""
    shuffled = np.random.default_rng(random_state).permutation(len(codes))
    by_label = shuffled[np.argsort(codes[shuffled], kind="stable")]
    folds = np.empty(len(codes), dtype=int)
    folds[by_label] = np.arange(len(codes)) % N_FOLDS
    return folds
