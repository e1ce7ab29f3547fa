"""What is believed of a project's parents: the beliefs in what lies below them, added up."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from classifiers.trees import NOWHERE, Tree
from labelling.models import Project
from labelling.models.compact import DIGITS

Path = list[tuple[int, float]]


def tree_of(project: Project) -> Tree | None:
    """The project's labels as a tree; None where no label has a parent."""
    if not project.labels.exclude(parent=None).exists():
        return None
    return Tree.of(dict(project.labels.values_list("pk", "parent")))


def paths(tree: Tree | None, labels: np.ndarray, belief: np.ndarray) -> list[Path]:
    """The labels that are more probable than not, from the top down, with their beliefs; as a Prediction stores them.

    Args:
        tree: without one all paths are empty.
        labels: ids of the candidates, shape (n, k).
        belief: their probabilities, shape (n, k).
    """
    if tree is None:
        return [[] for _ in labels]
    found, sums = tree.paths(labels, belief)
    return [
        [(label, round(p, DIGITS)) for label, p in zip(*row, strict=True) if label != NOWHERE]
        for row in zip(found.tolist(), sums.tolist(), strict=True)
    ]


def as_array(tree: Tree, stored: Sequence[Path]) -> np.ndarray:
    """Paths of n Predictions, label ids and beliefs as Tree.paths returns them, shape (n, n_levels, 2)."""
    found = np.zeros((len(stored), tree.n_levels, 2))
    found[..., 0] = NOWHERE
    for row, path in enumerate(stored):
        for level, pair in enumerate(path[: tree.n_levels]):
            found[row, level] = pair
    return found
