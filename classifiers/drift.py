"""Whether texts that came after a certificate are like those it is about: how many are wrong, and of which labels."""

from __future__ import annotations

import numpy as np
from scipy.spatial.distance import jensenshannon

from classifiers.certificate import bound, holds

# Labels' shares are compared after so many texts, and again after each four times as many. The first look may raise a
# false alarm with half of the chance, each further one with half of what is left: together with this chance at most.
FIRST_LOOK = 100
GROWTH = 4
FALSE_ALARMS = 0.01
# As where one of ten labels becomes twice as frequent; less is no matter, however sure one can be of it.
LEAST_DIVERGENCE = 0.01
N_PERMUTATIONS = 9_999
CHUNK = 500


def wrong_at_least(n: int, k: int, level: float) -> float:
    """Return the share of later labels that is wrong at least, with probability ``level`` at all times together.

    The certificate's bound, turned round: a right label is to it what a wrong one is to the certificate.

    Raises:
        ValueError: unless 0 <= k <= n, and level between 0 and 1.
    """
    return 1 - bound(n, n - k, level)


def is_broken(n: int, k: int, limit: float, level: float) -> bool:
    """Whether more later labels are wrong than the limit: told falsely with probability 1 - level, however often asked.

    Raises:
        ValueError: unless 0 <= k <= n, and limit and level between 0 and 1.
    """
    return holds(n, n - k, 1 - limit, level)


def texts_for_look(number: int) -> int:
    """Return how many later texts the look of this number, from 0, needs."""
    return FIRST_LOOK * GROWTH**number


def divergence(before: np.ndarray, later: np.ndarray) -> np.ndarray:
    """Return the Jensen-Shannon divergence of counts' shares along the last axis, in bits: 0 for the same, 1 at most.

    Args:
        before, later: counts by label, shape (..., n_labels), none of them all 0; broadcast.
    """
    return np.asarray(jensenshannon(*np.broadcast_arrays(before, later), base=2, axis=-1)) ** 2


def is_shifted(before: np.ndarray, later: np.ndarray, look: int, random_state: int) -> bool:
    """Whether later texts have other labels than those before: with certainty, and by so much that it matters.

    A permutation test of the divergence: were all texts alike, any of them could as well have been the later ones. It
    is exact whatever the counts. Phipson and Smyth, Permutation p-values should never be zero (2010).

    Args:
        before, later: counts by label, shape (n_labels,).
        look: number of the look, from 0; see FALSE_ALARMS.
        random_state: seed.
    """
    found = divergence(before, later)
    if found < LEAST_DIVERGENCE:
        return False
    rng, both = np.random.default_rng(random_state), before + later
    n_as_far = 1
    for start in range(0, N_PERMUTATIONS, CHUNK):
        size = min(CHUNK, N_PERMUTATIONS - start)
        drawn = rng.multivariate_hypergeometric(both, later.sum(), size=size, method="marginals")
        n_as_far += int((divergence(both - drawn, drawn) >= found).sum())
    return n_as_far / (N_PERMUTATIONS + 1) <= FALSE_ALARMS / 2 ** (look + 1)
