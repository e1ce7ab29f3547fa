"""What each document's current label is: the one place that turns evidence into training examples."""

from __future__ import annotations

from django.db import transaction
from django.db.models import QuerySet

from labelling.models import Decision, Document, Label, Prediction, TrainingExample
from labelling.models.documents import Source


@transaction.atomic
def settle(document: Document) -> TrainingExample | None:
    """Make a document's training example agree with what people say of it, or else with the label it came with.

    What was accepted from the judge goes when a person decides; when they take that back, the document is in the pool
    again, and a later round may accept it anew. An example whose label or source changes is a new one, which no round
    has learnt from yet.
    """
    # Two people who decide on one document take turns.
    document = Document.objects.select_for_update().get(pk=document.pk)
    current = TrainingExample.objects.filter(document=document).first()
    wanted = _label_and_source(document)
    if current and wanted == (current.label, current.source):
        return current
    if current:
        current.delete()
    if wanted is None:
        return None
    label, source = wanted
    return TrainingExample.objects.create(document=document, label=label, source=source)


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


def _label_and_source(document: Document) -> tuple[Label | None, str] | None:
    if document.holdout:
        return None
    decision = document.decisions.filter(action__in=Decision.LABELLING, withdrawn_by=None).first()
    if decision:
        return decision.label, Source.HUMAN
    if document.given_source:
        return document.given_label, document.given_source
    return None
