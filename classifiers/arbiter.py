"""Whose proposal holds: the candidates' features to calibrated probabilities.

A conditional logit (McFadden 1974): each candidate's features give it a score, "none of these" has a score of its
own, and a softmax over both makes probabilities. The weights say how far each view can be trusted; they know
nothing of single labels, so they hold for a label that came later. Trained on scores that leave each example out,
its probabilities are those of new documents.

No weight is negative. With two or three examples a label, leaving one out weakens its own label so much that the
rivals look better; free weights then learn to distrust every view (banking77, 2 examples a label: 25 % right
instead of 64 %). With ten and more the bound changes nothing that can be measured.

What "none of these" looks like is learnt from the same examples: with its true label struck off the list, each one
is a text that belongs to none of the candidates. The distances to the best other candidate are those of the list that
is left: a rival is no longer behind the label that is gone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

# Prior share of texts that belong to none of their candidates. Small as it is, these copies teach the arbiter what
# such a text looks like; the more they count, the more they blur what the other examples say of that (clinc150: AUROC
# of texts in and out of scope 0.972 with 0.001, 0.971 with 0.003, below 0.97 with 0.02).
NONE_SHARE = 0.001
L2 = 1.0
# With fewer examples a label than this on average, leaving one out shows quite another model than the one that will be
# used: weights learnt from that lose to those that trust all views alike (banking77, 1 example: 0.68 right instead of
# 0.71), so they are drawn there this much.
FEW_EXAMPLES = 3
L2_FEW = 2_000.0
# What the weights and the score of "none of these" are drawn to: a model that can learn nothing, because no label has
# an example, trusts all views alike, and about as much as it will have to. The score is drawn so little that even
# examples that count NONE_SHARE outweigh it.
USUAL_WEIGHT = 0.2
USUAL_NONE = 0.5
L2_NONE = 1e-3
UNKNOWN = -1
MIN_SCATTER = 1e-9


@dataclass(frozen=True)
class Arbiter:
    """The fitted weights.

    Attributes:
        mean, scale: of the features, shape (n_features,).
        weights: of the scaled features, >= 0, shape (n_features,).
        none: the score of "none of these".
    """

    mean: np.ndarray
    scale: np.ndarray
    weights: np.ndarray
    none: float

    def times(self, factor: float) -> Arbiter:
        """Return the same arbiter with all its scores times a factor >= 0: below 1 it is less sure of itself."""
        return Arbiter(self.mean, self.scale, factor * self.weights, factor * self.none)

    def probabilities(self, features: np.ndarray) -> np.ndarray:
        """Return the probability of each candidate and, last, of none of them.

        (n, k, n_features) -> (n, k + 1); rows sum to 1.
        """
        scores = (features - self.mean) / self.scale @ self.weights
        return softmax(np.hstack([scores, np.full((len(scores), 1), self.none)]))


def fit_arbiter(features: np.ndarray, target: np.ndarray, without: np.ndarray, n_each: float = np.inf) -> Arbiter:
    """Fit the weights by maximum likelihood with an L2 penalty, small unless examples are few; the problem is convex.

    Args:
        features: shape (n, k, n_features), of examples, each left out of the views that scored it.
        target: which candidate is the true label, k for none of them, UNKNOWN where only the features are of use,
            shape (n,).
        without: the features of those whose true label is a candidate, in the same order, seen with it struck off
            the list; shape (number of such targets, k, n_features).
        n_each: examples that a label has on average, >= 0.
    """
    penalty = L2_FEW if n_each < FEW_EXAMPLES else L2
    _, k, n_features = features.shape
    flat = features.reshape(-1, n_features)
    mean, scale = flat.mean(axis=0), flat.std(axis=0)
    # Nothing can be said of a feature that never changed.
    scale[scale < MIN_SCATTER] = np.inf
    known = target != UNKNOWN
    scaled, scaled_without, target = (features[known] - mean) / scale, (without - mean) / scale, target[known]
    n = len(target)
    found = np.flatnonzero(target < k)
    struck = np.zeros((len(found), k), dtype=bool)
    struck[np.arange(len(found)), target[found]] = True

    def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        weights, none = parameters[:-1], parameters[-1]
        scores = np.hstack([scaled @ weights, np.full((n, 1), none)])
        value, slope = _cross_entropy(scores, target)
        scores_without = np.hstack([scaled_without @ weights, np.full((len(found), 1), none)])
        scores_without[:, :k][struck] = -np.inf
        value_none, slope_none = _cross_entropy(scores_without, np.full(len(found), k))
        away = weights - USUAL_WEIGHT
        total = (1 - NONE_SHARE) * value + NONE_SHARE * value_none
        total += penalty / 2 * away @ away + L2_NONE / 2 * (none - USUAL_NONE) ** 2
        slope *= 1 - NONE_SHARE
        slope_none *= NONE_SHARE
        gradient = np.einsum("nkf,nk->f", scaled, slope[:, :k]) + penalty * away
        gradient += np.einsum("nkf,nk->f", scaled_without, slope_none[:, :k])
        slope_of_none = slope[:, k].sum() + slope_none[:, k].sum() + L2_NONE * (none - USUAL_NONE)
        return total, np.append(gradient, slope_of_none)

    start = np.append(np.full(n_features, USUAL_WEIGHT), USUAL_NONE)
    bounds = [(0.0, None)] * n_features + [(None, None)]
    best = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 500})
    return Arbiter(mean, scale, best.x[:-1], float(best.x[-1]))


def softmax(scores: np.ndarray) -> np.ndarray:
    """Return exp(scores) with rows scaled to sum to 1; -inf stays 0."""
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def _cross_entropy(scores: np.ndarray, target: np.ndarray) -> tuple[float, np.ndarray]:
    """Summed -log p(target) and its slope in the scores."""
    rows = np.arange(len(scores))
    slope = softmax(scores)
    value = -np.log(np.maximum(slope[rows, target], 1e-300)).sum()
    slope[rows, target] -= 1
    return float(value), slope
