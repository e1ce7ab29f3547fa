"""A judge is tried first: on examples whose label is known, where the model would have been in doubt.

What it says there tells how often it is right and what its word adds to the model's, before a person has decided on
anything and before its word settles anything.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from classifiers.candidates import Candidates
from classifiers.subset_classifier import NOISE

# So many questions tell a judge that adds nothing from one that does; a quarter of a round's calls at most, and with
# fewer than the least number there is nothing to be learnt from them.
N_TRIED = 30
LEAST_TRIED = 10
SHARE_OF_CALLS = 0.25
# The model is in doubt where its best label has a probability within this of one half, given that the best two hold the
# right one.
DOUBT = 0.35
# Examples looked at to find them.
MAX_LOOKED_AT = 2_000


@dataclass(frozen=True)
class Trial:
    """What a judge is tried on.

    Attributes:
        rows: positions of the examples, the most doubtful first, shape (n,).
        labels: codes of their candidates, as if they had not been learnt, shape (n, k).
        probabilities: of these, shape (n, k).
        entropy: nats, shape (n,).
        belief: in each candidate and, last, in none of these, given that the best two hold the right one: shape
            (n, k + 1), rows sum to 1.
    """

    rows: np.ndarray
    labels: np.ndarray
    probabilities: np.ndarray
    entropy: np.ndarray
    belief: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)


def n_tried(calls: int) -> int:
    """Return on how many examples a judge is tried at most in a round with so many calls."""
    n = min(N_TRIED, int(SHARE_OF_CALLS * calls))
    return n if n >= LEAST_TRIED else 0


def looked_at(y: np.ndarray, random_state: int) -> np.ndarray:
    """Return positions of the examples to look at: of labels that have another one, rising.

    Args:
        y: label codes, NOISE for texts of no label, shape (n,).
        random_state: seed.
    """
    labels, place, n_each = np.unique(y, return_inverse=True, return_counts=True)
    rows = np.flatnonzero((n_each[place] > 1) & (labels[place] != NOISE)) if len(y) else np.empty(0, dtype=int)
    if len(rows) <= MAX_LOOKED_AT:
        return rows
    return np.sort(np.random.default_rng(random_state).choice(rows, MAX_LOOKED_AT, replace=False))


def trial(rows: np.ndarray, y: np.ndarray, found: Candidates, calls: int) -> Trial:
    """Choose the examples that the model is most in doubt about, of those whose label is one of its best two.

    Whatever else an example is labelled with may as well be a mistake of whoever labelled it.

    Args:
        rows: positions of examples, shape (n,).
        y: their label codes, shape (n,).
        found: their candidates, each left out.
        calls: of the round.
    """
    best_two = found.labels[:, :2]
    of_two = found.probabilities[:, :2] / np.maximum(found.probabilities[:, :2].sum(axis=1, keepdims=True), 1e-9)
    doubtful = (best_two == y[:, None]).any(axis=1) & (np.abs(of_two[:, 0] - 0.5) <= DOUBT)
    order = np.flatnonzero(doubtful)
    order = order[np.argsort(np.abs(of_two[order, 0] - 0.5), kind="stable")]
    chosen = order[: n_tried(calls)] if len(order) >= LEAST_TRIED else order[:0]
    belief = np.zeros((len(chosen), found.labels.shape[1] + 1))
    belief[:, :2] = of_two[chosen]
    return Trial(rows[chosen], found.labels[chosen], found.probabilities[chosen], found.entropy[chosen], belief)
