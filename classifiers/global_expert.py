"""The global expert: one logistic regression over all labels, one more view where their number allows.

Experts of subsets see few labels and a sample of the rest; this one weighs all of them against each other. It costs
labels times examples, so it is for some hundreds of labels only. A few labels whose examples changed are fitted alone,
against what the others say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, logsumexp
from sklearn.linear_model import LogisticRegression

from classifiers.subset_classifier import NOISE

# Above so many labels this expert alone would cost more than all the rest of a fit.
MAX_LABELS = 600
# Inverse strength of the L2 penalty; between 10 and 50 nothing changes on banking77 and clinc150.
C = 20.0
N_FOLDS = 5
# Up to this share of the labels is fitted alone; with more of them, one fit of all is as quick.
ALONE_SHARE = 0.05

Map = Callable[[Callable, Iterable], Iterable]


@dataclass(frozen=True)
class GlobalExpert:
    """What the global expert has learnt.

    Attributes:
        weights: shape (n_dims, n_labels), float32.
        intercepts: shape (n_labels,), float32.
        held_out: the scores of examples by an expert fitted without them, shape (n_examples, n_labels), float32;
            meaningless for rows that it learnt from in every fold.
        shrinkage: in (0, 1]: how much smaller the weights of the experts with a fold held out are. What weighs
            the held-out scores must see scores of that size; without it, it is two points too sure of itself (onet).
    """

    weights: np.ndarray
    intercepts: np.ndarray
    held_out: np.ndarray
    shrinkage: float = 1.0

    def scores(self, X: np.ndarray) -> np.ndarray:
        """Return the score of each label, in logits, for vectors (n, n_dims): shape (n, n_labels)."""
        return np.float32(self.shrinkage) * (X @ self.weights + self.intercepts)

    def refit(self, X: np.ndarray, codes: np.ndarray, labels: Sequence[int]) -> GlobalExpert:
        """Return the expert that knows the examples of ``labels`` anew; it has no held-out scores.

        Args:
            X: unit vectors of all examples, shape (n_examples, n_dims), float32.
            codes: label codes or NOISE, shape (n_examples,); codes after the known ones are new labels.
            labels: the codes whose examples changed. Where they are few, the other labels' weights stay.
        """
        n_labels = int(codes.max()) + 1
        if len(labels) > ALONE_SHARE * n_labels:
            weights, intercepts = _fit(X, codes, n_labels)
        else:
            weights, intercepts = self._refit_alone(X[codes != NOISE], codes[codes != NOISE], labels, n_labels)
        return GlobalExpert(weights, intercepts, _nothing_held_out(0, n_labels), self.shrinkage)

    def _refit_alone(
        self, X: np.ndarray, codes: np.ndarray, labels: Sequence[int], n_labels: int
    ) -> tuple[np.ndarray, np.ndarray]:
        n_new = n_labels - self.weights.shape[1]
        weights = np.pad(self.weights, ((0, 0), (0, n_new)))
        intercepts = np.append(self.intercepts, np.full(n_new, self.intercepts.min()))
        scores = X @ weights + intercepts
        X64 = X.astype(np.float64)
        for label in labels:
            others = logsumexp(np.delete(scores, label, axis=1), axis=1)
            start = np.append(weights[:, label], intercepts[label])
            learnt = _fit_alone(X64, codes == label, others, start)
            weights[:, label], intercepts[label] = learnt[:-1], learnt[-1]
            scores[:, label] = X64 @ learnt[:-1] + learnt[-1]
        return weights, intercepts


def fit_global_expert(
    X: np.ndarray, codes: np.ndarray, n_own: int, random_state: int = 0, map_: Map = map
) -> GlobalExpert:
    """Fit on all examples, and once for each fold of the first ``n_own``, which is held out then.

    Args:
        X: unit vectors, shape (n_examples, n_dims), float32.
        codes: label codes, of more than two labels, or NOISE, shape (n_examples,).
        n_own: how many rows, from the first, get held-out scores.
        random_state: seed of the folds.
        map_: like the built-in; that of an executor fits the folds side by side.
    """
    n_labels = int(codes.max()) + 1
    folds = _folds(codes[:n_own], random_state)
    own = [np.flatnonzero(folds == fold) for fold in range(N_FOLDS)]
    learnt = [np.arange(len(X)), *(np.setdiff1d(np.arange(len(X)), rows) for rows in own)]
    (weights, intercepts), *others = map_(lambda rows: _fit(X[rows], codes[rows], n_labels), learnt)
    held_out = _nothing_held_out(n_own, n_labels)
    for rows, (fold_weights, fold_intercepts) in zip(own, others, strict=True):
        held_out[rows] = X[rows] @ fold_weights + fold_intercepts
    size = np.mean([np.linalg.norm(fold_weights) for fold_weights, _ in others])
    return GlobalExpert(weights, intercepts, held_out, min(float(size / np.linalg.norm(weights)), 1.0))


def _nothing_held_out(n_own: int, n_labels: int) -> np.ndarray:
    return np.zeros((n_own, n_labels), dtype=np.float32)


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


def _fit_alone(X: np.ndarray, is_label: np.ndarray, others: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Weights and, last, intercept of one label where the other labels' scores add up to ``others``, in logits.

    What _fit minimises, in this label's weights alone.
    """

    def loss(learnt: np.ndarray) -> tuple[float, np.ndarray]:
        weights, intercept = learnt[:-1], learnt[-1]
        margin = X @ weights + intercept - others
        slope = C * (expit(margin) - is_label)
        value = C * (np.logaddexp(0, margin) - is_label * margin).sum() + weights @ weights / 2
        return float(value), np.append(slope @ X + weights, slope.sum())

    return minimize(loss, start.astype(np.float64), jac=True, method="L-BFGS-B").x


def _folds(codes: np.ndarray, random_state: int) -> np.ndarray:
    """Deal each label's examples out evenly: the fold of each row, shape (n_examples,)."""
    shuffled = np.random.default_rng(random_state).permutation(len(codes))
    by_label = shuffled[np.argsort(codes[shuffled], kind="stable")]
    folds = np.empty(len(codes), dtype=int)
    folds[by_label] = np.arange(len(codes)) % N_FOLDS
    return folds
