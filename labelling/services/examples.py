"""What each document's current label is: the one place that turns evidence into training examples."""

from __future__ import annotations

from django.db import transaction

from labelling.models import Decision, Document, Label, Round, TrainingExample, Verdict
from labelling.models.documents import Source


@transaction.atomic
def settle(document: Document) -> TrainingExample | None:
    """Make a document's training example agree with the evidence: human over judge over given label.

    An example whose label or source changes is a new one, which no round has learnt from yet.
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


def accept_verdicts(round_: Round) -> int:
    """Turn a round's valid verdicts into training examples, people's labels kept; return how many."""
    valid = round_.queries.filter(verdict__verdict=Verdict.Name.VALID, document__example=None, document__holdout=False)
    examples = [
        TrainingExample(document_id=query.document_id, label_id=query.label_id, source=Source.JUDGE) for query in valid
    ]
    return len(TrainingExample.objects.bulk_create(examples))


def _label_and_source(document: Document) -> tuple[Label | None, str] | None:
    if document.holdout:
        return None
    decision = document.decisions.filter(action__in=Decision.LABELLING, withdrawn_by=None).first()
    if decision:
        return decision.label, Source.HUMAN
    verdict = (
        Verdict.objects.filter(query__document=document, verdict=Verdict.Name.VALID)
        .filter(query__round__settled_at__isnull=False, query__round__settings__auto_accept="valid")
        .order_by("-pk")
        .first()
    )
    if verdict:
        return verdict.query.label, Source.JUDGE
    if document.given_source:
        return document.given_label, document.given_source
    return None
