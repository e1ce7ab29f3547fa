"""Labels as directions in space, examples scattered around them: what the tests of the algorithm learn."""

from __future__ import annotations

import numpy as np

N_DIMS = 40


def clusters(
    n_labels: int = 12, n_each: int = 6, random_state: int = 0, scale: float = 0.15, n_dims: int = N_DIMS
) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors around one axis a label, float32, and their codes."""
    rng = np.random.default_rng(random_state)
    codes = np.arange(n_labels).repeat(n_each)
    return units(np.eye(n_dims)[codes] + rng.normal(scale=scale, size=(len(codes), n_dims))), codes


def units(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def some_units(n_rows: int, n_dims: int = 5, random_state: int = 0) -> np.ndarray:
    return units(np.random.default_rng(random_state).normal(size=(n_rows, n_dims)))
