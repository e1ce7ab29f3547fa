"""Trees of labels, compared with adding up by hand."""

from __future__ import annotations

import numpy as np
import pytest

from classifiers import trees
from classifiers.trees import NOWHERE, Tree, deepest, right_by_level

# 1 ─ 11 ─ 111, 112; 1 ─ 12; 2 ─ 21; 3 alone
PARENTS = {1: None, 11: 1, 111: 11, 112: 11, 12: 1, 2: None, 21: 2, 3: None}
TREE = Tree.of(PARENTS)
LEAVES = [111, 112, 12, 21, 3]


def test_each_label_knows_its_lineage():
    assert TREE.ids.tolist() == sorted(PARENTS)
    assert TREE.above(np.array([111, 12, 3, 1])).tolist() == [
        [1, 11, 111],
        [1, 12, NOWHERE],
        [3, NOWHERE, NOWHERE],
        [1, NOWHERE, NOWHERE],
    ]
    assert TREE.above(np.array([[99], [-1]])).tolist() == [[[NOWHERE] * 3]] * 2


def test_without_parents_each_label_is_its_own_lineage():
    assert Tree.of({5: None, 2: None}).lineage.tolist() == [[2], [5]]


def test_no_labels_are_a_tree_too():
    empty = Tree.of({})
    assert empty.above(np.array([1])).tolist() == [[NOWHERE]]
    assert empty.paths(np.empty((0, 3), dtype=int), np.empty((0, 3)))[0].shape == (0, 1)


@pytest.mark.parametrize(
    ("parents", "why"),
    [
        ({1: 1}, "itself"),
        ({1: 2, 2: 1}, "itself"),
        ({1: 2, 2: 3, 3: 2}, "itself"),
        ({1: 7}, "no label"),
        ({n: n - 1 or None for n in range(1, 8)}, "level 7"),
    ],
)
def test_what_is_no_tree_is_refused(parents, why):
    with pytest.raises(ValueError, match=why):
        Tree.of(parents)


def test_six_levels_are_allowed():
    assert Tree.of({n: n - 1 or None for n in range(1, 7)}).n_levels == 6


@pytest.mark.parametrize(
    ("belief", "path"),
    [
        ([0.9, 0.0, 0.0, 0.0, 0.0], [1, 11, 111]),
        ([0.4, 0.4, 0.1, 0.0, 0.0], [1, 11]),
        ([0.3, 0.2, 0.3, 0.1, 0.1], [1]),
        ([0.1, 0.1, 0.1, 0.6, 0.0], [2, 21]),
        ([0.0, 0.0, 0.0, 0.0, 0.7], [3]),
        ([0.2, 0.2, 0.0, 0.3, 0.2], []),
        ([0.25, 0.25, 0.0, 0.5, 0.0], []),
        ([0.0, 0.0, 0.0, 0.0, 0.0], []),
    ],
)
def test_beliefs_add_up_to_parents(belief, path):
    found, sums = TREE.paths(np.array([LEAVES]), np.array([belief]))
    assert [label for label in found[0] if label != NOWHERE] == path
    under = {label: sum(p for leaf, p in zip(LEAVES, belief, strict=True) if label in line(leaf)) for label in PARENTS}
    assert sums[0, : len(path)] == pytest.approx([under[label] for label in path])
    assert not sums[0, len(path) :].any()


def line(label: int) -> list[int]:
    return [label] if PARENTS[label] is None else [*line(PARENTS[label]), label]


def test_paths_agree_with_adding_up_by_hand(monkeypatch):
    monkeypatch.setattr(trees, "CHUNK_ROWS", 7)
    rng = np.random.default_rng(0)
    labels = np.array([rng.permutation(LEAVES)[:3] for _ in range(50)])
    belief = rng.dirichlet([0.3] * 4, size=50)[:, :3]
    found, sums = TREE.paths(labels, belief)
    for row in range(50):
        given = dict(zip(labels[row], belief[row], strict=True))
        under = {label: sum(p for leaf, p in given.items() if label in line(leaf)) for label in PARENTS}
        likely = sorted((label for label in PARENTS if under[label] > 0.5), key=lambda label: len(line(label)))
        assert [label for label in found[row] if label != NOWHERE] == likely
        assert sums[row, : len(likely)] == pytest.approx([under[label] for label in likely])


@pytest.mark.parametrize(("bar", "label"), [(0.55, 111), (0.6, 111), (0.61, 11), (0.9, 1), (0.96, NOWHERE)])
def test_as_deep_as_certain(bar, label):
    path, sums = np.array([[1, 11, 111]]), np.array([[0.95, 0.8, 0.6]])
    found, belief = deepest(path, sums, bar)
    assert found.tolist() == [label]
    assert belief.tolist() == [dict(zip([111, 11, 1], [0.6, 0.8, 0.95], strict=True)).get(label, 0.0)]


def test_nothing_is_certain_where_there_is_no_path():
    found, belief = deepest(np.array([[NOWHERE, NOWHERE]]), np.zeros((1, 2)), 0.6)
    assert (found.tolist(), belief.tolist()) == ([NOWHERE], [0.0])
    assert deepest(np.empty((0, 2), dtype=int), np.empty((0, 2)), 0.6)[0].shape == (0,)


def test_accuracy_by_level_counts_what_has_such_a_level():
    true, predicted = np.array([111, 111, 111, 12, 3, 21]), np.array([111, 112, 11, 111, 3, NOWHERE])
    assert right_by_level(TREE, true, predicted) == [(5, 6), (3, 5), (1, 3)]


@pytest.mark.parametrize(
    ("label", "depth", "lifted"),
    [(111, 3, [1, 11, 111]), (12, 2, [1, 12, 12]), (3, 1, [3, 3, 3]), (1, 1, [1, 1, 1]), (NOWHERE, 0, [NOWHERE] * 3)],
)
def test_a_label_is_lifted_to_a_level(label, depth, lifted):
    assert TREE.depth(np.array([label])).tolist() == [depth]
    assert TREE.lifted(np.full(3, label), np.array([1, 2, 3])).tolist() == lifted
    for level in (1, 2, 3):
        assert TREE.lifted(np.array([label]), level).tolist() == [lifted[level - 1]]
