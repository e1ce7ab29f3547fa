"""What further questions to a judge would settle, by what is believed now."""

from __future__ import annotations

import numpy as np

from classifiers.loop.asking import MAX_IN_A_ROW
from classifiers.loop.believing import next_question, open_belief
from classifiers.posterior import after_choice, after_verdict
from classifiers.reliability import N_OFFERED, Rates

SMALLEST = 1e-9


def settled_by_asking(
    belief: np.ndarray, asked: np.ndarray, rates: Rates, question: str, bar: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return what asking about each document is expected to bring.

    Args:
        belief: of documents without a settled label, shape (n, k + 1).
        asked: candidates that nothing is left to ask about, shape (n, k).
        rates: the judge's, for this form of question.
        question: "validate", where a refused label leads to the next, or "choose".
        bar: probability from which a label is settled on the judge's word.

    Returns:
        The chance that a label is settled, and the expected number of questions, 0 where nothing is left to ask; both
        of shape (n,).
    """
    if question == "choose":
        return _by_choice(belief, asked, rates, bar)
    chance, questions, reached = np.zeros(len(belief)), np.zeros(len(belief)), np.ones(len(belief))
    asked = asked.copy()
    for _ in range(MAX_IN_A_ROW):
        reached = reached * ~asked.all(axis=1)
        column, _gain = next_question(belief, asked, rates, question)
        right = np.take_along_axis(belief, column[:, None], axis=1)[:, 0]
        said_valid = right * rates.sensitivity + (1 - right) * (1 - rates.specificity)
        yes, no = np.ones(len(belief), dtype=bool), np.zeros(len(belief), dtype=bool)
        valid = after_verdict(belief, column, yes, rates.sensitivity, rates.specificity)
        chance += reached * said_valid * _is_settled(valid, bar)
        questions += reached
        reached = reached * (1 - said_valid)
        belief = after_verdict(belief, column, no, rates.sensitivity, rates.specificity)
        np.put_along_axis(asked, column[:, None], values=True, axis=1)
    return chance, questions


def curve(chance: np.ndarray, questions: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """Return how many documents so many questions are expected to settle, where they settle most first.

    Args:
        chance, questions: see settled_by_asking.
        numbers: of questions, shape (m,), rising.

    Returns:
        Shape (m,), rising.
    """
    there = questions > 0
    each = chance[there] / np.maximum(questions[there], SMALLEST)
    order = np.argsort(-each, kind="stable")
    spent = np.append(0.0, np.cumsum(questions[there][order]))
    return np.interp(numbers, spent, np.append(0.0, np.cumsum(chance[there][order])))


def _by_choice(belief: np.ndarray, asked: np.ndarray, rates: Rates, bar: float) -> tuple[np.ndarray, np.ndarray]:
    n, k = asked.shape
    order = np.argsort(-open_belief(belief, asked)[:, :-1], axis=1, kind="stable")[:, :N_OFFERED]
    offered = np.zeros((n, k), dtype=bool)
    np.put_along_axis(offered, order, values=True, axis=1)
    offered &= ~asked
    n_wrong = np.maximum(offered.sum(axis=1), 1)
    true_option = np.where(offered, belief[:, :-1], 0.0)
    chance = np.zeros(n)
    for rank in range(order.shape[1]):
        column = order[:, rank]
        there = np.flatnonzero(np.take_along_axis(offered, column[:, None], axis=1)[:, 0])
        right = true_option[there, column[there]]
        said = right * rates.sensitivity + (1 - right) * (1 - rates.sensitivity) / n_wrong[there]
        after = after_choice(belief[there], column[there], offered[there], rates.sensitivity)
        chance[there] += said * _is_settled(after, bar)
    return chance, offered.any(axis=1).astype(float)


def _is_settled(belief: np.ndarray, bar: float) -> np.ndarray:
    return belief[:, :-1].max(axis=1, initial=0.0) >= bar
