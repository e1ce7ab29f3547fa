"""What each document's current label is: the one place that turns evidence into training examples."""

from __future__ import annotations

from collections.abc import Sequence

from django.db import transaction
from django.db.models import QuerySet

from labelling.models import Decision, Document, People, Prediction, TrainingExample
from labelling.models.documents import Source


@transaction.atomic(savepoint=False)
def settle(document_id: int) -> TrainingExample | None:
    """Make a document's training example agree with what people say of it, or else with the label it came with.

    What was accepted from the judge goes when a person decides; when they take that back, the document is in the pool
    again, and a later round may accept it anew. An example whose label or source changes is a new one, which no round
    has learnt from yet.
    """
    # Two people who decide on one document take turns.
    document = Document.objects.select_for_update().get(pk=document_id)
    # Not joined to the line above: PostgreSQL would give what stood before the turn came.
    current = TrainingExample.objects.filter(document=document).first()
    wanted = _label_and_source(document)
    if current and wanted == (current.label_id, current.source):
        return current
    if current:
        current.delete()
    if wanted is None:
        return None
    label_id, source = wanted
    return TrainingExample.objects.create(document=document, label_id=label_id, source=source)


def accept_from_judge(settled: QuerySet[Prediction]) -> int:
    """Turn beliefs that the judge's verdicts made certain into training examples; return how many.

    ``settled`` are documents of the pool: a label that is there is never replaced.
    """
    rows = settled.order_by("document").values_list("document", "posterior_label")
    examples = [
        TrainingExample(document_id=document_id, label_id=label_id, source=Source.JUDGE)
        for document_id, label_id in rows
    ]
    return len(TrainingExample.objects.bulk_create(examples))


def is_settled(standing: Sequence[Decision]) -> bool:
    """Whether a document's standing decisions, the last one first, say together which label it has.

    The last of them does, unless it is one of two that must agree.
    """
    last = standing[0]
    if last.people != People.TWO:
        return True
    pair = [decision for decision in standing if decision.query_id == last.query_id and decision.people == People.TWO]
    return len(pair) > 1 and len({decision.label_id for decision in pair}) == 1


def _label_and_source(document: Document) -> tuple[int | None, str] | None:
    """The key of the label that a document has by now, None for none of these, and who gave it; None: no label yet."""
    if document.holdout:
        return None
    standing = list(document.decisions.standing())
    if standing and is_settled(standing):
        return standing[0].label_id, Source.HUMAN
    if document.given_source:
        return document.given_label_id, document.given_source
    return None
