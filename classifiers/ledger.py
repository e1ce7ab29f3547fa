"""The ledger of audits: which settled labels enter it, which of them people audit next, and what the audits prove.

A label version (document, label) enters when the machine settles it, and stays as it was then. Those that enter
together are a cohort; each gets a key in it, and the smallest key is audited next, so that late cohorts catch up by
themselves and every label has been audited with the same chance, the depth. Arrays here run over versions; what is
told of one never changes, it is only added that it left, was drawn, was decided.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property

import numpy as np

from classifiers.certificate import (
    LEVEL,
    LIMIT,
    ROUNDING,
    audits_needed,
    bound,
    holds,
    n_within,
    set_audits_needed,
    set_bound,
    set_holds,
)

N_SOURCES = 2
# Of the first ring, so small a part of the limit may be expected to be wrong.
FIRST_RING_PART = 1 / 20
# It must hold so many of the settled labels; the next ones are a tenth of them each.
LEAST_FIRST_RING = 1 / 3
NEXT_RINGS = 10
# Up to so many labels it pays to count what is left in the set.
MOST_FINITE = 2000
NOT_DRAWN = -1
# Keeps keys apart from whatever else is drawn with the same seed: numbers from one stream would choose what is audited.
KEYS = 1


class Source(IntEnum):
    """On whose word the machine settled a label."""

    MODEL = 0
    JUDGE = 1


class State(IntEnum):
    """What became of an audit that was drawn."""

    OPEN = 0
    RIGHT = 1
    WRONG = 2
    # Counts as wrong until somebody decides it.
    SKIPPED = 3


def cohort_keys(size: int, random_state: int | Sequence[int]) -> np.ndarray:
    """Return the keys of a cohort: its labels in random order, spread evenly over [0, 1) from one random offset.

    Args:
        size: labels in the cohort.
        random_state: seed; several numbers (of project, ledger, cohort) count together, zeros at their end don't.

    Returns:
        Shape (size,); of any interval [0, x) either floor or ceil of x * size keys lie in it.
    """
    rng = np.random.default_rng(np.random.SeedSequence(random_state, spawn_key=(KEYS,)))
    return (rng.permutation(size) + rng.random()) / size if size else np.empty(0)


def kappas(posterior: np.ndarray, source: np.ndarray, wrong: np.ndarray) -> np.ndarray:
    """Return by source how many times as many labels are wrong as was believed; 1 without audits.

    Args:
        posterior: of the audited labels when they were settled, in [0, 1], shape (n_audits,).
        source: of each, a Source, shape (n_audits,).
        wrong: which were found wrong, shape (n_audits,).

    Returns:
        (errors + 1) / (expected errors + 1), > 0, shape (2,).
    """
    errors = np.bincount(source, weights=wrong, minlength=N_SOURCES)
    expected = np.bincount(source, weights=1 - posterior, minlength=N_SOURCES)
    return (errors + 1) / (expected + 1)


def risk(posterior: np.ndarray, source: np.ndarray, kappa: np.ndarray) -> np.ndarray:
    """Return the chance that each label is wrong: 1 - posterior, scaled by what audits of its source found.

    Args:
        posterior: when each label was settled, in [0, 1], shape (n_labels,).
        source: of each, a Source, shape (n_labels,).
        kappa: by source, see kappas.

    Returns:
        In [0, 1], shape (n_labels,).
    """
    return np.minimum((1 - posterior) * kappa[source], 1.0)


def first_ring(risk: np.ndarray, limit: float = LIMIT) -> np.ndarray:
    """Mark the surest labels, as many as are expected to have a twentieth of the limit wrong at most.

    Args:
        risk: of all settled labels, in [0, 1], shape (n_labels,).
        limit: of the certificate.
    """
    surest = np.argsort(risk, kind="stable")
    allowed = limit * FIRST_RING_PART * np.arange(1, len(risk) + 1)
    size = int((risk[surest].cumsum() <= allowed + ROUNDING).sum())
    return _mark(surest[:size], len(risk))


def may_begin(ring: np.ndarray) -> bool:
    """Whether the first ring holds so many of the settled labels that a ledger is worth beginning."""
    return len(ring) > 0 and bool(ring.mean() >= LEAST_FIRST_RING - ROUNDING)


def surest_part(risk: np.ndarray) -> np.ndarray:
    """Mark the surest labels, as many as a first ring must hold: to begin with where waiting makes none surer."""
    surest = np.argsort(risk, kind="stable")
    return _mark(surest[: math.ceil(len(risk) * LEAST_FIRST_RING)], len(risk))


def next_ring(risk: np.ndarray, entered: np.ndarray) -> np.ndarray:
    """Mark the surest labels that have not entered the ledger yet, a tenth of all settled ones.

    Args:
        risk: of all settled labels, in [0, 1], shape (n_labels,).
        entered: which are in the ledger, shape (n_labels,).
    """
    surest = np.argsort(risk, kind="stable")
    outside = surest[~entered[surest]]
    return _mark(outside[: math.ceil(len(risk) / NEXT_RINGS)], len(risk))


def next_audits(key: np.ndarray, is_open: np.ndarray, size: int) -> np.ndarray:
    """Return the positions of the versions to audit next, in the order in which they are drawn.

    Args:
        key: of every version, shape (n_versions,).
        is_open: which are in the set and not drawn, shape (n_versions,).
        size: how many to draw at most.
    """
    free = np.flatnonzero(is_open)
    return free[np.argsort(key[free], kind="stable")[:size]]


def covered(left: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """Mark the versions that the certificate speaks of, certified when it holds: those in the set and those drawn.

    Args:
        left: which left the set, shape (n_versions,).
        drawn: place of each in the order of draws, NOT_DRAWN without, shape (n_versions,).
    """
    return ~left | (drawn != NOT_DRAWN)


@dataclass(frozen=True)
class Look:
    """What the audits prove now. Counts are of audits in the order drawn, up to the first that is still open.

    Attributes:
        n: audits decided or skipped.
        k: of them, wrong or skipped.
        corrected: of them, found wrong, so that a person's label stands now.
        ever: versions that ever entered the ledger.
        now: versions that the certificate speaks of: in the set or drawn.
        undecided: of these, those that no person has decided, in any order.
        depth: the largest key of the n, 0 without: with this probability each label has been audited.
        n_open: audits drawn and not decided.
        n_catching_up: versions that it speaks of, not among the n, with a key below the depth: of a cohort that came
            late. As long as there are any, the audits say nothing of the set as a whole.
        finite: one cohort of which none has left, so small that it counts what is left.
        limit: the largest share of wrong labels that is good enough.
        level: probability with which the bound is kept at all times together.
    """

    n: int
    k: int
    corrected: int
    ever: int
    now: int
    undecided: int
    depth: float
    n_open: int
    n_catching_up: int
    finite: bool
    limit: float
    level: float

    @cached_property
    def bound(self) -> float:
        """Share of the labels that are still wrong at most, in [0, 1]; 1 while there are none."""
        if not self.now:
            return 1.0
        # What no person has decided may be wrong, nothing else.
        most = self.undecided / self.now
        if self.n_catching_up:
            return most
        if self.finite:
            return min(most, set_bound(self.n, self.k, self.corrected, self.now, self.level))
        return min(most, bound(self.n, self.k, self.level) * self.ever / self.now)

    @cached_property
    def holds(self) -> bool:
        """Whether the bound is within the limit."""
        if not self.now:
            return False
        if self.undecided / self.now <= self.limit:
            return True
        if self.n_catching_up:
            return False
        if self.finite:
            return set_holds(self.n, self.k, self.corrected, self.now, self.limit, self.level)
        return holds(self.n, self.k, self._limit_of_all, self.level)

    @cached_property
    def still_needed(self) -> int:
        """Further audits, all without error, that would make it hold, open ones included; 0 when it holds."""
        if self.holds or not self.now:
            return 0
        if self.finite:
            further = set_audits_needed(self.n, self.k, self.corrected, self.now, self.limit, self.level)
        else:
            further = audits_needed(self.n, self.k, self._limit_of_all, self.level)
        return min(max(further, self.n_catching_up), self.undecided - n_within(self.limit, self.now))

    @property
    def _limit_of_all(self) -> float:
        """The limit as a share of all that ever entered, as if none of those that left had been wrong."""
        return self.limit * self.now / self.ever


def look(
    key: np.ndarray,
    cohort: np.ndarray,
    left: np.ndarray,
    drawn: np.ndarray,
    state: np.ndarray,
    limit: float = LIMIT,
    level: float = LEVEL,
) -> Look:
    """Look at a ledger; as often as one likes.

    Args:
        key: of every version that ever entered, in [0, 1), shape (n_versions,).
        cohort: of each, any numbers, shape (n_versions,).
        left: which have left the set; for those that were drawn it makes no difference, shape (n_versions,).
        drawn: place of each in the order of draws, rising numbers >= 0, NOT_DRAWN without, shape (n_versions,).
        state: a State for each that was drawn, ignored for the others, shape (n_versions,).
        limit: the largest share of wrong labels that is good enough, in (0, 1).
        level: of the bound, in (0, 1); see certificate.level_of.
    """
    is_drawn = drawn != NOT_DRAWN
    speaks_of = covered(left, drawn)
    order = np.flatnonzero(is_drawn)
    order = order[np.argsort(drawn[order])]
    is_open = state[order] == State.OPEN
    counted = order[: int(is_open.argmax()) if is_open.any() else len(order)]
    depth = float(key[counted].max(initial=0.0))
    is_decided = is_drawn & ((state == State.RIGHT) | (state == State.WRONG))
    errors = np.bincount(state[counted], minlength=len(State))
    is_counted = _mark(counted, len(key))
    one_stays = bool(speaks_of.all() and (cohort == cohort[:1]).all())
    return Look(
        n=len(counted),
        k=int(errors[State.WRONG] + errors[State.SKIPPED]),
        corrected=int(errors[State.WRONG]),
        ever=len(key),
        now=int(speaks_of.sum()),
        undecided=int((speaks_of & ~is_decided).sum()),
        depth=depth,
        n_open=int(is_open.sum()),
        n_catching_up=int((speaks_of & ~is_counted & (key < depth)).sum()),
        finite=one_stays and len(key) <= MOST_FINITE,
        limit=limit,
        level=level,
    )


def _mark(positions: np.ndarray, size: int) -> np.ndarray:
    marked = np.zeros(size, dtype=bool)
    marked[positions] = True
    return marked
