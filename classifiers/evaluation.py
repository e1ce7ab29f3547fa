"""How good predictions are against known labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest
from sklearn.metrics import accuracy_score, f1_score


@dataclass(frozen=True)
class Score:
    """Agreement with known labels.

    Attributes:
        n: documents compared.
        accuracy: share that is right, in [0, 1].
        macro_f1: mean over the labels of each label's F1, in [0, 1].
    """

    n: int
    accuracy: float
    macro_f1: float


def score(y_true: np.ndarray, y_predicted: np.ndarray) -> Score | None:
    """Compare predictions with known labels, both of shape (n_documents,); None without documents."""
    if len(y_true) == 0:
        return None
    return Score(
        n=len(y_true),
        accuracy=float(accuracy_score(y_true, y_predicted)),
        macro_f1=float(f1_score(y_true, y_predicted, average="macro", zero_division=0)),
    )


@dataclass(frozen=True)
class Paired:
    """Two predictions of the same documents.

    Attributes:
        n: documents compared.
        before, after: share that each has right, in [0, 1].
        gained, lost: documents that the second alone has right, and the first alone.
        low, high: 95 % interval of after - before.
    """

    n: int
    before: float
    after: float
    gained: int
    lost: int
    low: float
    high: float

    @property
    def is_better(self) -> bool:
        """Whether the second is right more often, beyond chance."""
        return self.low > 0


def compare(before: np.ndarray, after: np.ndarray) -> Paired:
    """Compare two predictions by which documents each has right, boolean, both of shape (n_documents,), n at least 1.

    Chance alone lets as many be gained as lost (McNemar's exact test). The interval is Clopper and Pearson's of the
    share gained among those that only one has right, times the share of these.
    """
    gained, lost = int((after & ~before).sum()), int((before & ~after).sum())
    low, high = binomtest(gained, gained + lost).proportion_ci() if gained + lost else (0.5, 0.5)
    apart = (gained + lost) / len(before)
    return Paired(
        n=len(before),
        before=float(before.mean()),
        after=float(after.mean()),
        gained=gained,
        lost=lost,
        low=(2 * float(low) - 1) * apart,
        high=(2 * float(high) - 1) * apart,
    )


def brier(probability: np.ndarray, right: np.ndarray) -> float:
    """Return the mean squared distance of probabilities from what came true, in [0, 1]; both of shape (n_documents,).

    Smaller is better: it tells both how often predictions are right and whether they know when.
    """
    return float(np.square(probability - right).mean())


def calibration_error(probability: np.ndarray, right: np.ndarray, n_bins: int = 15) -> float:
    """Return the expected calibration error: how far probabilities are from the share that is right.

    Documents are put into bins of equal width; the error is the mean distance between a bin's
    mean probability and its share of right predictions, weighted by its documents. Sources:
    Naeini et al., Obtaining well calibrated probabilities using Bayesian binning (2015); Guo et
    al., On calibration of modern neural networks (2017), whose bins (a, b] these are.

    Args:
        probability: of the prediction, in [0, 1], shape (n_documents,).
        right: whether the prediction is right, boolean, shape (n_documents,).
        n_bins: at least 1.

    Returns:
        The error in [0, 1]; nan without documents: no error would be a claim.
    """
    if len(probability) == 0:
        return float("nan")
    sure = np.asarray(probability, dtype=float)
    bins = np.clip(np.ceil(sure * n_bins).astype(int) - 1, 0, n_bins - 1)
    # A bin's documents cancel out: n_b / n * |mean probability - share right| = |sum of differences| / n.
    differences = np.bincount(bins, weights=sure - np.asarray(right, dtype=float))
    return float(np.abs(differences).sum() / len(sure))


def coverage_at_precision(probability: np.ndarray, right: np.ndarray, precision: float = 0.95) -> float:
    """Return the largest share of documents, the surest first, that is right often enough.

    Args:
        probability: of the prediction, shape (n_documents,). Documents with the same probability
            are taken together: no threshold could part them.
        right: whether the prediction is right, boolean, shape (n_documents,).
        precision: the share of those taken that must be right, in [0, 1].

    Returns:
        The share in [0, 1]; 0 when no threshold reaches the precision, or without documents.
    """
    if len(probability) == 0:
        return 0.0
    order = np.argsort(-np.asarray(probability, dtype=float), kind="stable")
    ranked = np.asarray(probability, dtype=float)[order]
    taken = np.arange(1, len(ranked) + 1)
    reached = np.cumsum(np.asarray(right, dtype=bool)[order]) / taken >= precision
    last_of_its_value = np.append(ranked[1:] != ranked[:-1], True)
    return float(taken[reached & last_of_its_value].max(initial=0) / len(ranked))
