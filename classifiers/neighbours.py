"""The nearest training examples of a document: the evidence that judge and reviewer see."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

# Rows compared at a time: with 100,000 examples, similarities and their order take 200 MB. Of more, fewer at a time.
CHUNK_ROWS = 128
MAX_SIMILARITIES = CHUNK_ROWS * 100_000


def nearest(X: np.ndarray, examples: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the k examples most similar to each row of X, most similar first.

    Args:
        X: unit vectors of the documents, shape (n_documents, n_dims).
        examples: unit vectors of the training examples, shape (n_examples, n_dims).
        k: neighbours wanted; fewer when there are fewer examples.

    Returns:
        Positions in ``examples`` and cosine similarities in [-1, 1], both (n_documents, k).
        Equal similarities keep the examples' order.
    """
    k = min(k, len(examples))
    positions = np.empty((len(X), k), dtype=int)
    similarities = np.empty((len(X), k), dtype=np.float32)
    for start in range(0, len(X), CHUNK_ROWS):
        block = X[start : start + CHUNK_ROWS] @ examples.T
        order = np.argsort(-block, axis=1, kind="stable")[:, :k]
        positions[start : start + CHUNK_ROWS] = order
        similarities[start : start + CHUNK_ROWS] = np.take_along_axis(block, order, axis=1)
    return positions, similarities


def nearly_equal(X: np.ndarray, others: np.ndarray, threshold: float) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield for each row of X the rows of ``others`` that are at least so similar, most similar first.

    Args:
        X: unit vectors, shape (n, n_dims).
        others: unit vectors, shape (n_others, n_dims).
        threshold: smallest cosine similarity, in [-1, 1].

    Yields:
        Positions in ``others`` and cosine similarities, both as long as there are such rows.
        Equal similarities keep the order of ``others``.
    """
    size = min(CHUNK_ROWS, max(MAX_SIMILARITIES // max(len(others), 1), 1))
    for start in range(0, len(X), size):
        for row in X[start : start + size] @ others.T:
            alike = np.flatnonzero(row >= threshold)
            order = alike[np.argsort(-row[alike], kind="stable")]
            yield order, row[order]
