"""Labels in a tree: beliefs added up to parents, and the deepest label that is certain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

MAX_LEVELS = 6
# Stands in a lineage below a label, and in a path below the deepest label that is more probable than not.
NOWHERE = -1
# Of labels side by side at most one is more probable than this: those that are lie on one path.
EVEN = 0.5
# Documents whose paths are found at a time: k * k comparisons each.
CHUNK_ROWS = 20_000


@dataclass(frozen=True)
class Tree:
    """Which labels lie above each label.

    Attributes:
        ids: of all labels, sorted, shape (n_labels,).
        lineage: the ids above each label, from the top down to its own, NOWHERE below it, shape (n_labels, n_levels).
    """

    ids: np.ndarray
    lineage: np.ndarray

    @classmethod
    def of(cls, parents: Mapping[int, int | None]) -> Tree:
        """Return the tree in which each label has this parent, or None at the top.

        Raises:
            ValueError: for a circle, a parent that is no label, or more than MAX_LEVELS levels.
        """
        above = {label: _line(label, parents) for label in parents}
        n_levels = max(map(len, above.values()), default=1)
        lineage = np.full((len(above), n_levels), NOWHERE)
        for row, label in enumerate(sorted(above)):
            lineage[row, : len(above[label])] = above[label]
        return cls(np.array(sorted(above), dtype=int), lineage)

    @property
    def n_levels(self) -> int:
        return self.lineage.shape[1]

    def above(self, labels: np.ndarray) -> np.ndarray:
        """Return the lineages of labels of any shape, NOWHERE for what is none, shape (*labels.shape, n_levels)."""
        if not len(self.ids):
            return np.full((*np.shape(labels), self.n_levels), NOWHERE)
        row = np.minimum(np.searchsorted(self.ids, labels), len(self.ids) - 1)
        return np.where((self.ids[row] == labels)[..., None], self.lineage[row], NOWHERE)

    def depth(self, labels: np.ndarray) -> np.ndarray:
        """Return the levels on which labels lie, from 1 at the top, 0 for what is none; of the same shape."""
        return (self.above(labels) != NOWHERE).sum(axis=-1)

    def lifted(self, labels: np.ndarray, level: int | np.ndarray) -> np.ndarray:
        """Return the labels of a level above these, or themselves where they don't lie below it.

        Args:
            labels: ids, or NOWHERE, shape (n,).
            level: from 1 at the top; one, or one for each label.
        """
        at = np.broadcast_to(level, np.shape(labels))
        above = self.above(labels)[np.arange(len(labels)), at - 1]
        return np.where(above == NOWHERE, labels, above)

    def paths(self, labels: np.ndarray, belief: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Find the labels that are more probable than not, each with all that lies below it.

        Args:
            labels: ids of the candidates, shape (n, k).
            belief: their probabilities, shape (n, k).

        Returns:
            Ids from the top down, NOWHERE below the deepest, and their beliefs, 0 there, both of shape (n, n_levels).
        """
        found = np.full((len(labels), self.n_levels), NOWHERE)
        sums = np.zeros(found.shape)
        for start in range(0, len(labels), CHUNK_ROWS):
            rows = slice(start, start + CHUNK_ROWS)
            for level, above in enumerate(np.moveaxis(self.above(labels[rows]), 2, 0)):
                found[rows, level], sums[rows, level] = _likeliest(above, belief[rows])
        return found, sums


def deepest(path: np.ndarray, sums: np.ndarray, bar: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the deepest label of each path whose belief reaches the bar, NOWHERE for none, and that belief.

    Args:
        path, sums: as Tree.paths returns them, shape (n, n_levels).
        bar: a probability above EVEN.
    """
    reached = (path != NOWHERE) & (sums >= bar)
    last = path.shape[1] - 1 - reached[:, ::-1].argmax(axis=1)
    rows, none = np.arange(len(path)), ~reached.any(axis=1)
    return np.where(none, NOWHERE, path[rows, last]), np.where(none, 0.0, sums[rows, last])


def right_by_level(tree: Tree, true: np.ndarray, predicted: np.ndarray) -> list[tuple[int, int]]:
    """Count, for each level from the top, how many predictions lie under the true label of that level, of how many.

    Args:
        true: ids of the true labels, shape (n,): those above a level don't count on it.
        predicted: ids of the labels predicted, at any level, shape (n,).
    """
    known, said = tree.above(true), tree.above(predicted)
    there = known != NOWHERE
    return list(zip((there & (known == said)).sum(axis=0).tolist(), there.sum(axis=0).tolist(), strict=True))


def _line(label: int, parents: Mapping[int, int | None]) -> list[int]:
    line = [label]
    while (parent := parents[line[0]]) is not None:
        if parent not in parents:
            raise ValueError(f"Label {line[0]} lies under {parent}, which is no label.")
        if parent in line:
            raise ValueError(f"Label {label} lies under itself.")
        line.insert(0, parent)
    if len(line) > MAX_LEVELS:
        raise ValueError(f"Label {label} lies on level {len(line)}; {MAX_LEVELS} are the most.")
    return line


def _likeliest(above: np.ndarray, belief: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The label of one level that is more probable than not, and how probable; NOWHERE and 0 where there is none."""
    same = (above[:, :, None] == above[:, None, :]) & (above != NOWHERE)[:, None, :]
    sums = (same * belief[:, None, :]).sum(axis=2)
    rows, column = np.arange(len(above)), sums.argmax(axis=1)
    best = sums[rows, column]
    return np.where(best > EVEN, above[rows, column], NOWHERE), np.where(best > EVEN, best, 0.0)
