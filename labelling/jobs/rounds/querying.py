"""Choose what to ask about, and keep the evidence as it was."""

from __future__ import annotations

import numpy as np
from django.utils import timezone

from classifiers.neighbours import nearest
from classifiers.query import choose
from classifiers.red_classifier import Candidates
from labelling.jobs.lease import Lease
from labelling.jobs.rounds.learning import Learnt, Predicted, listed
from labelling.models import Decision, Query, QueueEntry, Round, TrainingExample

N_NEIGHBOURS = 10
N_EXAMPLES = 5
CHUNK_ROWS = 500

Evidence = list[tuple[int, int | None, float]]


def choose_queries(round_: Round, learnt: Learnt, predicted: Predicted) -> list[Query]:
    """Choose the round's batch. What waits for review, or was skipped, is not asked about again."""
    free = _free_positions(round_, predicted)
    offered = Candidates(
        predicted.candidates.labels[free], predicted.candidates.probabilities[free], predicted.candidates.entropy[free]
    )
    settings = round_.settings
    batch = choose(offered, settings["strategy"], settings["batch_size"], settings["random_seed"] + round_.number)
    chosen = free[batch]
    neighbours = _neighbours(learnt, predicted.X[chosen])
    return [_query(round_, learnt, predicted, position, rank, neighbours[rank]) for rank, position in enumerate(chosen)]


def record_queries(lease: Lease[Round], learnt: Learnt, queries: list[Query]) -> None:
    """Fix the batch, and note what the round has learnt from, both or neither."""
    with lease.transaction():
        Query.objects.bulk_create(queries, batch_size=CHUNK_ROWS)
        for start in range(0, len(learnt.example_ids), CHUNK_ROWS):
            chunk = learnt.example_ids[start : start + CHUNK_ROWS]
            TrainingExample.objects.filter(pk__in=chunk, learned_in=None).update(learned_in=lease.job)
        lease.update(queried_at=timezone.now(), attempts=1)


def _free_positions(round_: Round, predicted: Predicted) -> np.ndarray:
    waiting = QueueEntry.objects.filter(project=round_.project).values_list("document_id", flat=True)
    skipped = Decision.objects.filter(
        document__project=round_.project, action=Decision.Action.SKIP, withdrawn_by=None
    ).values_list("document_id", flat=True)
    taken = np.array([*waiting, *skipped], dtype=int)
    return np.flatnonzero(~np.isin(np.array(predicted.document_ids, dtype=int), taken))


def _query(
    round_: Round, learnt: Learnt, predicted: Predicted, position: int, rank: int, neighbours: Evidence
) -> Query:
    codes = predicted.candidates.labels[position].tolist()
    probabilities = predicted.candidates.probabilities[position].tolist()
    labels = [learnt.label_ids[code] for code in codes]
    return Query(
        round=round_,
        document_id=predicted.document_ids[position],
        label_id=labels[0],
        rank=rank,
        probability=probabilities[0],
        entropy=float(predicted.candidates.entropy[position]),
        candidates=listed(labels, probabilities),
        examples=[row for code in codes[:2] for row in _examples(learnt, predicted.X[position], code)],
        neighbours=neighbours,
    )


def _examples(learnt: Learnt, x: np.ndarray, code: int) -> Evidence:
    """The training examples of one label that lie nearest to a document."""
    members = np.flatnonzero(learnt.y == code)
    positions, similarities = nearest(x[None, :], learnt.X[members], N_EXAMPLES)
    return _evidence(learnt, members[positions[0]], similarities[0])


def _neighbours(learnt: Learnt, X: np.ndarray) -> list[Evidence]:
    positions, similarities = nearest(X, learnt.X, N_NEIGHBOURS)
    return [_evidence(learnt, *row) for row in zip(positions, similarities, strict=True)]


def _evidence(learnt: Learnt, positions: np.ndarray, similarities: np.ndarray) -> Evidence:
    return [
        (
            learnt.document_ids[position],
            learnt.label_ids[learnt.y[position]] if learnt.y[position] >= 0 else None,
            round(float(similarity), 4),
        )
        for position, similarity in zip(positions, similarities, strict=True)
    ]
