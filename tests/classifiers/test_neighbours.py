"""Nearest examples against a search by hand."""

from __future__ import annotations

import numpy as np
import pytest

from classifiers import neighbours
from classifiers.neighbours import nearest, nearly_equal


def unit_rows(n_rows: int, random_state: int) -> np.ndarray:
    rows = np.random.default_rng(random_state).normal(size=(n_rows, 6)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.mark.parametrize("chunk_rows", [1, 4, 9, 100])
def test_the_most_similar_examples_come_first(monkeypatch, chunk_rows):
    monkeypatch.setattr(neighbours, "CHUNK_ROWS", chunk_rows)
    X, examples = unit_rows(9, 0), unit_rows(20, 1)
    positions, similarities = nearest(X, examples, k=5)
    assert (positions.shape, similarities.shape, similarities.dtype) == ((9, 5), (9, 5), np.float32)
    for row, x in enumerate(X):
        cosines = [float(np.dot(x, example)) for example in examples]
        by_hand = sorted(range(20), key=lambda i: -cosines[i])[:5]
        assert positions[row].tolist() == by_hand
        assert similarities[row] == pytest.approx([cosines[i] for i in by_hand], abs=1e-6)


def test_equal_similarities_keep_the_examples_order():
    examples = np.eye(2, dtype=np.float32)[np.arange(60) % 2]
    positions, similarities = nearest(np.eye(2, dtype=np.float32)[:1], examples, k=60)
    assert positions.tolist() == [[*range(0, 60, 2), *range(1, 60, 2)]]
    assert similarities.tolist() == [[1] * 30 + [0] * 30]


@pytest.mark.parametrize(
    ("n_rows", "n_examples", "k", "width"), [(2, 3, 10, 3), (2, 0, 4, 0), (0, 3, 2, 2), (2, 3, 0, 0)]
)
def test_there_are_never_more_neighbours_than_examples(n_rows, n_examples, k, width):
    positions, similarities = nearest(unit_rows(n_rows, 0), unit_rows(n_examples, 1), k)
    assert positions.shape == similarities.shape == (n_rows, width)


@pytest.mark.parametrize("most", [1, 1_000, neighbours.MAX_SIMILARITIES])
def test_nearly_equal_finds_all_and_only_those_above_the_threshold(most, monkeypatch):
    monkeypatch.setattr(neighbours, "MAX_SIMILARITIES", most)
    rng = np.random.default_rng(5)
    X = rng.normal(size=(300, 4)).astype(np.float32)
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    others = np.vstack([X[:50], X[:10]])
    for row, (positions, similarities) in zip(X, nearly_equal(X, others, 0.9), strict=True):
        cosines = others @ row
        assert sorted(positions) == [at for at, cosine in enumerate(cosines) if cosine >= 0.9]
        assert np.allclose(similarities, cosines[positions])
        assert (np.diff(similarities) <= 0).all()
