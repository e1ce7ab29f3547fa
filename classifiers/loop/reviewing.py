"""How people's time is spent."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from classifiers.ledger import Look
from classifiers.query import Asked, choose

# This share of the reviews is spot checks, blind decisions outside the ledger. Half of them are drawn from the whole
# pool: they tell how much belongs to no label. The other half are drawn from what the judge was asked about: they tell
# how often it is right where the model is in doubt.
SPOT_CHECKS = 0.1


# After so many rounds audits begin with what there is, also where the model is not sure enough of enough labels.
PATIENCE = 3


@dataclass(frozen=True)
class Shares:
    """What a round lays out for people, numbers of documents.

    Attributes:
        audits: of the ledger, in the order of their keys.
        from_pool, from_batch: spot checks.
        questions: documents whose label would teach most.
    """

    audits: int
    from_pool: int
    from_batch: int
    questions: int

    def questions_beside(self, n_audits: int) -> int:
        """How many questions there is time for where the ledger had so many audits to draw."""
        return self.questions + self.audits - n_audits


def share_out(capacity: int, look: Look | None, *, has_held: bool, n_outside: int, asks: bool, learns: bool) -> Shares:
    """Return how a round's reviews are shared out.

    Audits get everything until the certificate holds for the first time; then half or what catching up takes where
    people alone teach; and once it covers all that is settled no more than that.

    Args:
        capacity: reviews of the round, at least 0.
        look: at the ledger; None before it is begun.
        has_held: whether the certificate has held before.
        n_outside: settled labels that have not entered the ledger yet.
        asks: whether the round asked a judge.
        learns: whether another decision is worth learning from.
    """
    waits_for_audits = look is not None and not has_held
    from_pool = spot_checks(capacity) if learns and not waits_for_audits else 0
    from_batch = spot_checks(capacity) if asks else 0
    room = capacity - from_pool - from_batch
    # Where a judge is asked, what it settles is learnt, and people's time is better spent on proving it.
    audits = _audits(room, look, has_held, n_outside, teaches=learns and not asks)
    return Shares(audits, from_pool, from_batch, room - audits)


def spot_checks(capacity: int) -> int:
    """Return how many of a round's reviews are spot checks of the pool, and how many of what the judge was asked."""
    return round(SPOT_CHECKS / 2 * capacity)


def _audits(room: int, look: Look | None, has_held: bool, n_outside: int, teaches: bool) -> int:
    if look is None:
        return 0
    if look.holds and not n_outside:
        return min(look.n_catching_up, room)
    if not (has_held and teaches):
        return room
    # Less than catching up takes would prove nothing in this round.
    return min(max(room // 2, look.n_catching_up), room)


def questions(
    belief: np.ndarray,
    entropy: np.ndarray,
    size: int,
    strategy: str,
    random_state: int,
    X: np.ndarray | None = None,
) -> np.ndarray:
    """Return positions of the documents that people are asked about, those that teach most first.

    Args:
        belief: of the documents that are not settled, shape (n, k + 1).
        entropy: of the classifier that proposed each document's best candidate, nats, shape (n,).
        size: how many at most.
        strategy: a name in query.STRATEGIES.
        random_state: seed.
        X: their unit vectors, so that no two are nearly the same; or None.
    """
    # To a person every document is open, and the answer is the label.
    nobody = np.zeros(len(belief), dtype=bool)
    return choose(Asked(belief, entropy, 1.0, 1.0, nobody), strategy, size, random_state, X=X)
