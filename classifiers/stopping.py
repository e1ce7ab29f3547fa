"""When another round would teach nothing more, and why."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from classifiers.sentences import Reason
from classifiers.sentences import Reason as _

# How many rounds must agree before the loop is called finished: one flat round is chance.
PATIENCE = 3
# A drop counts as slow when it is below this share of the steepest one. At a half the loop on banking77 stopped a
# round early: another still halved what was left.
SLOW = 0.25
# Rounds that settle less than this share of the first round's uncertain documents, and no more than
# people labelled in them, gain nothing. The share alone would stop every loop on a large pool.
FLOOR = 0.01
# Once no more than this share of the first round's uncertain documents is left, people are done sooner than a round.
# By question: a choice is one call a document, so that a round has calls to spare for labels that count as settled; on
# clinc150 another round of them mends one wrong label in some 25 calls.
LEFT = {"validate": 0.04, "choose": 0.02}
# Nats that the judge's next answers must gain on average. A judge that is right nine times in ten
# gains 0.37 on an even question, 0.08 where the best candidate is 95 % sure, 0.02 at 99 %.
GAIN_FLOOR = 0.02


def stop_reason(
    uncertain: Sequence[int],
    examples: Sequence[int],
    *,
    question: str = "validate",
    gains: Sequence[float] | None = None,
    gain_floor: float = GAIN_FLOOR,
    budget_left: int | None = None,
) -> Reason | None:
    """Say why the loop should stop, or None while another round is worth it.

    It stops when hardly a document is uncertain, when the budget is spent, when the best next questions
    would teach too little, and when the number of uncertain documents says so.

    The R.E.D. article stops at the inflection of the number of uncertain documents: it falls
    ever faster while the classifiers learn, then ever more slowly. The steepest drop marks the
    inflection; it counts as passed when each of the PATIENCE drops since is below SLOW of it.

    Args:
        uncertain: number of uncertain documents after each round, oldest first, all counted on
            the same documents. Leave out rounds that learnt nothing because a judge was down
            or nobody reviewed: an outage is no convergence.
        examples: number of training examples of each of these rounds.
        question: "validate" or "choose".
        gains: expected information gain of the best next batch after each of these rounds, in
            nats a question, oldest first; None or empty: not known.
        gain_floor: the gain below which another round isn't worth it.
        budget_left: judge calls that may still be made; None: without limit.

    Returns:
        A sentence for people, or None.
    """
    if len(uncertain) and uncertain[-1] <= LEFT[question] * uncertain[0]:
        if uncertain[-1] == 0:
            return _("No uncertain document is left.")
        return _(
            "Only %(left)s of %(first)s uncertain documents are left: people are done sooner than a round.",
            left=int(uncertain[-1]),
            first=int(uncertain[0]),
        )
    if budget_left is not None and budget_left <= 0:
        return _("The budget of judge calls is spent.")
    if gains is not None and len(gains) and gains[-1] < gain_floor:
        # Rounded down: it must read as below the floor.
        gain = math.floor(round(1000 * gains[-1], 6)) / 1000
        return _(
            "Another round would teach little: the judge's next answers are expected to gain %(gain)s nats each, below "
            "%(floor)s.",
            gain=f"{gain:g}",
            floor=f"{gain_floor:g}",
        )
    return _flat_or_past_inflection(uncertain, examples)


def _flat_or_past_inflection(uncertain: Sequence[int], examples: Sequence[int]) -> Reason | None:
    drops = -np.diff(np.asarray(uncertain))
    if len(drops) < PATIENCE:
        return None
    gained = uncertain[-1 - PATIENCE] - uncertain[-1]
    learnt = examples[-1] - examples[-1 - PATIENCE]
    if gained < FLOOR * uncertain[0] and gained <= learnt:
        return _(
            "Nothing more is gained: %(rounds)s rounds with %(learnt)s new training examples settled %(gained)s of "
            "%(first)s uncertain documents.",
            rounds=PATIENCE,
            learnt=int(learnt),
            gained=int(max(gained, 0)),
            first=int(uncertain[0]),
        )
    steepest = int(drops.argmax())
    since = drops[steepest + 1 :]
    if len(since) >= PATIENCE and bool((since[-PATIENCE:] < SLOW * drops[steepest]).all()):
        return _(
            "The number of uncertain documents is past its inflection: it fell by %(steepest)s in the steepest round "
            "and by %(drops)s in the last %(rounds)s.",
            steepest=int(drops[steepest]),
            drops=", ".join(str(drop) for drop in since[-PATIENCE:]),
            rounds=PATIENCE,
        )
    return None
