"""What is still to be done: audits to the first certificate, and until nearly everything settled is certified."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from classifiers.certificate import audits_for, audits_needed, forecast, n_within
from classifiers.ledger import NEXT_RINGS, Look
from classifiers.loop.book import Book

# Further ahead than this nothing is foretold.
FARTHEST = 1_000
# Between these chances lies what a page shows as the range.
CHANCES = {"low": 0.1, "middle": 0.5, "high": 0.9}
# While people also teach, half of a round's reviews are audits; and some rounds let no ring enter.
OF_USUAL = {"low": 0.5, "middle": 1.0, "high": 1.5}
# Certified from this share of what is settled on.
NEARLY_ALL = 0.9
# What a mean of probabilities may be off by.
ROUNDING = 1e-9

# By the name of a chance; None where it can't be foretold.
Ahead = dict[str, int | None]


def outlook(book: Book, look: Look, audits_a_round: int) -> dict[str, Any]:
    """Return the figures that the project page words; numbers of audits are None where they can't be foretold.

    ``settled``: labels that the machine settled and that stand. ``certified``: of them, those a certificate covers.
    ``entered``: of them, those in the ledger. ``first``, ``nearly_all``: audits until the certificate holds for the
    first time, and until it covers NEARLY_ALL of what is settled: {low, middle, high}; ``first`` is None once it has
    held.
    """
    settled = book.present | (book.audited & ~book.left)
    entered = settled & book.entered
    begun, has_held = bool(entered.any()), bool(book.certified.any())
    return {
        "settled": int(settled.sum()),
        "entered": int(entered.sum()),
        "certified": int((settled & book.certified).sum()),
        "begun": begun,
        "expected_wrong": round(float(book.risk[book.present].sum()), 1),
        "first": None if has_held or not begun else _range(look, look.k),
        "nearly_all": _to_cover(book, settled, look, audits_a_round) if begun else None,
    }


def _range(look: Look, k: int) -> Ahead:
    """Audits by which it holds with each of CHANCES, had k of those so far been wrong.

    One small set that stays as it is needs fewer.
    """
    chances = forecast(look.n, min(k, look.n), FARTHEST, look.limit, look.level)
    found = {name: audits_for(chances, chance) for name, chance in CHANCES.items()}
    saved = audits_needed(look.n, look.k, look.limit, look.level) - look.still_needed if look.finite else 0
    return {name: None if n is None else max(n - saved, 0) for name, n in found.items()}


def _to_cover(book: Book, settled: np.ndarray, look: Look, audits_a_round: int) -> Ahead:
    """Audits until NEARLY_ALL of what is settled is covered.

    It holds with the errors that the less sure labels bring, and a round lets one ring enter. Once nearly everything
    has been looked at it holds in any case.
    """
    entered, risk = settled & book.entered, np.sort(book.risk[settled])
    n_to_cover = max(round(NEARLY_ALL * len(risk)), int(entered.sum()))
    riskier = max(risk[:n_to_cover].mean() / max(book.risk[entered].mean(), ROUNDING), 1.0)
    found = _range(look, round((look.k + 1) * riskier) - 1)
    n_rounds = math.ceil((n_to_cover - entered.sum()) / math.ceil(len(risk) / NEXT_RINGS)) + (not look.holds)
    usual = n_rounds * audits_a_round
    most = n_to_cover - n_within(look.limit, n_to_cover) - int((settled & book.audited).sum())
    return {name: _within(n, round(OF_USUAL[name] * usual), max(most, 0)) for name, n in found.items()}


def _within(n: int | None, least: int, most: int) -> int | None:
    if n is None:
        return most if most < FARTHEST else None
    return min(max(n, least), most)
