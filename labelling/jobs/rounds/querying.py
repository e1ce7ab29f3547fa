"""Choose what to ask about, and keep the evidence as it was."""

from __future__ import annotations

import math

import numpy as np
from django.utils import timezone

from classifiers.neighbours import nearest, nearly_equal
from classifiers.query import Asked, audit_slice, choose
from classifiers.subsets import unit_rows
from labelling.jobs.lease import Lease
from labelling.jobs.rounds.believing import N_OFFERED
from labelling.jobs.rounds.learning import Learnt, Predicted, listed
from labelling.models import Decision, Query, QueueEntry, Round, TrainingExample
from labelling.services.audits import waiting as waiting_audits
from labelling.services.definitions import stale

N_NEIGHBOURS = 10
N_EXAMPLES = 5
# Texts this alike differ in a word or in spelling; more of them than these are not listed.
NEARLY_EQUAL = 0.98
MAX_NEARLY_EQUAL = 50
# As many as the judge may be asked about, and the rival of the last.
N_LABELS_SHOWN = 4
# Rivals of a label whose definitions stand in all its questions.
N_RIVALS = 4
CHUNK_ROWS = 500

Evidence = list[tuple[int, int | None, float]]


def choose_queries(round_: Round, learnt: Learnt, predicted: Predicted) -> list[Query]:
    """Choose the round's batch: a share of audits and the rest by the query strategy.

    Half of the audits are drawn from the whole pool: they tell what is in it. The other half are drawn from the batch:
    they tell whether what is accepted on the judge's word is right.

    What waits for review, or was skipped, is not asked about again, nor the same question of the same judge. A round
    that asks again does nothing else.
    """
    if round_.settings.get("ask_again"):
        return _ask_again(round_, learnt, predicted)
    free = _free_positions(round_, predicted)
    settings = round_.settings
    seed = settings["random_seed"] + round_.number
    n_audits = audits_in(settings["audit_share"], settings["batch_size"], round_.number)
    n_checks = n_audits // 2
    audited = free[audit_slice(len(free), n_audits - n_checks, seed)]
    rest = np.setdiff1d(free, audited)
    believed = predicted.believed
    offered = Asked(
        believed.open_belief[rest],
        predicted.candidates.entropy[rest],
        believed.rates.sensitivity.mean,
        believed.rates.specificity.mean,
        believed.belief[rest].max(axis=1) >= settings["certainty"],
        settings["certainty"],
        round_.question,
    )
    batch = choose(offered, settings["strategy"], settings["batch_size"] - len(audited), seed, X=predicted.X[rest])
    reasons = [(position, Query.Reason.AUDIT) for position in audited]
    checked = set(audit_slice(len(batch), n_checks, seed).tolist())
    reasons += [
        (position, Query.Reason.SPOT_CHECK if rank in checked else Query.Reason.UNCERTAIN)
        for rank, position in enumerate(rest[batch])
    ]
    neighbours = _neighbours(learnt, predicted.X[[position for position, _ in reasons]])
    return [
        _query(round_, learnt, predicted, position, reason, rank, neighbours[rank])
        for rank, (position, reason) in enumerate(reasons)
    ]


def _ask_again(round_: Round, learnt: Learnt, predicted: Predicted) -> list[Query]:
    """The questions whose answers saw an older definition than there is now."""
    verdicts = stale(round_.project).filter(query__label__in=round_.settings["ask_again"])
    asked = verdicts.order_by("query__label", "query__document").values_list("query__document", "query__label")
    position_of = {document_id: position for position, document_id in enumerate(predicted.document_ids)}
    pairs = {(position_of[document_id], label_id) for document_id, label_id in asked if document_id in position_of}
    if round_.question == Query.Form.CHOOSE:
        # One choice tells of all labels.
        pairs = {(position, label_id) for position, label_id in dict(sorted(pairs)).items()}
    ordered = sorted(pairs, key=lambda pair: (pair[1], pair[0]))
    neighbours = _neighbours(learnt, predicted.X[[position for position, _ in ordered]])
    queries = []
    for rank, (position, label_id) in enumerate(ordered):
        query = _query(round_, learnt, predicted, position, Query.Reason.REDEFINED, rank, neighbours[rank])
        queries.append(_about(query, label_id, learnt, predicted, position))
    return queries


def _about(query: Query, label_id: int, learnt: Learnt, predicted: Predicted, position: int) -> Query:
    """Turn a question into one about this label, whether it is a candidate still or not."""
    columns = np.flatnonzero(predicted.labels[position] == label_id).tolist()
    query.label_id = label_id
    query.probability = dict(query.candidates)[label_id] if columns else 0.0
    query.posterior = predicted.believed.belief[position, columns[0]].item() if columns else 0.0
    query.gain = None
    if label_id in learnt.label_ids and not any(row[1] == label_id for row in query.examples):
        own = _examples(learnt, predicted.X[position], learnt.label_ids.index(label_id))
        query.examples = [*own, *query.examples]
    if query.form == Query.Form.CHOOSE:
        others = [other for other, _ in query.candidates if other != label_id]
        rng = np.random.default_rng([query.round.settings["random_seed"], query.document_id])
        query.offered = rng.permutation([label_id, *others][:N_OFFERED]).tolist()
    return query


def audits_in(share: float, batch_size: int, number: int) -> int:
    """How many of a round's questions are audits, so that all rounds up to this one keep the share."""

    def up_to(rounds: int) -> int:
        # A hair more, for what rounding leaves: ten rounds of 0.1 are one.
        return math.floor(rounds * share * batch_size + 1e-9)

    return min(batch_size, up_to(number) - up_to(number - 1))


def note_near_duplicates(queries: list[Query], learnt: Learnt, predicted: Predicted) -> None:
    """Note which other documents, labelled or in the pool, say almost the same as the one that is asked about."""
    if not queries:
        return
    position_of = {document_id: position for position, document_id in enumerate(predicted.document_ids)}
    asked = predicted.X[[position_of[query.document_id] for query in queries]]
    for known in (learnt, predicted):
        for query, alike in zip(queries, nearly_equal(asked, known.X, NEARLY_EQUAL), strict=True):
            found = zip(*(values.tolist() for values in alike), strict=True)
            others = [[known.document_ids[position], round(similarity, 4)] for position, similarity in found]
            query.near_duplicates += [row for row in others if row[0] != query.document_id]
    for query in queries:
        query.near_duplicates = sorted(query.near_duplicates, key=lambda row: -row[1])[:MAX_NEARLY_EQUAL]


def record_queries(lease: Lease[Round], learnt: Learnt, queries: list[Query]) -> None:
    """Fix the batch, and note what the round has learnt from, both or neither."""
    with lease.transaction():
        Query.objects.bulk_create(queries, batch_size=CHUNK_ROWS)
        for start in range(0, len(learnt.example_ids), CHUNK_ROWS):
            chunk = learnt.example_ids[start : start + CHUNK_ROWS]
            TrainingExample.objects.filter(pk__in=chunk, learned_in=None).update(learned_in=lease.job)
        lease.update(queried_at=timezone.now(), attempts=1, rivals=_rivals(learnt))


def _rivals(learnt: Learnt) -> dict[str, list[int]]:
    """By label id, as JSON has it: the labels whose examples are most like its own, most alike first.

    They are the label's, not the text's, so that all questions about a label begin alike.
    """
    centroids = np.stack([learnt.X[learnt.y == code].mean(axis=0) for code in range(len(learnt.label_ids))])
    positions, _ = nearest(unit_rows(centroids), unit_rows(centroids), N_RIVALS + 1)
    ids = learnt.label_ids
    return {
        str(ids[code]): [ids[position] for position in row if position != code][:N_RIVALS]
        for code, row in enumerate(positions.tolist())
    }


def _free_positions(round_: Round, predicted: Predicted) -> np.ndarray:
    waiting = QueueEntry.objects.filter(project=round_.project).values_list("document_id", flat=True)
    skipped = Decision.objects.filter(
        document__project=round_.project, action=Decision.Action.SKIP, withdrawn_by=None
    ).values_list("document_id", flat=True)
    # Those of a round that was cancelled before it laid them out.
    audits = waiting_audits(round_.project).values_list("document_id", flat=True)
    taken = np.array([*waiting, *skipped, *audits], dtype=int)
    free = ~np.isin(np.array(predicted.document_ids, dtype=int), taken)
    return np.flatnonzero(free & ~predicted.believed.asked.all(axis=1))


def _query(
    round_: Round,
    learnt: Learnt,
    predicted: Predicted,
    position: int,
    reason: Query.Reason,
    rank: int,
    neighbours: Evidence,
) -> Query:
    """The question about the most probable label that the judge has not been asked about."""
    open_belief = predicted.believed.open_belief[position, :-1]
    best = np.argsort(-np.where(predicted.believed.asked[position], -1.0, open_belief), kind="stable")
    column = best[0]
    x, codes = predicted.X[position], predicted.candidates.labels[position]
    chooses = round_.question == Query.Form.CHOOSE
    offered = [column for column in best if not predicted.believed.asked[position, column]][:N_OFFERED]
    rng = np.random.default_rng([round_.settings["random_seed"], predicted.document_ids[position]])
    shown = rng.permutation(offered).tolist() if chooses else []
    probabilities = predicted.candidates.probabilities[position].tolist()
    return Query(
        round=round_,
        document_id=predicted.document_ids[position],
        label_id=predicted.labels[position, column].item(),
        rank=rank,
        reason=reason,
        probability=probabilities[column],
        posterior=open_belief[column].item(),
        gain=predicted.believed.gain[position].item(),
        entropy=predicted.candidates.entropy[position].item(),
        candidates=listed(predicted.labels[position].tolist(), probabilities),
        form=Query.Form.CHOOSE if chooses else Query.Form.VALIDATE,
        offered=[predicted.labels[position, column].item() for column in shown],
        examples=[
            row
            for code in codes[best[: N_OFFERED if chooses else N_LABELS_SHOWN]]
            for row in _examples(learnt, x, code)
        ],
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
