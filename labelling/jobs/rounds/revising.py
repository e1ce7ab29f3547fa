"""Texts whose label a revision of the classification has divided: only its successors come into question."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from classifiers.candidates import Candidates
from labelling.models import Project

# So likely at least is each successor before anything is asked.
FLOOR = 0.01


def among_successors(
    project: Project, document_ids: Sequence[int], label_ids: Sequence[int], found: Candidates
) -> Candidates:
    """Let what is believed of all candidates go to the successors of the label that a document had.

    "None of these" stays as probable as it was; other candidates stand behind them, at 0.

    Args:
        document_ids: of the rows of ``found``.
        label_ids: by code, the ids of the labels that the model knows.
    """
    recoded = dict(project.documents.exclude(recoded_from=None).values_list("pk", "recoded_from_id"))
    if not recoded:
        return found
    code_of = {label_id: code for code, label_id in enumerate(label_ids)}
    successors: dict[int, list[int]] = {}
    pairs = project.labels.filter(successors__retired_at=None).values_list("pk", "successors")
    for old_id, new_id in pairs:
        if new_id in code_of:
            successors.setdefault(old_id, []).append(code_of[new_id])
    labels, probabilities = found.labels.copy(), found.probabilities.copy()
    for row, document_id in enumerate(document_ids):
        if codes := successors.get(recoded.get(document_id, 0)):
            labels[row], probabilities[row] = _only(np.array(codes), labels[row], probabilities[row])
    return Candidates(labels, probabilities, found.entropy)


def _only(codes: np.ndarray, labels: np.ndarray, probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    k = len(labels)
    believed = dict(zip(labels.tolist(), probabilities.tolist(), strict=True))
    given = np.maximum([believed.get(code, 0.0) for code in codes.tolist()], FLOOR)
    best = np.argsort(-given, kind="stable")[:k]
    given = given[best] * probabilities.sum() / given[best].sum()
    others = labels[~np.isin(labels, codes[best])][: k - len(best)]
    return np.concatenate([codes[best], others]), np.concatenate([given, np.zeros(k - len(best))])
