"""Splitting the labels: every label once, subsets of equal size, unlike labels together."""

from __future__ import annotations

import math

import numpy as np
import pytest

from classifiers.subsets import (
    MIN_LABELS_FOR_UMAP,
    UMAP_DIMENSIONS,
    closest_rivals,
    deals,
    label_centroids,
    partition,
    place,
    reduce_centroids,
    rival_subsets,
    unit_rows,
)
from tests.classifiers.clusters import some_units


def split(points: np.ndarray, subset_size: int) -> list[list[int]]:
    return [subset.tolist() for subset in partition(points, subset_size)]


@pytest.mark.parametrize("subset_size", range(2, 13))
def test_every_label_is_in_one_subset_and_none_is_alone(subset_size):
    for n_labels in range(2, 41):
        subsets = split(some_units(n_labels), subset_size)
        assert sorted(code for subset in subsets for code in subset) == list(range(n_labels))
        assert min(len(subset) for subset in subsets) >= 2


@pytest.mark.parametrize("subset_size", range(2, 13))
def test_there_are_as_few_subsets_as_can_be_and_their_sizes_differ_by_one_at_most(subset_size):
    for n_labels in range(2, 41):
        sizes = [len(subset) for subset in split(some_units(n_labels), subset_size)]
        last_pair_of_three = subset_size == 2 and n_labels % 2 == 1
        assert max(sizes) <= subset_size + last_pair_of_three
        assert max(sizes) - min(sizes) <= 1
        assert len(sizes) == math.ceil(n_labels / subset_size) - last_pair_of_three


@pytest.mark.parametrize("subset_size", range(2, 13))
def test_the_same_labels_are_split_the_same_way_again(subset_size):
    for n_labels in range(2, 41):
        subsets = split(some_units(n_labels), subset_size)
        assert split(some_units(n_labels), subset_size) == subsets
        assert all(subset == sorted(subset) for subset in subsets)


def test_one_label_is_a_subset_and_none_is_none():
    assert split(some_units(1), 10) == [[0]]
    assert split(some_units(0), 10) == []


@pytest.mark.parametrize("subset_size", [-1, 0, 1])
def test_subsets_of_one_label_are_refused(subset_size):
    with pytest.raises(ValueError, match=f"at least 2, not {subset_size}"):
        partition(some_units(4), subset_size)


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


@pytest.mark.parametrize("n_copies", [2, 3, 5])
@pytest.mark.parametrize("random_state", range(6))
def test_equal_labels_share_no_subset(n_copies, random_state):
    rng = np.random.default_rng(random_state)
    kinds = np.append(np.arange(50 - 2 * n_copies), np.repeat([50, 51], n_copies))
    rng.shuffle(kinds)
    points = some_units(52)[kinds] + rng.normal(scale=1e-12, size=(50, 1))
    for subset in split(points, 10):
        assert len(set(kinds[subset])) == len(subset) == 10


@pytest.mark.parametrize("n_labels", range(2, 30))
def test_more_equal_labels_than_subsets_are_spread(n_labels):
    kinds = np.arange(n_labels) % 2
    for subset in split(np.eye(2)[kinds], 4):
        assert abs(int((kinds[subset] == 0).sum()) - int((kinds[subset] == 1).sum())) <= 1


def test_centroids_are_unit_means_of_each_labels_own_examples():
    X = np.array([[3, 0], [1, 0], [0, 2], [1, 1], [9, 9], [9, 9]], dtype=np.float32)
    centroids = label_centroids(X, np.array([0, 0, 1, 1, -1, 5]), n_labels=2)
    assert centroids.dtype == np.float64
    assert centroids == pytest.approx(np.array([[1, 0], [1 / math.sqrt(10), 3 / math.sqrt(10)]]))


def test_examples_that_cancel_out_leave_a_centroid_at_the_origin():
    assert label_centroids(np.array([[1.0, 0], [-1, 0]]), np.zeros(2, dtype=int), n_labels=1).tolist() == [[0, 0]]


def test_labels_without_an_example_are_named():
    with pytest.raises(ValueError, match=r"without an example: \[1, 3\]"):
        label_centroids(some_units(3), np.array([0, 2, -1]), n_labels=4)


@pytest.mark.parametrize("n_labels", [0, 1, 2, MIN_LABELS_FOR_UMAP - 1])
def test_few_labels_are_split_as_they_are(n_labels):
    centroids = some_units(n_labels)
    assert reduce_centroids(centroids) is centroids


def test_a_hundred_labels_are_split_whole_and_the_same_way_again(recwarn):
    centroids = some_units(100, n_dims=50)
    reduced = reduce_centroids(centroids, random_state=3)
    subsets = split(reduced, 10)
    assert (reduced.shape, reduced.dtype) == ((100, UMAP_DIMENSIONS), np.float64)
    assert sorted(code for subset in subsets for code in subset) == list(range(100))
    assert [len(subset) for subset in subsets] == [10] * 10
    assert np.array_equal(reduce_centroids(centroids, random_state=3), reduced)
    assert not np.array_equal(reduce_centroids(centroids, random_state=4), reduced)
    assert not [warning for warning in recwarn if "n_jobs" in str(warning.message)]


def test_a_second_process_compiles_little(run_python):
    """What UMAP compiles for itself and what was found on disk: the first process fills numba's cache."""
    reduce_centroids(some_units(30))
    compiled = run_python(
        "import numpy as np; from numba.core import event; from classifiers import subsets; subsets._load_umap();"
        "listener = event.RecordingListener(); event.register('numba:compile', listener);"
        "subsets.reduce_centroids(np.eye(30));"
        "print(*(e.data['dispatcher'].py_func.__name__ for _, e in listener.buffer if e.is_start), sep='\\n')"
    ).split()
    assert "_optimize_layout_euclidean_single_epoch" in compiled
    assert not {"fast_knn_indices", "smooth_knn_dist", "compute_membership_strengths"} & set(compiled)


def test_equal_centroids_stay_equal():
    centroids = np.repeat(some_units(30), 2, axis=0)
    centroids[::2] += 1e-12
    reduced = reduce_centroids(centroids)
    assert np.array_equal(reduced[::2], reduced[1::2])
    assert len(np.unique(reduced, axis=0)) == 30


def test_umap_takes_the_smallest_number_of_labels_it_is_used_for():
    assert reduce_centroids(some_units(MIN_LABELS_FOR_UMAP)).shape == (MIN_LABELS_FOR_UMAP, UMAP_DIMENSIONS)


# Unit vectors.


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [1e-6, 1.0, 1e6])
def test_rows_are_scaled_to_unit_length_and_keep_their_direction(dtype, size):
    X = np.random.default_rng(0).normal(size=(20, 7)).astype(dtype) * dtype(size)
    rows = unit_rows(X)
    assert rows.dtype == dtype
    assert np.linalg.norm(rows, axis=1) == pytest.approx(np.ones(20), abs=1e-6)
    assert rows * np.linalg.norm(X, axis=1, keepdims=True) == pytest.approx(X, rel=1e-5)


def test_rows_of_zeros_and_no_rows_stay_as_they_are():
    assert unit_rows(np.array([[0.0, 0.0], [3.0, 4.0]])) == pytest.approx(np.array([[0, 0], [0.6, 0.8]]))
    assert unit_rows(np.empty((0, 3))).shape == (0, 3)


# Several deals.


def codes_of(subsets: list[np.ndarray]) -> list[int]:
    return sorted(np.concatenate(subsets).tolist())


@pytest.mark.parametrize("subset_size", [2, 3, 5, 10])
@pytest.mark.parametrize("n_labels", [2, 3, 9, 10, 11, 40])
def test_each_deal_holds_every_label_once_in_subsets_of_one_size(n_labels, subset_size):
    points = some_units(n_labels)
    dealt = deals(points, subset_size, n_deals=4)
    assert [subset.tolist() for subset in dealt[0]] == split(points, subset_size)
    assert len(dealt) == 4
    for subsets in dealt:
        sizes = [len(subset) for subset in subsets]
        assert codes_of(subsets) == list(range(n_labels))
        assert max(sizes) - min(sizes) <= 1
        assert len(subsets) == len(dealt[0])
        assert all(subset.tolist() == sorted(subset.tolist()) for subset in subsets)


def test_labels_meet_other_companions_in_each_deal():
    met: list[set[int]] = [set() for _ in range(40)]
    for subsets in deals(some_units(40), 10, n_deals=6):
        for subset in subsets:
            for code in subset.tolist():
                met[code] |= set(subset.tolist()) - {code}
    # One deal shows a label 9 of the 39 others; six at random 9 of them twice and more, yet most at least once.
    assert np.mean([len(companions) for companions in met]) > 25


def test_deals_depend_on_the_seed_alone():
    first, again, other = (deals(some_units(30), 5, 3, seed) for seed in (1, 1, 2))
    assert [codes.tolist() for subsets in first for codes in subsets] == [
        codes.tolist() for subsets in again for codes in subsets
    ]
    assert any(not np.array_equal(a, b) for a, b in zip(first[1], other[1], strict=True))


def test_a_single_deal_is_the_greedy_one():
    assert len(deals(some_units(30), 5, n_deals=1)) == 1


# Rivals.


@pytest.mark.parametrize("subset_size", range(1, 8))
@pytest.mark.parametrize("n_labels", [0, 1, 2, 7, 20])
def test_rival_subsets_hold_every_label_once_and_are_full_but_for_the_last(n_labels, subset_size):
    subsets = rival_subsets(some_units(n_labels), subset_size)
    sizes = [len(subset) for subset in subsets]
    assert sum(sizes) == n_labels
    assert n_labels == 0 or codes_of(subsets) == list(range(n_labels))
    assert all(size == subset_size for size in sizes[:-1])
    assert all(subset.tolist() == sorted(subset.tolist()) for subset in subsets)


@pytest.mark.parametrize("random_state", range(3))
def test_near_twins_are_kept_together_among_rivals(random_state):
    rng = np.random.default_rng(random_state)
    topics = rng.permutation(np.arange(8).repeat(3))
    points = unit_rows(np.eye(8)[topics] + rng.normal(scale=0.01, size=(24, 8)))
    assert all(len(set(topics[subset])) == 1 for subset in rival_subsets(points, 3))


def test_the_label_most_like_the_members_so_far_comes_next():
    angles = np.radians([0, 80, 10, 30, 85, 95])
    points = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    assert [subset.tolist() for subset in rival_subsets(points, 3)] == [[0, 2, 3], [1, 4, 5]]


@pytest.mark.parametrize("n_rivals", [0, 1, 3, 20])
@pytest.mark.parametrize("subset", [[4], [0, 7], list(range(9)), list(range(10))])
def test_closest_rivals_are_the_best_of_all_others(subset, n_rivals):
    centroids = some_units(10)
    found = closest_rivals(centroids, np.array(subset), n_rivals).tolist()
    likeness = {
        code: max(float(centroids[code] @ centroids[member]) for member in subset)
        for code in range(10)
        if code not in subset
    }
    assert found == sorted(likeness, key=lambda code: -likeness[code])[:n_rivals]


# A new label.


def placed(sizes: list[int], subset_size: int, alike: bool, random_state: int = 0) -> tuple[int, list[float]]:
    """Where the last of all labels goes, and its mean cosine to each subset."""
    centroids = some_units(sum(sizes) + 1, random_state=random_state)
    subsets = np.split(np.arange(sum(sizes)), np.cumsum(sizes)[:-1])
    index = place(centroids, subsets, sum(sizes), subset_size, alike)
    return index, [float((centroids[subset] @ centroids[-1]).mean()) for subset in subsets]


@pytest.mark.parametrize("alike", [False, True])
@pytest.mark.parametrize(
    ("sizes", "subset_size", "open_"),
    [
        pytest.param([9, 9, 9], 10, [0, 1, 2], id="room everywhere"),
        pytest.param([10, 4, 10, 9], 10, [1, 3], id="full ones are passed over"),
        pytest.param([10, 10, 10], 10, [0, 1, 2], id="all full: one grows"),
        pytest.param([11, 12, 11], 10, [0, 2], id="by a fifth at most"),
        pytest.param([2, 2], 2, [0, 1], id="small ones by one"),
        pytest.param([3, 2, 3], 2, [1], id="and no more"),
    ],
)
@pytest.mark.parametrize("random_state", range(5))
def test_a_new_label_joins_the_subset_it_is_least_or_most_like_of_those_with_room(
    sizes, subset_size, open_, alike, random_state
):
    index, likeness = placed(sizes, subset_size, alike, random_state)
    assert index == (max if alike else min)(open_, key=lambda index: likeness[index])


@pytest.mark.parametrize(("sizes", "subset_size"), [([12, 12], 10), ([3], 2), ([6, 6, 6], 5)])
@pytest.mark.parametrize("alike", [False, True])
def test_where_every_subset_has_grown_a_new_one_starts(sizes, subset_size, alike):
    assert placed(sizes, subset_size, alike)[0] == len(sizes)
