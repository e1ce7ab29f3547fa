"""The best few labels of each document, and how every view sees them.

A *view* scores a label for a document. Some look at all labels at once, because that costs one product: the cosine to
a label's centroid is one of them. They choose the candidates, together with the mean cosine to a label's three nearest
examples. The experts' views are asked about the candidates only, so that a document costs a few small kernels, not all
of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from classifiers.experts import Expert
from classifiers.subsets import unit_rows

N_NEAREST = 3


@dataclass(frozen=True)
class Candidates:
    """The best labels of each document, best first.

    Attributes:
        labels: label codes, shape (n_documents, k).
        probabilities: in [0, 1], falling along the row, shape (n_documents, k). From the arbiter they sum to at
            most 1 and the rest is "none of these"; from the article's combination each is that of the label's own
            subset, and rows don't sum to 1.
        entropy: uncertainty in nats, >= 0, shape (n_documents,): over the candidates and "none of these", or in the
            article's combination that of the subset classifier which proposed the best label.
    """

    labels: np.ndarray
    probabilities: np.ndarray
    entropy: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, rows: np.ndarray) -> Candidates:
        return Candidates(self.labels[rows], self.probabilities[rows], self.entropy[rows])

    @classmethod
    def ranked(
        cls, probabilities: np.ndarray, entropy: np.ndarray, k: int, labels: np.ndarray | None = None
    ) -> Candidates:
        """Put the k most probable of each row's labels in order; equal probabilities keep theirs.

        Args:
            probabilities: shape (n_documents, n_labels).
            entropy: shape (n_documents,).
            k: at most n_labels.
            labels: the columns' label codes, shape (n_documents, n_labels); None: a column's number is its label.
        """
        order = np.argsort(-probabilities, axis=1, kind="stable")[:, :k]
        return cls(
            labels=order if labels is None else np.take_along_axis(labels, order, axis=1),
            probabilities=np.take_along_axis(probabilities, order, axis=1),
            entropy=entropy,
        )

    @classmethod
    def joined(cls, parts: Sequence[Candidates], k: int) -> Candidates:
        """Put the candidates of consecutive documents together; k says how wide the result of no part is."""
        if not parts:
            return cls(np.empty((0, k), dtype=int), np.empty((0, k)), np.empty(0))
        columns = ([getattr(part, name) for part in parts] for name in ("labels", "probabilities", "entropy"))
        return cls(*(np.concatenate(column) for column in columns))


class LabelViews:
    """Centroids and examples by label.

    Args:
        X: unit vectors, shape (n_examples, n_dims), float32.
        y: label codes 0 .. n_labels - 1, each at least once; rows with other codes are left out.
        n_labels: how many labels there are.
    """

    def __init__(self, X: np.ndarray, y: np.ndarray, n_labels: int):
        self.X = X
        known = np.flatnonzero(y >= 0)
        order = known[np.argsort(y[known], kind="stable")]
        self.members = np.split(order, np.cumsum(np.bincount(y[known], minlength=n_labels))[:-1])
        self._sums = np.stack([X[rows].sum(axis=0, dtype=np.float64) for rows in self.members])
        self.centroids = unit_rows(self._sums).astype(np.float32)

    def centroid(self, X: np.ndarray, own_labels: np.ndarray | None = None) -> np.ndarray:
        """Return the cosine to each label's centroid, shape (n, n_labels), float32.

        Args:
            X: unit vectors, shape (n, n_dims).
            own_labels: label codes of the rows where they are examples, shape (n,), NOISE for none: each is left out
                of its own label then.
        """
        similarity = X @ self.centroids.T
        if own_labels is not None:
            labelled = np.flatnonzero(own_labels >= 0)
            similarity[labelled, own_labels[labelled]] = self._without_own(X[labelled], own_labels[labelled])
        return similarity

    def _without_own(self, X: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Cosine of examples to their label's centroid computed without them; 0 for an only example."""
        rest = self._sums[labels] - X
        lengths = np.linalg.norm(rest, axis=1)
        alone = lengths < 1e-6
        return np.where(alone, 0.0, (rest * X).sum(axis=1) / np.where(alone, 1.0, lengths))

    def nearest(self, X: np.ndarray, labels: np.ndarray, own: np.ndarray | None = None) -> np.ndarray:
        """Return the mean cosine to the nearest examples of each of the labels, float32.

        Args:
            X: unit vectors, shape (n, n_dims).
            labels: label codes, shape (n, k).
            own: where the rows stand among the examples, shape (n,): each is left out then.
        """
        scores = np.empty(labels.size, dtype=np.float32)
        for code, pairs in grouped(labels.ravel()):
            rows, members = pairs // labels.shape[1], self.members[code]
            similarity = X[rows] @ self.X[members].T
            if own is not None:
                similarity[own[rows][:, None] == members] = -np.inf
            n = min(N_NEAREST, len(members))
            top = -np.partition(-similarity, n - 1, axis=1)[:, :n]
            there = top > -np.inf
            scores[pairs] = np.where(there, top, 0.0).sum(axis=1) / np.maximum(there.sum(axis=1), 1)
        return scores.reshape(labels.shape)


def grouped(values: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Yield each value that occurs in integers (n,), rising, and the positions where it does, rising, too."""
    order = np.argsort(values, kind="stable")
    ranked = values[order]
    starts = np.flatnonzero(_is_first(ranked))
    yield from zip(ranked[starts].tolist(), np.split(order, starts)[1:], strict=True)


def _is_first(rising: np.ndarray) -> np.ndarray:
    """Which of values (n,) that never fall are the first of their kind; np.unique sorts them anew."""
    found = np.ones(len(rising), dtype=bool)
    found[1:] = rising[1:] != rising[:-1]
    return found


def expert_view(
    experts: Sequence[Expert],
    examples: np.ndarray,
    X: np.ndarray,
    labels: np.ndarray,
    n_labels: int,
    own: np.ndarray | None = None,
    likeness: np.ndarray | None = None,
) -> np.ndarray:
    """Ask each candidate's own expert about it.

    Args:
        experts: together they answer for every label, each label once.
        examples: what the experts' rows point to, shape (n_examples, n_dims).
        X: unit vectors, shape (n, n_dims).
        labels: candidates, shape (n, k).
        n_labels: how many labels there are.
        own: where the rows stand among the examples: an expert answers as if it had not seen them.
        likeness: the kernel of all examples with X, shape (n_examples, n), where it was computed for all experts.

    Returns:
        Scores, shape (n, k), float32.
    """
    scores, k = np.zeros(labels.size, dtype=np.float32), labels.shape[1]
    # Which expert answers for a label, and in which of its columns.
    of_expert, column_of = np.full(n_labels, -1), np.empty(n_labels, dtype=int)
    for number, expert in enumerate(experts):
        of_expert[expert.labels], column_of[expert.labels] = number, np.arange(len(expert.labels))
    for number, pairs in grouped(of_expert[labels.ravel()]):
        if number < 0:
            continue  # Nobody answers for these.
        expert = experts[number]
        rows_of_pairs = pairs // k
        is_first = _is_first(rows_of_pairs)
        rows, places = rows_of_pairs[is_first], np.cumsum(is_first) - 1
        answers = expert.scores(X[rows], examples) if likeness is None else expert.scores_of(likeness)[rows]
        if own is not None:
            _leave_out(answers, expert, own[rows])
        scores[pairs] = answers[places, column_of[labels.ravel()[pairs]]]
    return scores.reshape(labels.shape)


def _leave_out(answers: np.ndarray, expert: Expert, own: np.ndarray) -> None:
    """Put the leave-one-out scores of the examples that the expert has learnt from in their place."""
    order = np.argsort(expert.rows, kind="stable")
    place = np.minimum(np.searchsorted(expert.rows[order], own), len(order) - 1)
    seen = expert.rows[order][place] == own
    answers[seen] = expert.left_out[order[place[seen]]]


def features(views: Sequence[np.ndarray], struck: np.ndarray | None = None) -> np.ndarray:
    """Return each view's value of a candidate and its distance to the best other: shape (n, k, 2 n_views), float64.

    Args:
        views: scores of the same candidates, shape (n, k) each.
        struck: which candidates to take off the list, boolean, shape (n, k): they are nobody's best other, and their
            own features are 0.
    """
    columns = []
    for view in views:
        values = view.astype(np.float64)
        if struck is not None:
            values[struck] = -np.inf
        best = values.max(axis=1, keepdims=True)
        is_best = np.arange(values.shape[1]) == values.argmax(axis=1)[:, None]
        second = np.where(is_best, -np.inf, values).max(axis=1, keepdims=True)
        second = np.where(np.isfinite(second), second, 0.0)
        columns += [values, values - np.where(is_best, second, best)]
    found = np.stack(columns, axis=2)
    if struck is not None:
        found[struck] = 0.0
    return found
