"""Beliefs after everything that judges said."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from classifiers.posterior import (
    after_choice,
    after_verdict,
    expected_choice_gain,
    expected_information_gain,
    label_factors,
    none_factor,
    prior,
)
from classifiers.reliability import N_OFFERED, Rates

# A document's position, the code of a label, whether it was called valid, the codes offered, the judge's position.
Answer = tuple[int, int, bool, Sequence[int], int]

# Stands where a document has no label yet, and for a label that isn't there.
UNKNOWN = -2


@dataclass(frozen=True)
class Answers:
    """What judges said, an entry an answer, in the order in which it was said.

    Attributes:
        document: positions of the documents, shape (n_answers,).
        label: code of the label that was asked about; of a choice, of the label that was chosen, any other code for
            "none of these". Shape (n_answers,).
        valid: whether the label was called valid; True for a choice. Shape (n_answers,).
        offered: codes that a choice was among, UNKNOWN elsewhere, shape (n_answers, N_OFFERED).
        judge: positions in the list of rates, shape (n_answers,).
    """

    document: np.ndarray
    label: np.ndarray
    valid: np.ndarray
    offered: np.ndarray
    judge: np.ndarray

    def __len__(self) -> int:
        return len(self.document)

    def __getitem__(self, rows: np.ndarray) -> Answers:
        return Answers(*(column[rows] for column in vars(self).values()))

    @classmethod
    def of(cls, rows: Sequence[Answer]) -> Answers:
        offered = np.full((len(rows), N_OFFERED), UNKNOWN)
        for position, row in enumerate(rows):
            offered[position, : len(row[3])] = row[3]
        document, label, valid, judge = (
            np.array([row[column] for row in rows], dtype=kind)
            for column, kind in ((0, int), (1, int), (2, bool), (4, int))
        )
        return cls(document, label, valid, offered, judge)

    def plus(self, others: Answers) -> Answers:
        """These answers and then the others."""
        pairs = zip(vars(self).values(), vars(others).values(), strict=True)
        return Answers(*(np.concatenate(pair) for pair in pairs))

    @property
    def is_choice(self) -> np.ndarray:
        return (self.offered != UNKNOWN).any(axis=1)


@dataclass(frozen=True)
class Factors:
    """What makes labels as common as they are in the pool: factors on their odds.

    Attributes:
        none: of none of the candidates.
        labels: by code, shape (n_labels,).
    """

    none: float
    labels: np.ndarray

    @classmethod
    def of(
        cls,
        probabilities: np.ndarray,
        labels: np.ndarray,
        n_examples: np.ndarray,
        n_known: np.ndarray,
        off_list: tuple[int, int],
    ) -> Factors:
        """Learn them from the pool.

        Args:
            probabilities, labels: of the candidates of all documents without a label, shape (n, k).
            n_examples: how many examples of each label the classifiers have learnt, shape (n_labels,).
            n_known: how many documents of the pool have got each label, shape (n_labels,).
            off_list: of the documents drawn at random from the pool, in how many the right label was no candidate, and
                how many there are.
        """
        return cls(none_factor(probabilities, *off_list), label_factors(probabilities, labels, n_examples, n_known))

    def prior(self, probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Return the belief before any answer, shape (n, k + 1)."""
        return prior(probabilities, self.none, self.labels[labels])


def weigh(belief: np.ndarray, labels: np.ndarray, answers: Answers, rates: Sequence[Rates]) -> np.ndarray:
    """Return the belief after the answers; those about labels that are no candidates any more tell nothing.

    Args:
        belief: probability of each of k candidates and, last, of none of them; rows sum to 1. Shape (n, k + 1).
        labels: the candidates' codes, shape (n, k).
        answers: about these n documents.
        rates: of each judge, for the form in which it was asked; see Reliability.of.
    """
    belief = np.array(belief, dtype=float)
    sensitivity, specificity = np.reshape(np.array(rates, dtype=float), (-1, 2)).T
    for turn in _turns(answers.document):
        chosen = answers[turn][answers[turn].is_choice]
        _weigh_choices(belief, labels, chosen, sensitivity)
        _weigh_verdicts(belief, labels, answers[turn][~answers[turn].is_choice], sensitivity, specificity)
    return belief


def asked(labels: np.ndarray, answers: Answers) -> np.ndarray:
    """Return which candidates these answers leave nothing to ask about, boolean, shape (n, k).

    A label is asked about once; a document on which a choice was made is not asked about again.
    """
    found = np.zeros(labels.shape, dtype=bool)
    chosen = answers.is_choice
    found[answers.document[chosen]] = True
    verdicts = answers[~chosen]
    rows, columns = np.nonzero(labels[verdicts.document] == verdicts.label[:, None])
    found[verdicts.document[rows], columns] = True
    return found


def open_belief(belief: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Move what was asked about into the last column: those labels are nothing to ask about any more."""
    candidates = np.where(asked, 0.0, belief[:, :-1])
    return np.hstack([candidates, 1 - candidates.sum(axis=1, keepdims=True)])


def next_question(
    belief: np.ndarray, asked: np.ndarray, rates: Rates, question: str = "validate"
) -> tuple[np.ndarray, np.ndarray]:
    """Return what could be asked next about each document, and the nats that the answer is expected to tell.

    It is about the most probable candidate that was not asked about, or a choice among the best few.

    Returns:
        Column of the candidate, shape (n,), and gain, shape (n,): -inf where nothing is left to ask.
    """
    candidates = np.where(asked, -1.0, belief[:, :-1])
    column = candidates.argmax(axis=1)
    if question == "choose":
        order = np.argsort(-candidates, axis=1, kind="stable")
        offered = np.zeros(asked.shape, dtype=bool)
        np.put_along_axis(offered, order[:, :N_OFFERED], values=True, axis=1)
        gain = expected_choice_gain(belief, offered & ~asked, rates.sensitivity)
    else:
        best = np.take_along_axis(candidates, column[:, None], axis=1)[:, 0]
        gain = expected_information_gain(np.maximum(best, 0.0), rates.sensitivity, rates.specificity)
    return column, np.where(asked.all(axis=1), -np.inf, gain)


def best(belief: np.ndarray, labels: np.ndarray, none: int) -> tuple[np.ndarray, np.ndarray]:
    """Return each document's most probable label, ``none`` for none of these, and its probability, shape (n,)."""
    column = belief.argmax(axis=1)
    rows = np.arange(len(belief))
    return np.hstack([labels, np.full((len(belief), 1), none)])[rows, column], belief[rows, column]


def _turns(document: np.ndarray) -> Iterator[np.ndarray]:
    """The first answer to each document, then the second, ...: positions in ``document``."""
    order = np.argsort(document, kind="stable")
    starts = np.flatnonzero(np.diff(document[order], prepend=-1))
    sizes = np.diff(np.append(starts, len(order)))
    turn = np.arange(len(order)) - np.repeat(starts, sizes)
    for number in range(int(turn.max(initial=-1)) + 1):
        yield order[turn == number]


def _weigh_verdicts(
    belief: np.ndarray, labels: np.ndarray, said: Answers, sensitivity: np.ndarray, specificity: np.ndarray
) -> None:
    is_candidate = labels[said.document] == said.label[:, None]
    said, is_candidate = said[is_candidate.any(axis=1)], is_candidate[is_candidate.any(axis=1)]
    belief[said.document] = after_verdict(
        belief[said.document],
        is_candidate.argmax(axis=1),
        said.valid,
        sensitivity[said.judge],
        specificity[said.judge],
    )


def _weigh_choices(belief: np.ndarray, labels: np.ndarray, said: Answers, accuracy: np.ndarray) -> None:
    offered = (labels[said.document][:, :, None] == said.offered[:, None, :]).any(axis=2)
    # A choice that is no candidate any more says of the others what "none of these" says.
    chosen = (labels[said.document] == said.label[:, None]) & offered
    column = np.where(chosen.any(axis=1), chosen.argmax(axis=1), labels.shape[1])
    belief[said.document] = after_choice(belief[said.document], column, offered, accuracy[said.judge])
