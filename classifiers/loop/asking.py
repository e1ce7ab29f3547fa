"""What a judge is asked next."""

from __future__ import annotations

import numpy as np

from classifiers.loop.believing import next_question, open_belief
from classifiers.loop.settling import bars
from classifiers.query import Asked, choose
from classifiers.reliability import N_OFFERED, Rates

# A refused label leads to the next while its verdict is expected to tell so many nats, at most so many in a row.
DELEGATION_FLOOR = 0.05
MAX_IN_A_ROW = 3


def tells_something(rates: Rates, question: str) -> bool:
    """Whether an answer of this judge is worth asking for where two labels are equally probable."""
    even = np.zeros((1, N_OFFERED + 1))
    even[0, :2] = 0.5
    _, gain = next_question(even, np.zeros((1, N_OFFERED), dtype=bool), rates, question)
    return bool(gain[0] >= DELEGATION_FLOOR)


def delegates(gain: np.ndarray | float, in_a_row: np.ndarray | int) -> np.ndarray | bool:
    """Whether a refused label leads to a question about the next one.

    Args:
        gain: nats that its answer is expected to tell; -inf where there is no next one.
        in_a_row: questions about the document in this round so far.
    """
    return (gain >= DELEGATION_FLOOR) & (np.asarray(in_a_row) < MAX_IN_A_ROW)


def batch(
    belief: np.ndarray,
    asked: np.ndarray,
    entropy: np.ndarray,
    settled: np.ndarray,
    rates: Rates,
    *,
    strategy: str,
    question: str,
    threshold: float,
    calls: int,
    random_state: int,
    X: np.ndarray | None = None,
    rows: np.ndarray | None = None,
) -> np.ndarray:
    """Return positions of the documents that the judge is asked about in a round, most worth asking first.

    So many that, with the questions that refusals are expected to lead to, about ``calls`` are asked.

    Args:
        belief: shape (n, k + 1), see believing.weigh.
        asked: candidates that nothing is left to ask about, shape (n, k).
        entropy: of the classifier that proposed each document's best candidate, nats, shape (n,).
        settled: whether a document has a settled label, boolean, shape (n,); what the model is sure enough of to settle
            it without a judge is taken for settled, too.
        rates: the judge's, for this question.
        strategy, threshold, question, X, rows: see query.choose.
        calls: at least 0.
        random_state: seed.
    """
    open_ = open_belief(belief, asked)
    settled = settled | (belief.max(axis=1) >= bars(threshold, np.array([False])))
    offered = Asked(open_, entropy, *rates, settled, threshold, question)
    chosen = choose(offered, strategy, calls, random_state, X=X, rows=rows)
    if question == "choose":
        return chosen
    best = open_[chosen, :-1].max(axis=1, initial=0.0)
    valid = rates.sensitivity * best + (1 - rates.specificity) * (1 - best)
    expected_calls = np.cumsum(1 + (1 - valid) + (1 - valid) ** 2)
    # One question fits into any budget.
    return chosen[: max(int(np.searchsorted(expected_calls, calls, side="right")), min(calls, 1))]
