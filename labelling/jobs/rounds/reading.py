"""Many rows as arrays: of a million documents no more than a few thousand are objects at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import islice
from typing import Any

import numpy as np
from django.db.models import BinaryField, ExpressionWrapper, F, QuerySet

from classifiers.subset_classifier import NOISE
from labelling.models.compact import DIGITS, ITEM_BYTES

CHUNK_ROWS = 2_000

Make = Callable[[Sequence[Any]], np.ndarray]

integers: Make = partial(np.array, dtype=int)
floats: Make = partial(np.array, dtype=float)
booleans: Make = partial(np.array, dtype=bool)


def filled(none: int) -> Make:
    """What makes integers of a column, this one where it is empty."""
    return lambda values: np.array([none if value is None else value for value in values], dtype=int)


def batches(rows: QuerySet[Any, Any]) -> Iterator[list[Any]]:
    """Yield the rows, CHUNK_ROWS at a time."""
    found = rows.iterator(CHUNK_ROWS)
    return iter(lambda: list(islice(found, CHUNK_ROWS)), [])


def columns(rows: QuerySet[Any, Any], *kinds: Make) -> list[np.ndarray]:
    """Return the columns of rows as arrays, each of length n_rows.

    Args:
        rows: tuples of values.
        kinds: what makes an array of each column.
    """
    parts = [[make(column) for make, column in zip(kinds, zip(*batch), strict=True)] for batch in batches(rows)]  # noqa: B905
    return [np.concatenate(column) for column in zip(*parts, strict=True)] if parts else [make(()) for make in kinds]


def as_stored(name: str) -> ExpressionWrapper:
    """The bytes of a field of labelling.models.compact, for ``values_list``: no list is made of them."""
    return ExpressionWrapper(F(name), BinaryField())


def beliefs(stored: Sequence[bytes]) -> np.ndarray:
    """Return what is stored of beliefs: in each candidate and, last, in none of these, float64 of shape (n, k + 1).

    Where a document has fewer candidates than others, 0 stands for those that it has not.
    """
    sizes = np.array([len(one) for one in stored], dtype=int) // ITEM_BYTES
    k = max(sizes.max(initial=1) - 1, 0)
    number, n = np.arange(k + 1), sizes[:, None]
    there = (number < n - 1) | ((number == k) & (n > 0))
    found = np.zeros(there.shape)
    found[there] = np.frombuffer(b"".join(stored), dtype="<f4").astype(float).round(DIGITS)
    return found


def candidates(stored: Sequence[bytes]) -> np.ndarray:
    """Return the label ids of stored candidates, shape (n, k), NOISE where a document has fewer than others."""
    sizes = np.array([len(one) for one in stored], dtype=int) // (2 * ITEM_BYTES)
    there = np.arange(sizes.max(initial=0)) < sizes[:, None]
    found = np.full(there.shape, NOISE)
    found[there] = np.frombuffer(b"".join(one[: len(one) // 2] for one in stored), dtype="<u4")
    return found


def places(values: np.ndarray, among: np.ndarray) -> np.ndarray:
    """Return where integers stand in others, which rise; len(among) for those that don't."""
    found = np.searchsorted(among, values)
    return np.where(np.append(among, NOISE)[found] == values, found, len(among))
