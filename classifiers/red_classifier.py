"""The whole ensemble as one estimator: subsets of unlike labels, one small classifier for each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from threadpoolctl import threadpool_limits

from classifiers.subset_classifier import NOISE, SubsetClassifier
from classifiers.subsets import label_centroids, partition, reduce_centroids

# Rows predicted at a time: bounds memory to a few MB a thousand labels, whatever the pool's size.
CHUNK_ROWS = 4096


@dataclass(frozen=True)
class Candidates:
    """The best labels of each document, best first.

    Attributes:
        labels: label codes, shape (n_documents, k).
        probabilities: each candidate's probability in its own subset's classifier, in [0, 1],
            falling along the row; rows don't sum to 1. Shape (n_documents, k).
        entropy: uncertainty of the classifier that proposed the best label, over its labels
            and noise, in nats, >= 0. Shape (n_documents,).
    """

    labels: np.ndarray
    probabilities: np.ndarray
    entropy: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)


class RedClassifier(ClassifierMixin, BaseEstimator):
    """R.E.D. as the article writes it: the subset classifier with the highest probability wins.

    Args:
        subset_size: the most labels one subset classifier knows, at least 2.
        noise_ratio: noise rows for each row of a subset's average label.
        C: inverse strength of the L2 penalty of each subset classifier.
        random_state: seed of UMAP and of the noise samples.

    Attributes:
        classes_: the label codes 0 .. n_labels - 1.
        subsets_: the label codes of each subset.
        classifiers_: the SubsetClassifier of each subset, in the same order.
    """

    def __init__(self, subset_size: int = 10, noise_ratio: float = 2.0, C: float = 10.0, random_state: int = 0):
        self.subset_size = subset_size
        self.noise_ratio = noise_ratio
        self.C = C
        self.random_state = random_state

    def fit(
        self,
        X: np.ndarray,
        y: Sequence[int] | np.ndarray,
        subsets: Sequence[np.ndarray] | None = None,
        on_subset: Callable[[int, int], None] | None = None,
    ) -> Self:
        """Split the labels and fit one classifier for each subset.

        Args:
            X: unit vectors of the training examples, shape (n_examples, n_dims).
            y: label codes 0 .. n_labels - 1, each with an example, or NOISE for texts that
                belong to no label; those are noise to every subset.
            subsets: the split of an earlier fit with the same labels; None: split anew.
            on_subset: called with (subsets fitted, subsets in all) after each.

        Raises:
            ValueError: with fewer than two labels, or a label without an example.
        """
        codes = np.asarray(y)
        self.classes_ = np.arange(codes.max(initial=NOISE) + 1)
        if len(self.classes_) < 2:
            raise ValueError("At least two labels need training examples.")
        with threadpool_limits(limits=1):
            self.subsets_ = list(subsets) if subsets is not None else self._partition(X, codes)
            self.classifiers_ = []
            for index, subset in enumerate(self.subsets_):
                self.classifiers_.append(self._fit_subset(X, codes, subset))
                if on_subset:
                    on_subset(index + 1, len(self.subsets_))
        return self

    def candidates(self, X: np.ndarray, k: int = 10) -> Candidates:
        """Return the k labels with the highest probability for each row of X, at most all labels."""
        k = min(k, len(self.classes_))
        chunks = [self._candidates(X[start : start + CHUNK_ROWS], k) for start in range(0, len(X), CHUNK_ROWS)]
        if not chunks:
            return Candidates(np.empty((0, k), dtype=int), np.empty((0, k)), np.empty(0))
        return Candidates(
            labels=np.concatenate([chunk.labels for chunk in chunks]),
            probabilities=np.concatenate([chunk.probabilities for chunk in chunks]),
            entropy=np.concatenate([chunk.entropy for chunk in chunks]),
        )

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Return the label code with the highest probability for each row, shape (n_rows,)."""
        return self.candidates(X, k=1).labels[:, 0]

    def _partition(self, X: np.ndarray, y: np.ndarray) -> list[np.ndarray]:
        centroids = label_centroids(X, y, len(self.classes_))
        return partition(reduce_centroids(centroids, self.random_state), self.subset_size)

    def _fit_subset(self, X: np.ndarray, y: np.ndarray, subset: np.ndarray) -> SubsetClassifier:
        inside = np.isin(y, subset)
        classifier = SubsetClassifier(noise_ratio=self.noise_ratio, C=self.C, random_state=self.random_state)
        return classifier.fit(X[inside], y[inside], elsewhere=X[~inside])

    def _candidates(self, X: np.ndarray, k: int) -> Candidates:
        probabilities = np.zeros((len(X), len(self.classes_)))
        entropies = np.empty((len(X), len(self.subsets_)))
        subset_of = np.empty(len(self.classes_), dtype=int)
        with threadpool_limits(limits=1):
            for index, (subset, classifier) in enumerate(zip(self.subsets_, self.classifiers_, strict=True)):
                local = classifier.predict_proba(X)
                probabilities[:, subset] = local[:, classifier.classes_ != NOISE]
                entropies[:, index] = row_entropy(local)
                subset_of[subset] = index
        # A stable sort of the negated values: equal probabilities rank by label code.
        labels = np.argsort(-probabilities, axis=1, kind="stable")[:, :k]
        rows = np.arange(len(X))
        return Candidates(
            labels=labels,
            probabilities=np.take_along_axis(probabilities, labels, axis=1),
            entropy=entropies[rows, subset_of[labels[:, 0]]],
        )


def row_entropy(probabilities: np.ndarray) -> np.ndarray:
    """Return the Shannon entropy of each row in nats, shape (n_rows,); 0 log 0 counts as 0."""
    safe = np.where(probabilities > 0, probabilities, 1.0)
    return -(probabilities * np.log(safe)).sum(axis=1)
