"""Choose what to ask about, and keep the evidence as it was."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from django.utils import timezone

from classifiers.loop import asking, trying
from classifiers.loop.reviewing import spot_checks
from classifiers.neighbours import nearest, nearly_equal
from classifiers.query import audit_slice
from classifiers.reliability import N_OFFERED
from classifiers.subset_classifier import NOISE
from classifiers.subsets import unit_rows
from labelling.jobs.lease import Lease
from labelling.jobs.rounds.auditing import is_new
from labelling.jobs.rounds.learning import Learnt, Predicted, listed
from labelling.jobs.vectors import Space
from labelling.models import Decision, Prediction, Project, Query, QueueEntry, Round, TrainingExample
from labelling.services import domains
from labelling.services.audits import waiting as waiting_audits
from labelling.services.claims import reviews_a_round
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


@dataclass(frozen=True)
class Known:
    """The texts that have a label: their documents, label ids (NOISE for none of these) and vectors, row by row."""

    document_ids: list[int]
    labels: np.ndarray
    X: np.ndarray

    @classmethod
    def of(cls, project: Project) -> Known:
        space = Space.of(project)
        rows = TrainingExample.objects.filter(document__project=project, document__holdout=False)
        rows = rows.filter(label__retired_at=None)
        rows = rows.filter(space.has_vector("document__text_hash")).order_by("document_id")
        found = list(rows.values_list("document_id", "label_id", "document__text_hash"))
        labels = np.array([NOISE if label_id is None else label_id for _, label_id, _ in found], dtype=int)
        X = space.load([text_hash for *_, text_hash in found])
        return cls([document_id for document_id, *_ in found], labels, X)

    def nearest_of(self, seen: Seen, label_id: int) -> Evidence:
        """The examples of one label that lie nearest to a document."""
        members = np.flatnonzero(self.labels == label_id)
        if not len(members):
            return []
        # One more: what has its label on the judge's word is no evidence for itself.
        positions, similarities = nearest(seen.x[None, :], self.X[members], N_EXAMPLES + 1)
        found = self._evidence(members[positions[0]], similarities[0])
        return [row for row in found if row[0] != seen.document_id][:N_EXAMPLES]

    def neighbours(self, X: np.ndarray, document_ids: Sequence[int]) -> list[Evidence]:
        """The nearest examples of all labels, for each row of X: the vectors of these documents."""
        if not len(X) or not len(self.X):
            return [[] for _ in document_ids]
        positions, similarities = nearest(X, self.X, N_NEIGHBOURS + 1)
        found = (self._evidence(*row) for row in zip(positions, similarities, strict=True))
        return [
            [row for row in rows if row[0] != document_id][:N_NEIGHBOURS]
            for rows, document_id in zip(found, document_ids, strict=True)
        ]

    def _evidence(self, positions: np.ndarray, similarities: np.ndarray) -> Evidence:
        labels = self.labels[positions].tolist()
        return [
            (self.document_ids[position], None if label_id == NOISE else label_id, round(float(similarity), 4))
            for position, label_id, similarity in zip(positions, labels, similarities, strict=True)
        ]


@dataclass(frozen=True)
class Seen:
    """A document as a question about it shows it.

    Attributes:
        x: its vector.
        labels, probabilities: ids of its candidates and what the classifiers give them.
        belief: after the verdicts so far, and last of none of these.
        open: which candidates may be asked about.
    """

    document_id: int
    x: np.ndarray
    labels: list[int]
    probabilities: list[float]
    belief: np.ndarray
    open: np.ndarray
    entropy: float
    gain: float | None

    @classmethod
    def at(cls, predicted: Predicted, position: int) -> Seen:
        believed = predicted.believed
        return cls(
            predicted.document_ids[position],
            predicted.X[position],
            predicted.labels[position].tolist(),
            predicted.candidates.probabilities[position].tolist(),
            believed.belief[position],
            ~believed.asked[position],
            predicted.candidates.entropy[position].item(),
            believed.gain[position].item(),
        )

    @classmethod
    def of(cls, prediction: Prediction, x: np.ndarray) -> Seen:
        """As people see it: everything is open."""
        labels, probabilities = zip(*prediction.candidates, strict=True)
        return cls(
            prediction.document_id,
            x,
            [int(label_id) for label_id in labels],
            list(probabilities),
            np.array(prediction.belief),
            np.ones(len(labels), dtype=bool),
            prediction.entropy,
            prediction.gain,
        )

    @property
    def ranked(self) -> list[int]:
        """Columns of the candidates that may be asked about, the most probable first."""
        order = np.argsort(-self.belief[:-1], kind="stable")
        ranked = order[self.open[order]].tolist()
        # What stands at 0 does not come into question: see revising.among_successors.
        return [column for column in ranked if self.probabilities[column]] or ranked


def choose_queries(round_: Round, learnt: Learnt, predicted: Predicted) -> list[Query]:
    """Choose what the judge is asked about; nothing where there is no judge, or nothing more to learn.

    A judge that is new is tried first. What waits for people's eyes alone, or was skipped, is not asked about, nor the
    same question of the same judge. A round that asks again does nothing else.
    """
    if not round_.has_judge:
        return []
    known = Known.of(round_.project)
    if round_.settings.get("ask_again"):
        return _ask_again(round_, known, predicted)
    if round_.settings.get("revises"):
        return _ask_among_successors(round_, known, predicted)
    believed, wanted = predicted.believed, round_.settings
    if not round_.asks or not asking.tells_something(believed.rates, round_.question):
        return []
    trial = _trial(round_, known, learnt)
    free = _free_positions(round_, predicted)
    seed = wanted["random_seed"] + round_.number
    chosen = asking.batch(
        believed.belief[free],
        believed.asked[free],
        predicted.candidates.entropy[free],
        _settled(round_, predicted)[free],
        believed.rates,
        strategy=wanted["strategy"],
        question=round_.question,
        threshold=wanted["certainty"],
        calls=wanted["batch_size"] - len(trial),
        random_state=seed,
        X=predicted.X,
        rows=free,
    )
    checked = set(audit_slice(len(chosen), spot_checks(reviews_a_round(round_.project)), seed).tolist())
    seen = [Seen.at(predicted, position) for position in free[chosen]]
    X = predicted.X[free[chosen]]
    neighbours = known.neighbours(X, [one.document_id for one in seen])
    queries = [
        query_about(
            round_,
            known,
            one,
            Query.Reason.SPOT_CHECK if rank in checked else Query.Reason.UNCERTAIN,
            rank,
            neighbours[rank],
            round_.question,
        )
        for rank, one in enumerate(seen)
    ]
    note_near_duplicates(queries, X, known, (predicted.document_ids, predicted.X))
    return [*trial, *queries]


def _trial(round_: Round, known: Known, learnt: Learnt) -> list[Query]:
    """Questions about examples, for a judge that was never asked in this form; see classifiers.loop.trying."""
    if not is_new(round_):
        return []
    rows = trying.looked_at(learnt.y, round_.settings["random_seed"])
    found = learnt.memory.model.left_out(learnt.X[rows], learnt.y[rows]) if len(rows) else None
    if found is None:
        return []
    trial = trying.trial(rows, learnt.y[rows], found, round_.settings["batch_size"])
    label_ids = np.array(learnt.label_ids)[trial.labels]
    seen = [
        Seen(
            document_id=learnt.document_ids[row],
            x=learnt.X[row],
            labels=label_ids[rank].tolist(),
            probabilities=trial.probabilities[rank].tolist(),
            belief=trial.belief[rank],
            open=np.ones(len(label_ids[rank]), dtype=bool),
            entropy=trial.entropy[rank].item(),
            gain=None,
        )
        for rank, row in enumerate(trial.rows.tolist())
    ]
    neighbours = known.neighbours(learnt.X[trial.rows], [one.document_id for one in seen])
    return [
        query_about(round_, known, one, Query.Reason.TRIAL, rank, neighbours[rank], round_.question)
        for rank, one in enumerate(seen)
    ]


def _settled(round_: Round, predicted: Predicted) -> np.ndarray:
    """Which documents have a label that the machine settled."""
    settled = round_.project.settled_labels.final().values_list("document_id", flat=True)
    return np.isin(np.array(predicted.document_ids, dtype=int), np.array(settled, dtype=int))


def _ask_among_successors(round_: Round, known: Known, predicted: Predicted) -> list[Query]:
    """A choice for each text whose label a revision has divided, unless it was made already."""
    recoded = round_.project.documents.exclude(recoded_from=None).values_list("pk", flat=True)
    free = _free_positions(round_, predicted)
    ids = np.array(predicted.document_ids, dtype=int)[free]
    free = free[np.isin(ids, np.array(recoded, dtype=int)) & ~_settled(round_, predicted)[free]]
    neighbours = known.neighbours(predicted.X[free], [predicted.document_ids[position] for position in free])
    return [
        query_about(
            round_,
            known,
            Seen.at(predicted, position),
            Query.Reason.REVISED,
            rank,
            neighbours[rank],
            Query.Form.CHOOSE,
        )
        for rank, position in enumerate(free.tolist())
    ]


def _ask_again(round_: Round, known: Known, predicted: Predicted) -> list[Query]:
    """The questions whose answers saw an older definition than there is now."""
    verdicts = stale(round_.project).filter(query__label__in=round_.settings["ask_again"])
    asked = verdicts.order_by("query__label", "query__document").values_list("query__document", "query__label")
    position_of = {document_id: position for position, document_id in enumerate(predicted.document_ids)}
    pairs = {(position_of[document_id], label_id) for document_id, label_id in asked if document_id in position_of}
    if round_.question == Query.Form.CHOOSE:
        # One choice tells of all labels.
        pairs = {(position, label_id) for position, label_id in dict(sorted(pairs)).items()}
    ordered = sorted(pairs, key=lambda pair: (pair[1], pair[0]))
    positions = [position for position, _ in ordered]
    neighbours = known.neighbours(predicted.X[positions], [predicted.document_ids[position] for position in positions])
    queries = []
    for rank, (position, label_id) in enumerate(ordered):
        seen = Seen.at(predicted, position)
        query = query_about(round_, known, seen, Query.Reason.REDEFINED, rank, neighbours[rank], round_.question)
        queries.append(_about(query, label_id, known, seen))
    return queries


def _about(query: Query, label_id: int, known: Known, seen: Seen) -> Query:
    """Turn a question into one about this label, whether it is a candidate still or not."""
    query.label_id = label_id
    column = seen.labels.index(label_id) if label_id in seen.labels else None
    query.probability = 0.0 if column is None else seen.probabilities[column]
    query.posterior = 0.0 if column is None else float(seen.belief[column])
    query.gain = None
    if not any(row[1] == label_id for row in query.examples):
        query.examples = [*known.nearest_of(seen, label_id), *query.examples]
    if query.form == Query.Form.CHOOSE:
        others = [other for other in seen.labels if other != label_id]
        rng = np.random.default_rng([query.round.settings["random_seed"], query.document_id])
        query.offered = rng.permutation([label_id, *others][:N_OFFERED]).tolist()
    return query


def note_near_duplicates(
    queries: list[Query], X: np.ndarray, known: Known, others: tuple[list[int], np.ndarray]
) -> None:
    """Note which other documents say almost the same as the one that is asked about.

    Args:
        queries: to note them on.
        X: the vectors of their documents, row by row.
        known: documents that have a label.
        others: ids and vectors of those that have none.
    """
    if not queries:
        return
    for document_ids, vectors_of in ((known.document_ids, known.X), others):
        if not document_ids:
            continue
        for query, alike in zip(queries, nearly_equal(X, vectors_of, NEARLY_EQUAL), strict=True):
            found = zip(*(values.tolist() for values in alike), strict=True)
            rows = [[document_ids[position], round(similarity, 4)] for position, similarity in found]
            query.near_duplicates += [row for row in rows if row[0] != query.document_id]
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
    codes = np.unique(learnt.y[learnt.y != NOISE])
    if not len(codes):
        return {}
    centroids = unit_rows(np.stack([learnt.X[learnt.y == code].mean(axis=0) for code in codes]))
    positions, _ = nearest(centroids, centroids, N_RIVALS + 1)
    ids = [learnt.label_ids[code] for code in codes]
    return {
        str(ids[code]): [ids[position] for position in row if position != code][:N_RIVALS]
        for code, row in enumerate(positions.tolist())
    }


def _free_positions(round_: Round, predicted: Predicted) -> np.ndarray:
    in_hands = QueueEntry.objects.filter(project=round_.project, claimed_until__gt=timezone.now())
    held = in_hands.values_list("document_id", flat=True)
    skipped = Decision.objects.filter(
        document__project=round_.project, action=Decision.Action.SKIP, withdrawn_by=None
    ).values_list("document_id", flat=True)
    audits = waiting_audits(round_.project).values_list("document_id", flat=True)
    reserved = domains.for_people(round_.project).values_list("pk", flat=True)
    taken = np.array([*held, *skipped, *audits, *reserved], dtype=int)
    free = ~np.isin(np.array(predicted.document_ids, dtype=int), taken)
    return np.flatnonzero(free & ~predicted.believed.asked.all(axis=1))


def query_about(
    round_: Round,
    known: Known,
    seen: Seen,
    reason: Query.Reason,
    rank: int,
    neighbours: Evidence,
    form: str = Query.Form.VALIDATE,
) -> Query:
    """The question about a document's most probable label that may be asked about."""
    best = seen.ranked
    column = best[0]
    chooses = form == Query.Form.CHOOSE
    rng = np.random.default_rng([round_.settings["random_seed"], seen.document_id])
    offered = rng.permutation(best[:N_OFFERED]).tolist() if chooses else []
    return Query(
        round=round_,
        document_id=seen.document_id,
        label_id=seen.labels[column],
        rank=rank,
        reason=reason,
        probability=seen.probabilities[column],
        posterior=float(seen.belief[column]),
        gain=seen.gain,
        entropy=seen.entropy,
        candidates=listed(seen.labels, seen.probabilities),
        form=form,
        offered=[seen.labels[column] for column in offered],
        examples=[
            row
            for column in best[: N_OFFERED if chooses else N_LABELS_SHOWN]
            for row in known.nearest_of(seen, seen.labels[column])
        ],
        neighbours=neighbours,
    )
