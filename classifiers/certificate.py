"""How many of the labels that the machine settled are wrong at most, from random audits, whenever one looks.

Each audit multiplies the wealth of one who bets against "too many are wrong". If too many are, the wealth reaches
1 / (1 - level) at any time at all with probability 1 - level at most (Ville's inequality), so one may look after every
audit and stop when it suits. Waudby-Smith and Ramdas, Estimating means of bounded random variables by betting
(2020); Spertus, COBRA: comparison-optimal betting for risk-limiting audits (2023), for bets that suit few errors.
"""

from __future__ import annotations

import math
from bisect import bisect_left

import numpy as np
from scipy.optimize import brentq
from scipy.special import gammaln

# The largest share of wrong labels that is good enough, and how sure one has to be of it.
LIMIT = 0.05
LEVEL = 0.95
# All certificates of a project keep its level together: the first gets most of what may go wrong.
FIRST_PART = 0.8
# Before any audit one label in so many is expected to be wrong, when forecasting.
EXPECTED_ONE_IN = 50
# What shares computed from counts may be off by.
ROUNDING = 1e-9


def _log_sum(logs: np.ndarray) -> np.ndarray:
    """Log of the sum of the exponentials along the last axis."""
    most = logs.max(axis=-1, keepdims=True)
    return most[..., 0] + np.log(np.exp(logs - most).sum(axis=-1))


def _log_weights(ratios: np.ndarray) -> np.ndarray:
    falling = -DECAY * ratios
    return falling - _log_sum(falling)


# The bets: fewer are wrong than the limit by so many ratios, the small ones trusted most.
N_RATIOS = 64
DECAY = 4.0
RATIOS = (np.arange(N_RATIOS) + 0.5) / N_RATIOS
LOG_WEIGHTS = _log_weights(RATIOS)


def log_wealth(n: np.ndarray | int, k: np.ndarray | int, share: np.ndarray | float) -> np.ndarray:
    """Return the log of the wealth won against "at least this share is wrong", for audits of a set that may change.

    Args:
        n: audits, >= 0.
        k: of them, where the label was wrong, 0 .. n.
        share: of wrong labels that is bet against, in [0, 1]; the three are broadcast.

    Returns:
        0 without audits; rises with the share and with every right label, falls with every wrong one.
    """
    n, k, share = (np.asarray(a)[..., None] for a in (n, k, share))
    return _log_sum(LOG_WEIGHTS + k * np.log(RATIOS) - n * np.log1p(-share * (1 - RATIOS)))


def holds(n: int, k: int, limit: float = LIMIT, level: float = LEVEL) -> bool:
    """Whether the bound is within the limit, without computing it; arguments and errors as there, limit in (0, 1)."""
    _check(n, k, level, limit)
    return bool(log_wealth(n, k, limit) >= log_enough(level))


def bound(n: int, k: int, level: float = LEVEL) -> float:
    """Return the share of labels that are wrong at most, with probability ``level`` at all times together.

    Raises:
        ValueError: unless 0 <= k <= n, and level between 0 and 1.
    """
    _check(n, k, level)
    enough = log_enough(level)
    if log_wealth(n, k, 1.0) < enough:
        return 1.0
    return float(brentq(lambda share: log_wealth(n, k, share) - enough, 0.0, 1.0))


def audits_needed(n: int, k: int, limit: float = LIMIT, level: float = LEVEL) -> int:
    """Return how many further audits, all without error, bring the bound down to the limit; 0 when it is there.

    Raises:
        ValueError: unless 0 <= k <= n, and limit and level between 0 and 1.
    """
    _check(n, k, level, limit)
    most = 1
    while not holds(n + most, k, limit, level):
        most *= 2
    return bisect_left(range(most), True, key=lambda further: holds(n + further, k, limit, level))


def set_log_wealth(n: int, k: int, n_wrong: int, n_labels: int) -> float:
    """Return the log of the wealth won against "n_wrong labels are wrong", for audits of one set that stays as it is.

    Drawn without replacement, so that how many wrong labels are left is known at each step. The bets are the
    likelihood ratios of every smaller number of wrong labels; their product depends on n and k alone. Waudby-Smith and
    Ramdas, Confidence sequences for sampling without replacement (2020).

    Args:
        n: audits, 0 .. n_labels.
        k: of them, where the label was wrong, 0 .. n.
        n_wrong: wrong labels in the set before any audit, 1 .. n_labels; the wealth is as valid against more.
        n_labels: in the set.

    Returns:
        Infinite where more would be left wrong than there are left; minus infinite where more were found.
    """
    if n_wrong - k > n_labels - n:
        return math.inf
    if k >= n_wrong:
        return -math.inf
    # The others can't be: fewer than were found.
    fewer = np.arange(k, n_wrong)
    log_weights = _log_weights(np.arange(n_wrong) / n_wrong)[k:]
    ratios = _log_chance(n, k, fewer, n_labels) - _log_chance(n, k, np.array(n_wrong), n_labels)
    return float(_log_sum(log_weights + ratios))


def set_bound(n: int, k: int, corrected: int, n_labels: int, level: float = LEVEL) -> float:
    """Return the share of a set's labels that are still wrong at most, once ``corrected`` of them have been corrected.

    Args:
        n, k, n_labels: as for set_log_wealth.
        corrected: of the k, those that a person has corrected; the others count as wrong still.
        level: of the bound.

    Raises:
        ValueError: unless 0 <= corrected <= k <= n <= n_labels, and level between 0 and 1.
    """
    _check_set(n, k, corrected, n_labels, level)
    enough = log_enough(level)

    def is_refuted(more_than: int) -> bool:
        return set_log_wealth(n, k, corrected + more_than + 1, n_labels) >= enough

    return bisect_left(range(n_labels), True, key=is_refuted) / n_labels


def set_holds(n: int, k: int, corrected: int, n_labels: int, limit: float = LIMIT, level: float = LEVEL) -> bool:
    """Whether set_bound is within the limit, without computing it; arguments as there."""
    _check_set(n, k, corrected, n_labels, level, limit)
    too_many = corrected + n_within(limit, n_labels) + 1
    return set_log_wealth(n, k, too_many, n_labels) >= log_enough(level)


def set_audits_needed(n: int, k: int, corrected: int, n_labels: int, limit: float = LIMIT, level: float = LEVEL) -> int:
    """Return how many further audits of a set, all without error, bring set_bound down to the limit.

    Returns:
        All that are left where fewer won't do.

    Raises:
        ValueError: as set_bound, and unless limit is between 0 and 1.
    """
    _check_set(n, k, corrected, n_labels, level, limit)
    return bisect_left(
        range(n_labels - n), True, key=lambda more: set_holds(n + more, k, corrected, n_labels, limit, level)
    )


def n_within(limit: float, n_labels: int) -> int:
    """Return how many wrong labels the limit allows among so many."""
    return math.floor(limit * n_labels + ROUNDING)


def level_of(restart: int, level: float = LEVEL) -> float:
    """Return the level of one certificate of a project, so that all of its certificates together keep ``level``.

    Args:
        restart: how many certificates were begun before, >= 0.
        level: of the project, in (0, 1).

    Returns:
        For 0.95: 0.96, 0.992, 0.9984 and so on.
    """
    return 1 - (1 - level) * FIRST_PART * (1 - FIRST_PART) ** restart


def forecast(n: int, k: int, most: int, limit: float = LIMIT, level: float = LEVEL) -> np.ndarray:
    """Return the chance that the certificate has held at some time, by number of further audits.

    The next label is taken to be wrong with probability (k + 1) / (n + 50).

    Args:
        n, k: audits and errors so far, 0 <= k <= n.
        most: further audits to look ahead, >= 0.
        limit, level: of the certificate, in (0, 1).

    Returns:
        Shape (most + 1,), rising; the first entry, 0 or 1, is now.

    Raises:
        ValueError: for numbers outside these ranges.
    """
    held_from = _held_from(n, k, most, limit, level)
    errors = np.arange(len(held_from))
    # Chance of so many further errors, and of not having been certified on the way.
    chance = np.zeros(len(held_from))
    chance[:1] = 1.0
    held = np.zeros(most + 1)
    for further in range(most + 1):
        if further:
            wrong = chance * (k + errors + 1) / (n + further - 1 + EXPECTED_ONE_IN)
            chance = chance - wrong
            chance[1:] += wrong[:-1]
        now = held_from <= further
        held[further] = chance[now].sum()
        chance[now] = 0.0
    return held.cumsum()


def audits_for(chances: np.ndarray, chance: float) -> int | None:
    """Return the number of further audits by which forecast gives such a chance; None when it never does."""
    number = int(np.searchsorted(chances, chance))
    return number if number < len(chances) else None


def log_enough(level: float) -> float:
    """Return the log of the wealth that certifies at this level."""
    return -math.log1p(-level)


def _held_from(n: int, k: int, most: int, limit: float, level: float) -> np.ndarray:
    """By further errors, the number of further audits from which it holds; only those up to ``most``."""
    found: list[int] = []
    while True:
        errors = len(found)
        further = errors + audits_needed(n + errors, k + errors, limit, level)
        if further > most:
            return np.array(found, dtype=int)
        found.append(further)


def _log_chance(n: int, k: int, n_wrong: np.ndarray, n_labels: int) -> np.ndarray:
    """Log chance of k wrong ones in one order among n drawn, for each number of wrong labels in the set."""
    return _log_choose(n_labels - n, n_wrong - k) - _log_choose(n_labels, n_wrong)


def _log_choose(n: int, k: np.ndarray) -> np.ndarray:
    return gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)


def _check(n: int, k: int, level: float, limit: float = LIMIT) -> None:
    if not 0 <= k <= n:
        raise ValueError("Errors must be between 0 and the number of audits.")
    if not (0 < limit < 1 and 0 < level < 1):
        raise ValueError("Limit and level must lie between 0 and 1.")


def _check_set(n: int, k: int, corrected: int, n_labels: int, level: float, limit: float = LIMIT) -> None:
    _check(n, k, level, limit)
    if not (0 <= corrected <= k and n <= n_labels):
        raise ValueError("No more can be corrected than were wrong, and no more audited than there are.")
