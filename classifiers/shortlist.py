"""Which labels become candidates: the views that see all labels at once, weighed by what left-out examples say.

A first conditional logit (McFadden 1974) weighs the views that cost one product for all labels; of the labels that
are best by it the nearest examples are looked up, and a second one weighs these in. Only the order counts here: how
probable a candidate is, the arbiter says.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax

# Labels whose nearest examples are looked up.
N_NEAR_LABELS = 30
# Examples that the weights are fitted on: a handful of weights needs no more.
MAX_SHORTLIST_EXAMPLES = 2_000
# What a view's weight is drawn to, in units of its scatter over the labels, and how strongly: views about which
# nothing can be learnt count the same.
USUAL_WEIGHT = 1.0
L2 = 1.0
MIN_SCATTER = 1e-9
# What a view must add to the log likelihood of a text, in nats, to be worth its time.
MIN_GAIN = 0.001

Nearest = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Shortlist:
    """The fitted weights.

    Attributes:
        weights: of the views of all labels, >= 0, shape (n_views,).
        whole: of their weighted sum, where the nearest examples are weighed in, >= 0.
        nearest: of the mean cosine to the nearest examples, >= 0.
    """

    weights: np.ndarray
    whole: float
    nearest: float

    def choose(self, views: Sequence[np.ndarray], nearest: Nearest, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the k most promising labels of each text, best first.

        Args:
            views: scores of all labels, shape (n, n_labels) each.
            nearest: returns the mean cosines to the nearest examples of labels (n, m), same shape.
            k: candidates wanted, at most all labels.

        Returns:
            Label codes and mean cosines to their nearest examples, both (n, k).
        """
        scores = weighed(views, self.weights)
        near = best(scores, max(N_NEAR_LABELS, k))
        cosines = nearest(near)
        order = best(self.whole * np.take_along_axis(scores, near, axis=1) + self.nearest * cosines, k)
        return np.take_along_axis(near, order, axis=1), np.take_along_axis(cosines, order, axis=1)


def fit_shortlist(views: Sequence[np.ndarray], nearest: Nearest, target: np.ndarray) -> Shortlist:
    """Fit the weights.

    Args:
        views, nearest: as for Shortlist.choose, of examples, each left out.
        target: their label codes, shape (n,); below zero: of no label, or of one that has no other example.
    """
    weights = fit_weights(views, target)
    scores = weighed(views, weights)
    near = best(scores, N_NEAR_LABELS)
    hit = near == target[:, None]
    both = np.take_along_axis(scores, near, axis=1), nearest(near)
    whole, cosine = fit_weights(both, np.where(hit.any(axis=1), hit.argmax(axis=1), -1))
    return Shortlist(weights, float(whole), float(cosine))


def last_view_helps(views: Sequence[np.ndarray], target: np.ndarray) -> bool:
    """Whether weights fitted on half of the examples tell the other half's labels better with the last view.

    Better means by MIN_GAIN, and by more than the standard error of the difference.

    Args:
        views, target: as for fit_shortlist.
    """
    learnt, others = slice(0, None, 2), slice(1, None, 2)
    found = []
    for some in (views, views[:-1]):
        weights = fit_weights([view[learnt] for view in some], target[learnt])
        scores = weighed([view[others] for view in some], weights)
        found.append(_log_likelihood(scores, target[others]))
    gain = found[0] - found[1]
    return len(gain) > 1 and float(gain.mean()) > max(MIN_GAIN, float(gain.std() / np.sqrt(len(gain))))


def fit_weights(views: Sequence[np.ndarray], target: np.ndarray) -> np.ndarray:
    """Return the non-negative weight of each view that makes the targets likeliest, with a small L2 penalty.

    Args:
        views: scores of the same k options, shape (n, k) each.
        target: which option is right, shape (n,); below zero: unknown.
    """
    scale = np.array([(view - view.mean(axis=1, keepdims=True)).std() for view in views])
    # Nothing can be said of a view that says the same of all.
    scale[scale < MIN_SCATTER] = np.inf
    known = target >= 0
    features = np.stack([view[known] / by for view, by in zip(views, scale, strict=True)], axis=2).astype(np.float64)
    right = np.arange(known.sum()), target[known]

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        logs = log_softmax(features @ weights, axis=1)
        slope = np.exp(logs)
        slope[right] -= 1
        away = weights - USUAL_WEIGHT
        return float(L2 / 2 * away @ away - logs[right].sum()), np.einsum("nkf,nk->f", features, slope) + L2 * away

    start, bounds = np.full(len(scale), USUAL_WEIGHT), [(0.0, None)] * len(scale)
    return minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds).x / scale


def weighed(views: Sequence[np.ndarray], weights: np.ndarray) -> np.ndarray:
    """Return the weighted sum of the views, float32."""
    total = np.zeros(views[0].shape, dtype=np.float32)
    for view, weight in zip(views, weights, strict=True):
        if weight > 0:
            total += np.float32(weight) * view
    return total


def best(scores: np.ndarray, n: int) -> np.ndarray:
    """Return the columns of each row's n highest scores, the highest first; all of them where there are fewer."""
    n = min(n, scores.shape[1])
    columns = np.argpartition(-scores, n - 1, axis=1)[:, :n]
    order = np.argsort(-np.take_along_axis(scores, columns, axis=1), axis=1, kind="stable")
    return np.take_along_axis(columns, order, axis=1)


def _log_likelihood(scores: np.ndarray, target: np.ndarray) -> np.ndarray:
    known = np.flatnonzero(target >= 0)
    return log_softmax(scores[known].astype(np.float64), axis=1)[np.arange(len(known)), target[known]]
