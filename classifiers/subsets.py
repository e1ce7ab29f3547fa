"""Split the labels into small subsets of labels that are as unlike each other as possible.

Source: the greedy subset selection of "R.E.D.: Scaling Text Classification with Expert Delegation"
(Towards Data Science, March 2025), on label centroids reduced with UMAP (McInnes, Healy and
Melville 2018, arXiv 1802.03426).
"""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING

import numpy as np
from sklearn.neighbors import NearestNeighbors

if TYPE_CHECKING:
    from umap import UMAP

# Below this UMAP's neighbourhood graph joins every label to every other and says nothing.
MIN_LABELS_FOR_UMAP = 20
UMAP_DIMENSIONS = 10
UMAP_NEIGHBOURS = 15
# The means of the same examples in another order differ in the last bits.
EQUAL_DECIMALS = 6


def label_centroids(X: np.ndarray, y: np.ndarray, n_labels: int) -> np.ndarray:
    """Return the mean example of each label, scaled to unit length.

    Args:
        X: example vectors, shape (n_examples, n_dims).
        y: label codes 0 .. n_labels - 1, shape (n_examples,); other codes are left out.
        n_labels: how many labels there are; each needs at least one example.

    Returns:
        Shape (n_labels, n_dims), float64.

    Raises:
        ValueError: when a label has no example.
    """
    counts = np.bincount(y[(y >= 0) & (y < n_labels)], minlength=n_labels)
    if (empty := np.flatnonzero(counts == 0)).size:
        raise ValueError(f"Labels without an example: {empty.tolist()}.")
    centroids = np.stack([X[y == code].mean(axis=0, dtype=np.float64) for code in range(n_labels)])
    return unit_rows(centroids)


def unit_rows(X: np.ndarray) -> np.ndarray:
    """Return the rows of X scaled to unit length, shape (n_rows, n_dims); rows of zeros stay."""
    lengths = np.linalg.norm(X, axis=1, keepdims=True)
    return X / np.maximum(lengths, np.finfo(np.float32).tiny)


def reduce_centroids(centroids: np.ndarray, random_state: int = 0) -> np.ndarray:
    """Return the centroids in a few UMAP dimensions, or as they are when there are too few different ones.

    Args:
        centroids: shape (n_labels, n_dims).
        random_state: seed; the same seed gives the same coordinates on one machine.

    Returns:
        Shape (n_labels, UMAP_DIMENSIONS), or ``centroids`` below MIN_LABELS_FOR_UMAP different ones. Equal
        centroids have equal coordinates: UMAP itself would put them apart, many copies far apart.
    """
    kinds = _kinds(centroids)
    firsts = np.unique(kinds, return_index=True)[1]
    if len(firsts) < MIN_LABELS_FOR_UMAP:
        return centroids
    different = centroids[firsts]
    search = NearestNeighbors(n_neighbors=min(UMAP_NEIGHBOURS, len(different) - 1), metric="cosine", algorithm="brute")
    distances, neighbours = search.fit(different).kneighbors(different)
    with warnings.catch_warnings():
        # UMAP announces that a fixed seed makes it run on one thread, and that given neighbours leave it unable to
        # place new points: that is what we ask for.
        warnings.filterwarnings("ignore", message="n_jobs value|precomputed_knn\\[2\\]")
        # Its own search for the neighbours would be compiled first, which takes longer than all the rest.
        reducer = _load_umap()(
            n_components=UMAP_DIMENSIONS,
            n_neighbors=search.n_neighbors,
            metric="cosine",
            random_state=random_state,
            precomputed_knn=(neighbours, distances.astype(np.float32)),
            force_approximation_algorithm=True,
        )
        return np.asarray(reducer.fit_transform(different), dtype=np.float64)[kinds]


def _load_umap() -> type[UMAP]:
    """Import UMAP, and let numba keep on disk what each new process would compile for seconds."""
    from umap import UMAP, umap_

    for function in (umap_.smooth_knn_dist, umap_.compute_membership_strengths):
        function.enable_caching()
    return UMAP


def partition(points: np.ndarray, subset_size: int = 10) -> list[np.ndarray]:
    """Split labels greedily into subsets of unlike labels.

    Each subset starts with the first label not yet placed; then the label farthest from the
    subset's mean is added until the subset is full. On unit vectors the farthest label is the
    one with the lowest cosine. Equal labels share no subset unless there are more of them than
    subsets. Subsets differ in size by one at most, so that no label ends in a subset of its own.
    Ties go to the lower code, hence the same input gives the same split.

    Args:
        points: one row a label, shape (n_labels, n_dims).
        subset_size: the most labels a subset holds, at least 2; pairs of an odd number of labels
            make room for the last one in a subset of three.

    Returns:
        Sorted label codes of each subset; together every code exactly once.

    Raises:
        ValueError: when subset_size is below 2.
    """
    if subset_size < 2:
        raise ValueError(f"subset_size must be at least 2, not {subset_size}.")
    n_labels = len(points)
    n_subsets = min(math.ceil(n_labels / subset_size), max(n_labels // 2, 1))
    waiting = np.arange(n_labels)
    kinds = _kinds(points)
    subsets = []
    for index in range(n_subsets):
        size = n_labels // n_subsets + (index < n_labels % n_subsets)
        firsts, counts = np.unique(kinds[waiting], return_index=True, return_counts=True)[1:]
        # Where as many equal labels wait as subsets, each of these has to take one.
        start = np.union1d([0], firsts[counts >= n_subsets - index]).astype(int)
        members, waiting = waiting[start], np.delete(waiting, start)
        while len(members) < size:
            distances = np.linalg.norm(points[waiting] - points[members].mean(axis=0), axis=1)
            unlike = ~np.isin(kinds[waiting], kinds[members])
            farthest = int(np.where(unlike | ~unlike.any(), distances, -1).argmax())
            members = np.append(members, waiting[farthest])
            waiting = np.delete(waiting, farthest)
        subsets.append(np.sort(members))
    return subsets


def _kinds(points: np.ndarray) -> np.ndarray:
    """Number the different points, shape (n_labels,): equal ones, but for rounding, have one number."""
    return np.unique(points.round(EQUAL_DECIMALS) + 0.0, axis=0, return_inverse=True)[1].reshape(-1)


def deals(points: np.ndarray, subset_size: int, n_deals: int, random_state: int = 0) -> list[list[np.ndarray]]:
    """Split the labels several times, so that each label meets other companions in each deal.

    The first deal is ``partition``; the others are random, which with hundreds of labels also puts unlike ones
    together. Averaged over deals, an expert's score depends less on whom the label happened to share its subset
    with: measured, one more random deal teaches more than one more greedy deal.

    Args:
        points: one row a label, shape (n_labels, n_dims).
        subset_size: the most labels a subset holds, at least 2.
        n_deals: how many splits.
        random_state: seed of the orders.
    """
    rng = np.random.default_rng(random_state)
    greedy = partition(points, subset_size)
    orders = [rng.permutation(len(points)) for _ in range(n_deals - 1)]
    return [greedy, *([np.sort(part) for part in np.array_split(order, len(greedy))] for order in orders)]


def rival_subsets(centroids: np.ndarray, subset_size: int = 10) -> list[np.ndarray]:
    """Split the labels into subsets of the *most similar* ones: here the near-twins get compared.

    Each subset starts with the first label not yet placed; then the label with the highest mean cosine to the
    members is added until the subset is full.

    Args:
        centroids: unit vectors, shape (n_labels, n_dims).
        subset_size: the most labels a subset holds.

    Returns:
        Sorted label codes of each subset; together every code exactly once.
    """
    waiting = np.arange(len(centroids))
    subsets = []
    while waiting.size:
        members, waiting = [waiting[0]], waiting[1:]
        while len(members) < subset_size and waiting.size:
            alike = int((centroids[waiting] @ centroids[members].sum(axis=0)).argmax())
            members.append(waiting[alike])
            waiting = np.delete(waiting, alike)
        subsets.append(np.sort(np.array(members)))
    return subsets


def closest_rivals(centroids: np.ndarray, subset: np.ndarray, n_rivals: int) -> np.ndarray:
    """Return the labels outside a subset that are most similar to any of its members, the most similar first.

    Args:
        centroids: unit vectors, shape (n_labels, n_dims).
        subset: label codes.
        n_rivals: how many are wanted; fewer when there are fewer.
    """
    similarity = (centroids @ centroids[subset].T).max(axis=1)
    similarity[subset] = -np.inf
    return np.argsort(-similarity, kind="stable")[: min(n_rivals, len(centroids) - len(subset))]


def place(centroids: np.ndarray, subsets: list[np.ndarray], label: int, subset_size: int, alike: bool) -> int:
    """Return which subset a new label joins: the one it is least like, or most like when ``alike``.

    Subsets that hold subset_size labels are passed over while there is another; a subset may grow by a fifth
    beyond that before a new one is started, whose number is len(subsets) then.
    """
    likeness = np.array([centroids[label] @ centroids[subset].mean(axis=0) for subset in subsets])
    sizes = np.array([len(subset) for subset in subsets])
    for room in (subset_size, max(subset_size + 1, round(1.2 * subset_size))):
        if (open_ := np.flatnonzero(sizes < room)).size:
            return int(open_[(likeness[open_] if alike else -likeness[open_]).argmax()])
    return len(subsets)
