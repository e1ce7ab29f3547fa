"""R.E.D. as the article writes it: the subset classifier with the highest probability wins."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from threadpoolctl import threadpool_limits

from classifiers.candidates import Candidates
from classifiers.posterior import entropy
from classifiers.subset_classifier import NOISE, SubsetClassifier
from classifiers.subsets import label_centroids, partition, reduce_centroids
from classifiers.words import Texts

# Rows predicted at a time: bounds memory to a few MB a thousand labels, whatever the pool's size.
CHUNK_ROWS = 4096


class ArticleEnsemble:
    """One split into diverse subsets, one SubsetClassifier for each.

    Attributes:
        subsets: the label codes of each subset.
        classifiers: the SubsetClassifier of each subset, in the same order.
        n_labels: labels in all.
        n_fitted: how many classifiers the last fit fitted.
        n_taught: 0: it learns no labels of its own.
    """

    def __init__(self, subsets: Sequence[np.ndarray], classifiers: Sequence[SubsetClassifier]):
        self.subsets = list(subsets)
        self.classifiers = list(classifiers)
        self.n_labels = sum(len(subset) for subset in self.subsets)
        self.n_fitted = len(self.classifiers)
        self.n_taught = 0

    @classmethod
    def fit(
        cls,
        X: np.ndarray,
        y: np.ndarray,
        subset_size: int,
        noise_ratio: float,
        random_state: int,
        subsets: Sequence[np.ndarray] = (),
        progress: Callable[[int, int], None] | None = None,
    ) -> ArticleEnsemble:
        """Split the labels and fit one classifier for each subset; see RedClassifier for the arguments."""
        subsets = list(subsets) or _split(X, y, subset_size, random_state)
        classifiers = []
        with threadpool_limits(limits=1):
            for index, subset in enumerate(subsets):
                inside = np.isin(y, subset)
                classifier = SubsetClassifier(noise_ratio=noise_ratio, random_state=random_state)
                classifiers.append(classifier.fit(X[inside], y[inside], elsewhere=X[~inside]))
                if progress:
                    progress(index + 1, len(subsets))
        return cls(subsets, classifiers)

    @property
    def n_experts(self) -> int:
        return len(self.classifiers)

    def candidates(self, X: np.ndarray, k: int, texts: Texts | None = None) -> Candidates:
        """Return the k labels with the highest probability for each row of X, at most all labels; texts don't count."""
        k = min(k, self.n_labels)
        with threadpool_limits(limits=1):
            starts = range(0, len(X), CHUNK_ROWS)
            return Candidates.joined([self._candidates(X[start : start + CHUNK_ROWS], k) for start in starts], k)

    def _candidates(self, X: np.ndarray, k: int) -> Candidates:
        probabilities = np.zeros((len(X), self.n_labels))
        entropies = np.empty((len(X), len(self.subsets)))
        subset_of = np.empty(self.n_labels, dtype=int)
        for index, (subset, classifier) in enumerate(zip(self.subsets, self.classifiers, strict=True)):
            local = classifier.predict_proba(X)
            probabilities[:, subset] = local[:, classifier.classes_ != NOISE]
            entropies[:, index] = entropy(local)
            subset_of[subset] = index
        proposing = subset_of[probabilities.argmax(axis=1)]
        return Candidates.ranked(probabilities, entropies[np.arange(len(X)), proposing], k)


def _split(X: np.ndarray, y: np.ndarray, subset_size: int, random_state: int) -> list[np.ndarray]:
    n_labels = int(y.max()) + 1
    return partition(reduce_centroids(label_centroids(X, y, n_labels), random_state), subset_size)
