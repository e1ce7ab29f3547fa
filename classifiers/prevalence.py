"""How common each label is in a pool, with an interval: what is believed, put right by decisions drawn at random.

Prediction-powered inference: what is believed of every document, added up, plus what random decisions show the beliefs
to be off by. Sources: Angelopoulos et al., Prediction-powered inference (2023); stratified as in Fisch et al.,
Stratified prediction-powered inference (2024). Where a few decisions are mostly chance, no more of what they show is
taken over than they are sure of (James and Stein, Estimation with quadratic loss, 1961): one error in fifty is no
fiftieth of the pool. The variance is not that of the few decisions alone, which is nothing where none of them was about
a rare label: it starts from what the beliefs say of themselves, times how much too sure all of them together were found
to be.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import norm

# Until decisions say otherwise, beliefs may be off by twice what they say: as if two documents' worth had been seen.
SUSPECTED, EXPECTED = 2.0, 1.0
# Decisions that what the beliefs say of a label's variance counts for.
STRENGTH = 10.0
TINY = np.finfo(float).tiny
LEVEL = 0.95


@dataclass(frozen=True)
class Stratum:
    """Documents that nobody has decided on, and others that were drawn from among them at random and decided on.

    Attributes:
        n: documents without a decision.
        believed: the beliefs in each label, added up over these, shape (n_labels + 1,); the last is "none of these".
        doubt: belief * (1 - belief), likewise.
        drawn: what was believed of those drawn, shape (n_drawn, n_labels + 1), rows sum to 1.
        found: what was decided, codes 0 .. n_labels, shape (n_drawn,).
    """

    n: int
    believed: np.ndarray
    doubt: np.ndarray
    drawn: np.ndarray
    found: np.ndarray

    @classmethod
    def of(
        cls,
        labels: np.ndarray,
        belief: np.ndarray,
        drawn_labels: np.ndarray,
        drawn_belief: np.ndarray,
        found: np.ndarray,
        n_labels: int,
    ) -> Stratum:
        """Spread beliefs in candidates over all labels.

        Args:
            labels: codes of the candidates of the documents without a decision, shape (n, k).
            belief: in these and, last, in none of them, shape (n, k + 1).
            drawn_labels, drawn_belief: likewise of those drawn, shape (n_drawn, k) and (n_drawn, k + 1).
            found: what was decided of them, codes, n_labels for none of these, shape (n_drawn,).
            n_labels: how many there are.
        """
        drawn = np.zeros((len(found), n_labels + 1))
        np.add.at(drawn, (np.arange(len(found))[:, None], _columns(drawn_labels, n_labels)), drawn_belief)
        return cls(0, np.zeros(n_labels + 1), np.zeros(n_labels + 1), drawn, found).plus(labels, belief)

    def plus(self, labels: np.ndarray, belief: np.ndarray) -> Stratum:
        """Return it with more documents without a decision; to the last bit what it is with all of them at once.

        Args:
            labels: codes of their candidates, shape (n, k).
            belief: in these and, last, in none of them, shape (n, k + 1).
        """
        columns = _columns(labels, len(self.believed) - 1).ravel()
        believed, doubt = self.believed.copy(), self.doubt.copy()
        np.add.at(believed, columns, belief.ravel())
        np.add.at(doubt, columns, (belief * (1 - belief)).ravel())
        return replace(self, n=self.n + len(labels), believed=believed, doubt=doubt)

    @property
    def off_by(self) -> np.ndarray:
        """How far the truth was from the belief in each label, shape (n_drawn, n_labels + 1), in [-1, 1]."""
        is_label = self.found[:, None] == np.arange(self.drawn.shape[1])
        return is_label - self.drawn


@dataclass(frozen=True)
class Prevalence:
    """Shares of the labels and, last, of "none of these", in [0, 1], shape (n_labels + 1,).

    Attributes:
        share: estimated; they sum to 1 but for rounding up to what is known.
        low, high: the interval that holds the true share with a probability of LEVEL.
    """

    share: np.ndarray
    low: np.ndarray
    high: np.ndarray


def prevalence(known: np.ndarray, strata: Sequence[Stratum], level: float = LEVEL) -> Prevalence:
    """Estimate how common each label is.

    Args:
        known: how many documents are known to have each label, or none of these, shape (n_labels + 1,).
        strata: all others, each in one of them.
        level: of the intervals, in (0, 1).

    Raises:
        ValueError: without any document.
    """
    n = int(known.sum()) + sum(stratum.n for stratum in strata)
    if not n:
        raise ValueError("There are no documents.")
    counted, variance = known.astype(float), np.zeros(len(known))
    for stratum in strata:
        if stratum.n:
            total, its_variance = _total(stratum)
            counted, variance = counted + total, variance + its_variance
    half = norm.ppf((1 + level) / 2) * np.sqrt(variance)
    most = known + sum(stratum.n for stratum in strata)
    return Prevalence(*(np.clip(value, known, most) / n for value in (counted, counted - half, counted + half)))


def _total(stratum: Stratum) -> tuple[np.ndarray, np.ndarray]:
    """How many of a stratum's undecided documents have each label, and the variance of that.

    One more decision is counted than there are, on which the beliefs were right: without any they are all there is.
    """
    off_by = stratum.off_by
    squares = (off_by**2).sum(axis=0)
    weight = len(off_by) + 1
    said = (stratum.drawn * (1 - stratum.drawn)).sum()
    too_sure = max((SUSPECTED + squares.sum()) / (EXPECTED + said), 1.0)
    of_one = (STRENGTH * too_sure * stratum.doubt / stratum.n + squares) / (STRENGTH + len(off_by))
    shown = off_by.sum(axis=0) / weight
    sure = max(1 - (of_one.sum() / weight) / max((shown**2).sum(), TINY), 0.0)
    return stratum.believed + stratum.n * sure * shown, stratum.n**2 * of_one * (1 / weight + 1 / stratum.n)


def _columns(labels: np.ndarray, n_labels: int) -> np.ndarray:
    """The candidates' codes, and last that of none of these: shape (n, k) -> (n, k + 1)."""
    return np.hstack([labels, np.full((len(labels), 1), n_labels)])
