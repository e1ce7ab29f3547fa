"""The views of a label against loops over its examples, and features by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from classifiers import candidates
from classifiers.candidates import Candidates, LabelViews, expert_view, features, grouped
from classifiers.experts import Expert, fit_expert, kernel
from classifiers.posterior import entropy as row_entropy
from classifiers.subset_classifier import NOISE
from tests.classifiers.clusters import clusters, some_units

N_LABELS = 7


def examples(n_each: int = 4, n_noise: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """In no order of labels; label 3 has one example, some belong nowhere and one was dropped."""
    X, y = clusters(N_LABELS, n_each, scale=0.3)
    only = y != 3
    only[3 * n_each] = True
    X, y = np.concatenate([X[only], some_units(n_noise + 1, X.shape[1])]), y[only]
    y = np.concatenate([y, np.full(n_noise, NOISE), [-2]])
    order = np.random.default_rng(0).permutation(len(y))
    return X[order], y[order]


def centroid_cosine(x: np.ndarray, members: np.ndarray) -> float:
    total = members.astype(float).sum(axis=0)
    return float(x @ total / np.linalg.norm(total)) if len(members) else 0.0


def nearest_cosine(x: np.ndarray, members: np.ndarray) -> float:
    nearest = sorted((float(x @ member) for member in members), reverse=True)[: candidates.N_NEAREST]
    return sum(nearest) / len(nearest) if nearest else 0.0


def assert_views_are_brute_force(views: LabelViews, X, y, queries, own=None):
    centroid = views.centroid(queries, None if own is None else y[own])
    nearest = views.nearest(queries, np.tile(np.arange(N_LABELS), (len(queries), 1)), own)
    assert centroid.shape == nearest.shape == (len(queries), N_LABELS)
    for i, x in enumerate(queries):
        others = np.arange(len(X)) != (-1 if own is None else own[i])
        for code in range(N_LABELS):
            members = X[(y == code) & others]
            assert centroid[i, code] == pytest.approx(centroid_cosine(x, members), abs=1e-5)
            assert nearest[i, code] == pytest.approx(nearest_cosine(x, members), abs=1e-5)


def test_views_of_new_texts_are_what_loops_over_the_examples_say():
    X, y = examples()
    queries = clusters(N_LABELS, 2, random_state=1, scale=0.4)[0]
    assert_views_are_brute_force(LabelViews(X, y, N_LABELS), X, y, queries)


def test_views_of_examples_leave_them_out():
    X, y = examples()
    own = np.random.default_rng(1).permutation(len(X))
    assert_views_are_brute_force(LabelViews(X, y, N_LABELS), X, y, X[own], own)


def test_the_only_example_of_a_label_does_not_speak_for_it():
    X, y = examples()
    own = np.flatnonzero(y == 3)
    views = LabelViews(X, y, N_LABELS)
    assert len(own) == 1
    assert views.centroid(X[own], y[own])[0, 3] == 0
    assert views.nearest(X[own], np.array([[3]]), own).tolist() == [[0.0]]


@pytest.mark.parametrize("k", [1, 3])
def test_the_nearest_examples_of_some_labels_only_are_looked_up(k):
    X, y = examples()
    queries = some_units(30, X.shape[1], 2)
    views = LabelViews(X, y, N_LABELS)
    labels = np.random.default_rng(0).integers(0, N_LABELS, (30, k))
    whole = views.nearest(queries, np.tile(np.arange(N_LABELS), (30, 1)))
    assert views.nearest(queries, labels) == pytest.approx(np.take_along_axis(whole, labels, axis=1), abs=1e-6)


def test_rows_without_a_label_are_no_labels_examples():
    X, y = examples()
    with_them, without = (LabelViews(X[rows], y[rows], N_LABELS) for rows in (slice(None), y >= 0))
    assert np.array_equal(with_them.centroids, without.centroids)
    assert sum(len(members) for members in with_them.members) == (y >= 0).sum()
    assert all((y[members] == code).all() for code, members in enumerate(with_them.members))


@pytest.mark.parametrize("shape", [(0, 3), (1, 1), (5, 1), (20, 4)])
def test_each_place_is_in_the_group_of_its_value(shape):
    labels = np.random.default_rng(0).integers(-1, 6, shape)
    found = list(grouped(labels.ravel()))
    assert [code for code, _ in found] == np.unique(labels).tolist()
    for code, pairs in found:
        assert pairs.tolist() == np.flatnonzero(labels.ravel() == code).tolist()


# The experts' view.


def split_experts(X: np.ndarray, y: np.ndarray) -> list[Expert]:
    """Two experts that share the labels, each with some of the others' examples as noise."""
    rng = np.random.default_rng(3)
    experts = []
    for subset in (np.array([0, 3, 5, 6]), np.array([1, 2, 4])):
        noise = rng.permutation(np.flatnonzero(~np.isin(y, subset)))[:5]
        rows = rng.permutation(np.append(np.flatnonzero(np.isin(y, subset)), noise))
        experts.append(fit_expert(X, y, subset, rows))
    return experts


def asked_one_by_one(experts, X, x, code, own=None) -> float:
    (expert,) = [expert for expert in experts if code in expert.labels]
    column = expert.labels.tolist().index(code)
    if own is not None and own in expert.rows:
        return float(expert.left_out[expert.rows.tolist().index(own), column])
    return float(expert.scores(x[None], X)[0, column])


@pytest.mark.parametrize("k", [1, 3, N_LABELS])
@pytest.mark.parametrize("leave_out", [False, True])
@pytest.mark.parametrize("shared", [False, True])
def test_each_candidate_is_scored_by_its_own_expert(k, leave_out, shared):
    X, y = examples()
    experts = split_experts(X, y)
    rng = np.random.default_rng(4)
    own = rng.permutation(len(X)) if leave_out else None
    queries = X[own] if leave_out else some_units(9, X.shape[1], 5)
    labels = np.stack([rng.permutation(N_LABELS)[:k] for _ in queries])
    likeness = kernel(X, queries) if shared else None
    view = expert_view(experts, X, queries, labels, N_LABELS, own, likeness)
    assert (view.shape, view.dtype) == (labels.shape, np.float32)
    for i, x in enumerate(queries):
        expected = [asked_one_by_one(experts, X, x, code, None if own is None else own[i]) for code in labels[i]]
        assert view[i] == pytest.approx(expected, abs=1e-5)


def test_experts_whom_nobody_asks_are_not_asked():
    X, y = examples()
    first, second = split_experts(X, y)
    labels = np.array([[0, 5], [6, 3]])
    assert np.array_equal(
        expert_view([first, second], X, X[:2], labels, N_LABELS), expert_view([first], X, X[:2], labels, N_LABELS)
    )


def test_without_documents_or_experts_there_is_nothing_to_score():
    X, y = examples()
    assert expert_view(split_experts(X, y), X, X[:0], np.empty((0, 3), dtype=int), N_LABELS).shape == (0, 3)
    assert expert_view([], X, X[:2], np.zeros((2, 1), dtype=int), N_LABELS).tolist() == [[0], [0]]


# Features.


@pytest.mark.parametrize(
    ("values", "distances"),
    [
        pytest.param([0.5, 0.3, 0.1], [0.2, -0.2, -0.4], id="to the best other"),
        pytest.param([0.1, 0.2, 0.4], [-0.3, -0.2, 0.2], id="in any order"),
        pytest.param([0.5, 0.5, 0.1], [0, 0, -0.4], id="a tie for the first place"),
        pytest.param([0.5, 0.1, 0.1], [0.4, -0.4, -0.4], id="a tie for the second"),
        pytest.param([-0.2, -0.5], [0.3, -0.3], id="below zero"),
        pytest.param([0.7], [0.7], id="no other"),
        pytest.param([-0.7], [-0.7], id="no other, below zero"),
    ],
)
def test_features_by_hand(values, distances):
    found = features([np.array([values], dtype=np.float32), np.array([values]) * 2])
    assert (found.shape, found.dtype) == ((1, len(values), 4), np.float64)
    once = np.stack([values, distances], axis=1)
    assert found[0] == pytest.approx(np.hstack([once, 2 * once]), abs=1e-6)


@pytest.mark.parametrize(
    ("values", "struck", "left"),
    [
        pytest.param([0.5, 0.3, 0.1], 0, [[0, 0], [0.3, 0.2], [0.1, -0.2]], id="the best"),
        pytest.param([0.5, 0.3, 0.1], 1, [[0.5, 0.4], [0, 0], [0.1, -0.4]], id="the second"),
        pytest.param([0.5, 0.3, 0.1], 2, [[0.5, 0.2], [0.3, -0.2], [0, 0]], id="the last"),
        pytest.param([0.5, 0.3], 0, [[0, 0], [0.3, 0.3]], id="one is left"),
        pytest.param([-0.7], 0, [[0, 0]], id="none is left"),
    ],
)
def test_what_is_struck_off_is_nobodys_best_other(values, struck, left):
    found = features([np.array([values], dtype=np.float32)], struck=np.arange(len(values))[None] == struck)
    assert found[0] == pytest.approx(np.array(left), abs=1e-6)


# What is handed on.


def some_candidates(n: int, k: int = 3) -> Candidates:
    rng = np.random.default_rng(n)
    return Candidates(rng.integers(0, 9, (n, k)), rng.random((n, k)), rng.random(n))


def as_lists(found: Candidates) -> list[list]:
    return [found.labels.tolist(), found.probabilities.tolist(), found.entropy.tolist()]


@pytest.mark.parametrize("rows", [[], [2], [3, 1, 1], slice(1, 4), np.array([True, False, False, True, True])])
def test_rows_are_picked_alike_everywhere(rows):
    rows = np.array(rows, dtype=int) if isinstance(rows, list) else rows
    found = some_candidates(5)
    assert as_lists(found[rows]) == [part[rows].tolist() for part in (found.labels, found.probabilities, found.entropy)]
    assert len(found[rows]) == len(found.entropy[rows])


@pytest.mark.parametrize("sizes", [[4], [1, 3], [2, 0, 2], [0, 0, 4]])
def test_parts_are_joined_in_their_order(sizes):
    whole = some_candidates(4)
    ends = np.cumsum(sizes)
    parts = [whole[slice(end - size, end)] for size, end in zip(sizes, ends, strict=True)]
    assert as_lists(Candidates.joined(parts, 3)) == as_lists(whole)


@pytest.mark.parametrize("k", [1, 4])
def test_no_part_is_no_document_and_still_k_wide(k):
    none = Candidates.joined([], k)
    assert (none.labels.shape, none.probabilities.shape, none.entropy.shape) == ((0, k), (0, k), (0,))
    assert (len(none), none.labels.dtype) == (0, np.dtype(int))


@pytest.mark.parametrize(
    ("row", "entropy"),
    [([1, 0, 0], 0), ([0.5, 0.5, 0], math.log(2)), ([1 / 3] * 3, math.log(3)), ([0.9, 0.1, 0], 0.325083)],
)
def test_entropy_in_nats(row, entropy):
    assert row_entropy(np.array([row, row], dtype=float)) == pytest.approx([entropy, entropy], abs=1e-6)
