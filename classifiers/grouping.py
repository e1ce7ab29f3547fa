"""What belongs to no label, grouped by what it is about."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sklearn.cluster import HDBSCAN
from sklearn.feature_extraction.text import CountVectorizer

# Fewer texts than these are no label.
LEAST = 5
# Density is told from so many nearest texts: few, so that small groups count.
N_DENSE = 2
# Half as like the middle of a group as its texts are, a text does not belong to it.
STRAGGLER = 0.5
# Words of two letters say little, and a number is no name.
WORDS = r"(?u)\b[^\W\d_]{3,}\b"


def groups(X: np.ndarray, least: int = LEAST) -> list[np.ndarray]:
    """Find groups of texts that lie close together; most texts may be in none.

    Args:
        X: unit vectors, shape (n, n_dims).
        least: texts of a group.

    Returns:
        Positions, those nearest to the middle of their group first; the largest group first.
    """
    if len(X) < 2 * least:
        return []
    # The leaves: what is dense at the top of the tree may be all of the texts.
    clusters = HDBSCAN(min_cluster_size=least, min_samples=N_DENSE, cluster_selection_method="leaf", copy=True)
    found = clusters.fit(X).labels_
    members = [_from_the_middle(X, np.flatnonzero(found == number)) for number in range(found.max() + 1)]
    return sorted((rows for rows in members if len(rows) >= least), key=lambda rows: (-len(rows), rows[0]))


def neighbours(X: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Mark the texts that lie as close to the middle of a group as its own do, boolean of shape (n,).

    Args:
        X: unit vectors, shape (n, n_dims).
        group: unit vectors of its texts, shape (n_texts, n_dims).
    """
    middle = group.mean(axis=0)
    return X @ middle >= np.median(group @ middle)


def telling_words(texts: Sequence[str], others: Sequence[str], n: int = 3) -> list[str]:
    """Return the words that are in these texts more than twice as often as in others, the most telling first.

    Args:
        texts: at least one.
        others: what they are to be told from.
        n: at most so many.
    """
    counter = CountVectorizer(binary=True, token_pattern=WORDS, strip_accents=None)
    try:
        counts = counter.fit_transform([*texts, *others])
    except ValueError:
        # No text has a word.
        return []
    inside, outside = counts[: len(texts)], counts[len(texts) :]
    share = np.asarray(inside.mean(axis=0)).ravel()
    elsewhere = np.asarray(outside.sum(axis=0)).ravel() / max(len(others), 1)
    surplus = share - elsewhere
    best = np.argsort(-surplus, kind="stable")[:n]
    words = counter.get_feature_names_out()
    return [str(words[column]) for column in best if share[column] > 2 * elsewhere[column]]


def _from_the_middle(X: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The texts of a group in this order, without those that only hang on to it."""
    likeness = X[rows] @ X[rows].mean(axis=0)
    order = np.argsort(-likeness, kind="stable")
    return rows[order[likeness[order] >= STRAGGLER * np.median(likeness)]]
