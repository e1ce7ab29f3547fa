"""A query's question, as the judge is asked it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from classifiers.judge import Example, Question, Rival
from labelling.models import Document, Label, Query, Round

# Further rivals of one text, beyond those that all texts of the label share.
N_OTHERS = 2
# Examples of each label, where the judge is to choose among them: as many of each, so that nothing shows.
N_EXAMPLES_OFFERED = 3
# Queries whose questions are put together at a time: their examples' texts are held in memory.
CHUNK_QUERIES = 200


def questions(round_: Round, queries: Iterable[Query]) -> Iterator[tuple[Query, Question]]:
    """Put each query's question together, with the definitions as they are now; ``label`` is what it saw."""
    labels = {label.pk: label for label in round_.project.labels.all()}
    iterator = iter(queries)
    while chunk := list(islice(iterator, CHUNK_QUERIES)):
        shown = {row[0] for query in chunk for row in (*query.examples, *query.neighbours)}
        texts = dict(Document.objects.filter(pk__in=shown).values_list("pk", "text"))
        for query in chunk:
            query.label = labels[query.label_id]
            yield query, _question(round_, query, labels, texts)


def _question(round_: Round, query: Query, labels: dict[int, Label], texts: dict[int, str]) -> Question:
    def rivals(label_ids: Iterable[int]) -> list[Rival]:
        return [Rival(labels[pk].name, labels[pk].definition) for pk in label_ids if pk in labels]

    def examples(evidence: Iterable[Any]) -> list[Example]:
        return [
            Example(texts[document_id], labels[label_id].name if label_id else None, similarity)
            for document_id, label_id, similarity in evidence
            if document_id in texts
        ]

    shared = round_.rivals.get(str(query.label_id), [])
    chosen = query.form == Query.Form.CHOOSE
    return Question(
        text=query.document.text,
        label=labels[query.label_id].name,
        definition=labels[query.label_id].definition,
        task=round_.project.task,
        rivals=rivals(shared),
        others=[] if chosen else rivals(_others(query, shared)),
        offered=rivals(query.offered),
        examples=examples(_of_each(query) if chosen else query.compared_examples),
        neighbours=examples(query.neighbours),
    )


def _others(query: Query, shared: list[int]) -> list[int]:
    known = {query.label_id, *shared}
    return [label_id for label_id, _ in query.candidates if label_id not in known][:N_OTHERS]


def _of_each(query: Query) -> list[list]:
    """The nearest examples of each label that is offered, in the order in which they are offered."""
    by_label: dict[int, list[list]] = {label_id: [] for label_id in query.offered}
    for row in query.examples:
        by_label.get(row[1], []).append(row)
    return [row for rows in by_label.values() for row in rows[:N_EXAMPLES_OFFERED]]
