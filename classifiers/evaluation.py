"""How good predictions are against known labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.metrics import accuracy_score, f1_score


@dataclass(frozen=True)
class Score:
    """Agreement with known labels.

    Attributes:
        n: documents compared.
        accuracy: share that is right, in [0, 1].
        macro_f1: mean over the labels of each label's F1, in [0, 1].
    """

    n: int
    accuracy: float
    macro_f1: float


def score(y_true: np.ndarray, y_predicted: np.ndarray) -> Score | None:
    """Compare predictions with known labels, both of shape (n_documents,); None without documents."""
    if len(y_true) == 0:
        return None
    return Score(
        n=len(y_true),
        accuracy=float(accuracy_score(y_true, y_predicted)),
        macro_f1=float(f1_score(y_true, y_predicted, average="macro", zero_division=0)),
    )
