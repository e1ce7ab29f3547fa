"""What each document's current label is: the one place that turns evidence into training examples."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from django.db import transaction
from django.db.models import Exists, OuterRef, Q
from django.utils import timezone

from labelling.models import AuditDraw, Decision, Document, People, Project, SettledLabel, TrainingExample
from labelling.models.documents import Source
from labelling.services import domains

# What settling reads of a document, which has many more columns, and long ones, and of a decision on it.
OF_A_DOCUMENT = ("holdout", "given_label", "given_source", "recoded_from")
OF_A_DECISION = ("query", "people", "label__since", "label__merged_into", "created_at")


@transaction.atomic(savepoint=False)
def settle(document_id: int) -> TrainingExample | None:
    """Make a document's training example agree with what people say of it, or else with the label it came with.

    What was accepted from the judge goes when a person decides; when they take that back, the document is in the pool
    again, and a later round may accept it anew. An example whose label or source changes is a new one, which no round
    has learnt from yet.
    """
    # Two people who decide on one document take turns.
    document = Document.objects.select_for_update().only(*OF_A_DOCUMENT).get(pk=document_id)
    return _agree(document, _label_and_source(document))


def count(document: Document, decision: Decision) -> TrainingExample | None:
    """As ``settle``, after a decision that says by itself, or with those before it, which label its document has.

    Nobody else changes the document before the transaction ends.
    """
    return _agree(document, None if document.holdout else _said(document, decision))


def accept_from_judge(labels: Iterable[tuple[int, int | None]]) -> int:
    """Turn labels that rest on the judge's word into training examples; return how many.

    ``labels``: (document id, label id, None for none of these) of documents of the pool.
    """
    examples = [
        TrainingExample(document_id=document_id, label_id=label_id, source=Source.JUDGE)
        for document_id, label_id in labels
    ]
    return len(TrainingExample.objects.bulk_create(examples))


def give_way(project: Project) -> None:
    """Let what the machine settled leave where the text has come in with its label since, or to measure with.

    What was drawn for an audit stays: that label is the answer, see audits.states.
    """
    drawn = AuditDraw.objects.filter(member__settled=OuterRef("pk"))
    came_in = Q(document__example__source=Source.SEED) | Q(document__holdout=True)
    # By their keys: an update can't join.
    given = project.settled_labels.filter(came_in, ~Exists(drawn), left_at=None).values("pk")
    SettledLabel.objects.filter(pk__in=given).update(left_at=timezone.now(), left_because=SettledLabel.Left.DECIDED)


def leave_to_people(project: Project) -> None:
    """Let what the machine settled before a rule left it to people leave, and what was learnt from it with it.

    What was drawn for an audit stays: a person has decided on it, or will.
    """
    settled = domains.settled_before(project)
    TrainingExample.objects.filter(source=Source.JUDGE, document__in=settled.values("document")).delete()
    leaving = SettledLabel.objects.filter(pk__in=settled.values("pk"))
    leaving.update(left_at=timezone.now(), left_because=SettledLabel.Left.RESERVED)


def is_settled(standing: Sequence[Decision]) -> bool:
    """Whether a document's standing decisions, the last one first, say together which label it has.

    The last of them does, unless it is one of two that must agree.
    """
    last = standing[0]
    if last.people != People.TWO:
        return True
    pair = [decision for decision in standing if decision.query_id == last.query_id and decision.people == People.TWO]
    return len(pair) > 1 and len({decision.label_id for decision in pair}) == 1


def _agree(document: Document, wanted: tuple[int | None, str] | None) -> TrainingExample | None:
    # Not read with the document: PostgreSQL would give what stood before the turn came.
    current = next(iter(TrainingExample.objects.filter(document=document.pk)), None)
    if current and wanted == (current.label_id, current.source):
        return current
    if current:
        current.delete()
    if wanted is None:
        return None
    label_id, source = wanted
    if source == Source.HUMAN:
        _leave_ledger(document.pk)
    return TrainingExample.objects.create(document=document, label_id=label_id, source=source)


def _leave_ledger(document_id: int) -> None:
    """What a person decides unasked is no evidence for the certificate and nothing that it claims.

    Where the decision is on an audit, the label stays in the ledger, right or corrected.
    """
    in_force = SettledLabel.objects.filter(document=document_id, left_at=None)
    if not in_force.exists():
        return
    if not Decision.objects.standing().filter(document=document_id, query__draw__isnull=False).exists():
        in_force.update(left_at=timezone.now(), left_because=SettledLabel.Left.DECIDED)


def _label_and_source(document: Document) -> tuple[int | None, str] | None:
    """The key of the label that a document has by now, None for none of these, and who gave it; None: no label yet."""
    if document.holdout:
        return None
    decisions = Decision.objects.standing().filter(document=document.pk)
    standing = list(decisions.select_related("label").only(*OF_A_DECISION))
    if standing and is_settled(standing):
        return _said(document, standing[0])
    if document.given_source:
        return document.given_label_id, document.given_source
    return None


def _said(document: Document, decision: Decision) -> tuple[int | None, str] | None:
    label = decision.label
    if label and document.recoded_from_id == label.pk and label.since and decision.created_at < label.since:
        # A revision has divided it since: what was said of it tells nothing of its successors.
        return None
    # Evidence keeps the label that was said; what became a part of another one counts as that.
    return (label.merged_into_id or label.pk) if label else None, Source.HUMAN
