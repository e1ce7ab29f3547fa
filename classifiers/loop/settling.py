"""Which labels count as settled without a person."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import betaincinv

from classifiers.reliability import N_OFFERED, Rates

# The model's own word needs more than the judge's: so much of the doubt that would still do after a verdict.
OWN_DOUBT = 2 / 3
# A judge's word makes up for what the model's own lacks where it multiplies the odds of what it confirms by so much.
LEAST_FACTOR = 3.0
# What sums of thousands of probabilities may be off by.
ROUNDING = 1e-9
# Settling stops when audits are so sure that more is wrong than the limit.
SURE = 0.95


@dataclass(frozen=True)
class Standing:
    """What is settled already, and what audits found of it.

    Attributes:
        n: settled labels that no person has looked at.
        expected_wrong: how many of those are expected to be wrong.
        n_audits, n_errors: of the labels that the machine settled.
    """

    n: int = 0
    expected_wrong: float = 0.0
    n_audits: int = 0
    n_errors: int = 0


def confirms(rates: Rates, question: str) -> bool:
    """Whether labels may be settled on the word of a judge with these rates, and learnt from.

    One that calls nearly everything valid adds next to nothing where it does: what it confirms rests on the model, and
    a model that learnt from it would only learn its own mistakes.
    """
    accuracy, specificity = rates
    if question == "choose":
        return bool(accuracy * N_OFFERED >= LEAST_FACTOR * (1 - accuracy))
    return bool(accuracy >= LEAST_FACTOR * (1 - specificity))


def bars(certainty: float, judged: np.ndarray) -> np.ndarray:
    """Return the probability from which each label may be settled.

    Args:
        certainty: what is asked of a label that a judge was asked about, in [0, 1].
        judged: whether a judge that confirms what it calls right was asked about them, boolean, shape (n,).
    """
    return np.where(judged, certainty, 1 - OWN_DOUBT * (1 - certainty))


def settles(posterior: np.ndarray, bar: np.ndarray, risk: np.ndarray, standing: Standing, limit: float) -> np.ndarray:
    """Return which labels are settled now, boolean, shape (n,).

    So many of those above their bar, the least risky first, that no more than ``limit`` of all that is settled is
    expected to be wrong; none while audits say that more is.

    Args:
        posterior: in [0, 1], shape (n,).
        bar: see bars.
        risk: probability that the label is wrong, as audits found such probabilities to be; >= 0, shape (n,).
        standing: what is settled already.
        limit: in (0, 1).
    """
    may = posterior >= bar
    if is_too_wrong(standing, limit):
        return np.zeros(len(may), dtype=bool)
    rising = np.sort(risk[may])
    over = np.cumsum(rising - limit)
    spare = max(limit * standing.n - standing.expected_wrong, 0.0)
    # Equal ones pass together.
    passes = over[np.searchsorted(rising, rising, side="right") - 1] <= spare + ROUNDING
    return may & (risk <= rising[passes].max(initial=-1.0))


def is_too_wrong(standing: Standing, limit: float) -> bool:
    """Whether audits are sure that more of what the machine settled is wrong than ``limit``."""
    n, k = standing.n_audits, standing.n_errors
    return k > 0 and bool(betaincinv(k, n - k + 1, 1 - SURE) > limit)
