"""Splitting the labels: every label once, subsets of equal size, unlike labels together."""

from __future__ import annotations

import math

import numpy as np
import pytest

from classifiers.subsets import MIN_LABELS_FOR_UMAP, UMAP_DIMENSIONS, label_centroids, partition, reduce_centroids


def unit_rows(n_rows: int, n_dims: int = 5, random_state: int = 0) -> np.ndarray:
    rows = np.random.default_rng(random_state).normal(size=(n_rows, n_dims))
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def split(points: np.ndarray, subset_size: int) -> list[list[int]]:
    return [subset.tolist() for subset in partition(points, subset_size)]


@pytest.mark.parametrize("subset_size", range(2, 13))
def test_every_label_is_in_one_subset_and_none_is_alone(subset_size):
    for n_labels in range(2, 41):
        subsets = split(unit_rows(n_labels), subset_size)
        assert sorted(code for subset in subsets for code in subset) == list(range(n_labels))
        assert min(len(subset) for subset in subsets) >= 2


@pytest.mark.parametrize("subset_size", range(2, 13))
def test_there_are_as_few_subsets_as_can_be_and_their_sizes_differ_by_one_at_most(subset_size):
    for n_labels in range(2, 41):
        sizes = [len(subset) for subset in split(unit_rows(n_labels), subset_size)]
        last_pair_of_three = subset_size == 2 and n_labels % 2 == 1
        assert max(sizes) <= subset_size + last_pair_of_three
        assert max(sizes) - min(sizes) <= 1
        assert len(sizes) == math.ceil(n_labels / subset_size) - last_pair_of_three


@pytest.mark.parametrize("subset_size", range(2, 13))
def test_the_same_labels_are_split_the_same_way_again(subset_size):
    for n_labels in range(2, 41):
        subsets = split(unit_rows(n_labels), subset_size)
        assert split(unit_rows(n_labels), subset_size) == subsets
        assert all(subset == sorted(subset) for subset in subsets)


def test_one_label_is_a_subset_and_none_is_none():
    assert split(unit_rows(1), 10) == [[0]]
    assert split(unit_rows(0), 10) == []


@pytest.mark.parametrize("subset_size", [-1, 0, 1])
def test_subsets_of_one_label_are_refused(subset_size):
    with pytest.raises(ValueError, match=f"at least 2, not {subset_size}"):
        partition(unit_rows(4), subset_size)


@pytest.mark.parametrize("n_pairs", range(2, 12))
@pytest.mark.parametrize("random_state", range(3))
def test_near_twins_are_separated(n_pairs, random_state):
    rng = np.random.default_rng(random_state)
    topics = rng.permutation(np.arange(n_pairs).repeat(2))
    points = np.eye(n_pairs)[topics] + rng.normal(scale=0.01, size=(2 * n_pairs, n_pairs))
    for subset in split(points, n_pairs):
        assert sorted(topics[subset]) == list(range(n_pairs))


def test_the_farthest_label_from_the_subsets_mean_comes_next():
    line = np.array([[0.0], [1.0], [2.0], [10.0], [11.0], [12.0]])
    # 0 takes 12; their mean is 6 and 1 and 11 are equally far: the lower code wins.
    assert split(line, 3) == [[0, 1, 5], [2, 3, 4]]


def test_equal_labels_go_in_the_order_of_their_codes():
    assert split(np.zeros((5, 2)), 3) == [[0, 1, 2], [3, 4]]


def test_centroids_are_unit_means_of_each_labels_own_examples():
    X = np.array([[3, 0], [1, 0], [0, 2], [1, 1], [9, 9], [9, 9]], dtype=np.float32)
    centroids = label_centroids(X, np.array([0, 0, 1, 1, -1, 5]), n_labels=2)
    assert centroids.dtype == np.float64
    assert centroids == pytest.approx(np.array([[1, 0], [1 / math.sqrt(10), 3 / math.sqrt(10)]]))


def test_examples_that_cancel_out_leave_a_centroid_at_the_origin():
    assert label_centroids(np.array([[1.0, 0], [-1, 0]]), np.zeros(2, dtype=int), n_labels=1).tolist() == [[0, 0]]


def test_labels_without_an_example_are_named():
    with pytest.raises(ValueError, match=r"without an example: \[1, 3\]"):
        label_centroids(unit_rows(3), np.array([0, 2, -1]), n_labels=4)


@pytest.mark.parametrize("n_labels", [0, 1, 2, MIN_LABELS_FOR_UMAP - 1])
def test_few_labels_are_split_as_they_are(n_labels):
    centroids = unit_rows(n_labels)
    assert reduce_centroids(centroids) is centroids


def test_a_hundred_labels_are_split_whole_and_the_same_way_again(recwarn):
    centroids = unit_rows(100, n_dims=50)
    reduced = reduce_centroids(centroids, random_state=3)
    subsets = split(reduced, 10)
    assert (reduced.shape, reduced.dtype) == ((100, UMAP_DIMENSIONS), np.float64)
    assert sorted(code for subset in subsets for code in subset) == list(range(100))
    assert [len(subset) for subset in subsets] == [10] * 10
    assert np.array_equal(reduce_centroids(centroids, random_state=3), reduced)
    assert not np.array_equal(reduce_centroids(centroids, random_state=4), reduced)
    assert not [warning for warning in recwarn if "n_jobs" in str(warning.message)]


def test_umap_takes_the_smallest_number_of_labels_it_is_used_for():
    assert reduce_centroids(unit_rows(MIN_LABELS_FOR_UMAP)).shape == (MIN_LABELS_FOR_UMAP, UMAP_DIMENSIONS)
