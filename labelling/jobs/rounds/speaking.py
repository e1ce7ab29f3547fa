"""What people see beside a text and only the worker can find: the words that speak for its likeliest labels, and the
nearest examples of a label that the judge suggests.

Noted once the queue is laid out: people may decide meanwhile, and no transaction is open while texts are encoded.
"""

from __future__ import annotations

import numpy as np

from classifiers.ensemble import N_CANDIDATES
from classifiers.speaking import speaking_words
from labelling.jobs.lease import Lease
from labelling.jobs.rounds.memory import Memory, recall
from labelling.jobs.rounds.querying import Known, Seen
from labelling.jobs.vectors import Space
from labelling.models import Query, Round, Verdict

# More documents of a round than these have no words marked.
MAX_DOCUMENTS = 200


def note_for_people(lease: Lease[Round]) -> None:
    """Note it on the questions that wait for people; audits, which they decide on blind, are left out."""
    queries = _waiting(lease.job)
    if not queries:
        return
    better = _suggested_labels(queries)
    _note_examples(lease.job, queries, better)
    _note_words(lease.job, queries, better)
    with lease.transaction():
        Query.objects.bulk_update(queries, ["words", "suggested"], batch_size=100)


def _waiting(round_: Round) -> list[Query]:
    waiting = Query.objects.filter(queue_entry__round=round_, queue_entry__answer_first=False, words={})
    waiting = waiting.exclude(reason__in=Query.BLIND).filter(document__prediction__isnull=False)
    return list(waiting.select_related("document__prediction").order_by("queue_entry__priority")[:MAX_DOCUMENTS])


def _suggested_labels(queries: list[Query]) -> dict[int, int | None]:
    """By document: the label that the judge suggested in its last answer."""
    verdicts = Verdict.objects.filter(query__document__in=[query.document_id for query in queries])
    return dict(verdicts.order_by("pk").values_list("query__document", "better_label"))


def _note_examples(round_: Round, queries: list[Query], better: dict[int, int | None]) -> None:
    missing = [
        (query, label_id)
        for query in queries
        if (label_id := better.get(query.document_id)) and label_id not in query.labels_with_examples
    ]
    if not missing:
        return
    known = Known.of(round_.project)
    X = Space.of(round_.project).load([query.document.text_hash for query, _ in missing])
    for (query, label_id), x in zip(missing, X, strict=True):
        query.suggested = known.nearest_of(Seen.of(query.document.prediction, x), label_id)


def _note_words(round_: Round, queries: list[Query], better: dict[int, int | None]) -> None:
    memory, space = recall(round_.project), Space.of(round_.project)
    # The article's combination is not kept, and an older model has other reasons.
    if memory is None or memory.round_number != round_.number or not memory.has_learnt_in(space):
        return
    codes = {label_id: code for code, label_id in enumerate(memory.label_ids)}
    pairs = {query.pk: _likeliest_two(query, better.get(query.document_id), codes) for query in queries}
    asked = [query for query in queries if pairs[query.pk]]
    found = speaking_words(
        [query.document.text for query in asked],
        [(codes[one], codes[other]) for one, other in (pairs[query.pk] for query in asked)],
        lambda texts: _probabilities(memory, space, texts),
    )
    for query, spans in zip(asked, found, strict=True):
        query.words = dict(zip(map(str, pairs[query.pk]), spans, strict=True))


def _likeliest_two(query: Query, better_id: int | None, codes: dict[int, int]) -> tuple[int, ...]:
    """The label that people are shown as predicted and its rival, see Evidence.rival; nothing without a rival."""
    prediction = query.document.prediction
    beliefs = {pk: belief for pk, belief in prediction.beliefs.items() if pk is not None}
    ranked = sorted(beliefs, key=lambda pk: -beliefs[pk])
    wanted = [prediction.likeliest_id, *([better_id] if better_id else []), *ranked]
    return tuple(pk for pk in dict.fromkeys(wanted) if pk in codes)[:2] if prediction.likeliest_id in codes else ()


def _probabilities(memory: Memory, space: Space, texts: list[str]) -> np.ndarray:
    found = memory.model.candidates(space.encode(texts), N_CANDIDATES, texts)
    probabilities = np.zeros((len(texts), len(memory.label_ids)), dtype=np.float32)
    np.put_along_axis(probabilities, found.labels, found.probabilities.astype(np.float32), axis=1)
    return probabilities
