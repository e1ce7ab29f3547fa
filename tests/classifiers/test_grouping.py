"""Groups of texts that belong nowhere."""

from __future__ import annotations

import numpy as np
import pytest

from classifiers.grouping import LEAST, groups, neighbours, telling_words
from classifiers.subsets import unit_rows


def around(centre: int, n: int, spread: float = 0.15, seed: int = 0, n_dims: int = 32) -> np.ndarray:
    rng = np.random.default_rng([centre, seed])
    return unit_rows(np.eye(n_dims)[centre] + spread * rng.standard_normal((n, n_dims)) / np.sqrt(n_dims))


def scattered(n: int, n_dims: int = 32) -> np.ndarray:
    return unit_rows(np.random.default_rng(9).standard_normal((n, n_dims)))


def test_what_lies_together_is_a_group_and_the_rest_is_none():
    X = np.concatenate([around(0, 12), around(1, 8), scattered(30)])
    for group, own in zip(groups(X), (set(range(12)), set(range(12, 20))), strict=False):
        assert own <= set(group.tolist())
        assert len(group) <= 1.3 * len(own)


def test_those_nearest_to_the_middle_come_first():
    X = np.concatenate([around(0, 12), around(1, 8)])
    for group in groups(X):
        likeness = X[group] @ X[group].mean(axis=0)
        assert (np.diff(likeness) <= 1e-12).all()


@pytest.mark.parametrize("n", [0, 1, LEAST, 2 * LEAST - 1])
def test_few_texts_are_no_group(n):
    assert groups(scattered(n) if n else np.empty((0, 0))) == []


def test_the_same_texts_give_the_same_groups():
    X = np.concatenate([around(0, 12), around(1, 8), scattered(30)])
    assert [group.tolist() for group in groups(X)] == [group.tolist() for group in groups(X)]


def test_neighbours_are_as_near_as_the_groups_own():
    group = around(0, 12)
    others = np.concatenate([around(0, 10, seed=1), around(1, 10)])
    found = neighbours(others, group)
    assert 0 < found[:10].sum() < 10
    assert not found[10:].any()


@pytest.mark.parametrize(
    ("texts", "others", "words"),
    [
        (["refund for the bike", "the bike refund"], ["the car", "the tram", "for hire"], ["bike", "refund"]),
        (["ab 12"], ["cd"], []),
        (["the"], ["the"], []),
        (["Zürich Straße"], [], ["straße", "zürich"]),
    ],
)
def test_words_that_tell(texts, others, words):
    assert telling_words(texts, others) == words
