"""What labels are called and defined as: all there is to go by while a label has no example, something while few."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix, vstack

from classifiers.words import N_FEATURES

# With so many examples a label's own texts say all that its description could.
FEW_EXAMPLES = 10


@dataclass(frozen=True)
class Rows:
    """Descriptions as if they were examples.

    Attributes:
        vectors: unit vectors, shape (n_rows, n_dims), float32.
        codes: the labels they describe, shape (n_rows,).
        counts: of their n-grams, shape (n_rows, N_FEATURES).
    """

    vectors: np.ndarray
    codes: np.ndarray
    counts: csr_matrix


@dataclass(frozen=True)
class Descriptions:
    """Row by row the labels' descriptions.

    Attributes:
        names: unit vectors of the names, shape (n_labels, n_dims), float32.
        definitions: those of name and definition, likewise; rows of zeros, or no rows at all, where there is none.
        counts: n-grams of name and definition, shape (n_labels, N_FEATURES).
    """

    names: np.ndarray
    definitions: np.ndarray
    counts: csr_matrix

    def rows(self, n_examples: np.ndarray) -> Rows:
        """Return name and definition of each label that has fewer than FEW_EXAMPLES.

        The words of both count once, with the name.

        Args:
            n_examples: of each label, shape (n_labels,).
        """
        few = np.flatnonzero(n_examples < FEW_EXAMPLES)
        defined = few[self.definitions[few].any(axis=1)] if len(self.definitions) else few[:0]
        nothing = csr_matrix((len(defined), N_FEATURES), dtype=np.float32)
        return Rows(
            np.concatenate([self.names[few], self.definitions[defined]]) if len(defined) else self.names[few],
            np.concatenate([few, defined]),
            vstack([self.counts[few], nothing], format="csr"),
        )


def to_arrays(descriptions: Descriptions | None) -> dict[str, np.ndarray]:
    """Return plain arrays, none without descriptions."""
    if descriptions is None:
        return {}
    counted = descriptions.counts
    return {
        "names": descriptions.names,
        "definitions": descriptions.definitions,
        "name_counts": counted.data,
        "name_count_features": counted.indices,
        "name_count_starts": counted.indptr,
    }


def from_arrays(arrays: Mapping[str, np.ndarray]) -> Descriptions | None:
    """Return the descriptions that ``to_arrays`` described."""
    if "names" not in arrays:
        return None
    parts = arrays["name_counts"], arrays["name_count_features"], arrays["name_count_starts"]
    counted = csr_matrix(parts, shape=(len(arrays["names"]), N_FEATURES))
    return Descriptions(arrays["names"], arrays["definitions"], counted)
