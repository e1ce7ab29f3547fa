"""How many wrong seeds are found among the most suspicious ones, where a tenth of them is wrong.

python -m tests.measure_suspicion banking77
"""

from __future__ import annotations

import sys

import numpy as np

from classifiers.embeddings import SentenceEncoder
from classifiers.suspicion import margins
from tests import real_data

N_SEEDS = 30
WRONG = 0.1
CHECKED = 0.19
NEAREST = 5
RANDOM_STATES = range(3)


def seeds(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Vectors and label codes of a data set's seeds."""
    rows = real_data.with_seeds(real_data.read(real_data.data_set(name) / "train.csv"), N_SEEDS)
    texts, labels = zip(*[row for row in rows if row[1]], strict=True)
    return SentenceEncoder().encode(texts), np.unique(labels, return_inverse=True)[1]


def near_labels(X: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """The labels whose centroids lie nearest to each label's, shape (n_labels, NEAREST)."""
    centroids = np.stack([X[codes == code].mean(axis=0) for code in range(codes.max() + 1)])
    centroids /= np.linalg.norm(centroids, axis=1, keepdims=True)
    similarity = centroids @ centroids.T
    np.fill_diagonal(similarity, -1)
    return np.argsort(-similarity, axis=1)[:, :NEAREST]


def found(X: np.ndarray, codes: np.ndarray, others: np.ndarray, random_state: int) -> float:
    """Share of the wrong seeds among the most suspicious; a wrong label is one of the right one's ``others``."""
    rng = np.random.default_rng(random_state)
    wrong = rng.random(len(codes)) < WRONG
    given = np.where(wrong, others[codes, rng.integers(others.shape[1], size=len(codes))], codes)
    checked = np.argsort(margins(X, given).margin)[: round(CHECKED * len(codes))]
    return float(wrong[checked].sum() / wrong.sum())


def main(name: str) -> None:
    X, codes = seeds(name)
    n_labels = codes.max() + 1
    every_other = np.array([np.delete(np.arange(n_labels), code) for code in range(n_labels)])
    for what, others in (("near labels", near_labels(X, codes)), ("any labels", every_other)):
        shares = [found(X, codes, others, random_state) for random_state in RANDOM_STATES]
        sys.stdout.write(f"{name}, {len(codes)} seeds, a tenth with {what}: {CHECKED:.0%} checked find ")
        sys.stdout.write(", ".join(f"{share:.1%}" for share in shares) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
