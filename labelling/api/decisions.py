"""Decisions: on what waits in the review queue, and on any document."""

from datetime import datetime
from typing import Annotated, Any, Literal

from django.shortcuts import get_object_or_404
from django.utils.translation import gettext as _
from ninja import Path, Router, Schema, Status

from labelling.api.access import LABEL, READ, Request
from labelling.api.adding import KEYED, added
from labelling.api.fields import Key, Storable
from labelling.api.paging import Page, PlaceInQuery, page
from labelling.models import Decision, Label
from labelling.services import Refused, claims, review

router = Router()

EntryKey = Annotated[Key, Path()]


class Labelled(Schema):
    """The label; none for a document that belongs to none of them."""

    label: Key | None


class Answer(Schema):
    """What a person says of a document in the queue; ``label`` when it is another one than the predicted."""

    action: Literal["accept", "override", "none", "skip"]
    label: Key | None = None
    reason: Storable = ""


class Candidate(Schema):
    id: int
    name: str


class Waiting(Schema):
    """A document that is reserved for the token's person, and its predicted label."""

    entry: int
    document: int
    text: str
    metadata: dict[str, Any]
    predicted: Candidate
    reserved_until: datetime | None


class ShownDecision(Schema):
    id: int
    document: int
    action: Decision.Action
    label: int | None
    reviewer: str
    reason: str
    withdraws: int | None
    created_at: datetime


@router.get("/{slug}/decisions", response=Page[ShownDecision], auth=READ)
def list_decisions(request: Request, slug: str, place: PlaceInQuery) -> dict[str, Any]:
    """Everything that people decided, what was taken back and the taking back among it."""
    decisions = Decision.objects.told_to(request.auth.user).filter(document__project=request.project)
    return page(decisions.select_related("reviewer"), place, _shown)


@router.post("/{slug}/documents/{pk}/decisions", response={201: ShownDecision}, auth=LABEL, openapi_extra=KEYED)
@added
def decide_on_document(request: Request, slug: str, pk: EntryKey, body: Labelled) -> ShownDecision:
    """Give any document its label, whether it waits for review or not."""
    document = get_object_or_404(request.project.documents, pk=pk)
    return _shown(review.relabel(document, request.auth.user, _label(request, body.label)))


@router.post("/{slug}/queue/next", response={200: Waiting, 204: None}, auth=LABEL)
def reserve_next(request: Request, slug: str) -> Status:
    """Reserve the next document that waits for this person, or keep the one they have; 204 when none is left."""
    entry = claims.claim_next(request.project, request.auth.user)
    if entry is None:
        return Status(204, None)
    predicted = get_object_or_404(Label, pk=entry.query.predicted_id)
    return Status(
        200,
        Waiting(
            entry=entry.pk,
            document=entry.document_id,
            text=entry.document.text,
            metadata=entry.document.metadata,
            predicted=Candidate(id=predicted.pk, name=predicted.name),
            reserved_until=entry.claimed_until,
        ),
    )


@router.post("/{slug}/queue/{pk}/decisions", response={201: ShownDecision}, auth=LABEL, openapi_extra=KEYED)
@added
def decide(request: Request, slug: str, pk: EntryKey, body: Answer) -> ShownDecision:
    """Say what a document in the queue is; the same answer once more changes nothing."""
    label = _label(request, body.label)
    return _shown(review.decide(request.project, pk, request.auth.user, body.action, label, body.reason[:500]))


@router.delete("/{slug}/decisions/{pk}", response={204: None}, auth=LABEL)
def undo(request: Request, slug: str, pk: EntryKey) -> Status:
    """Take one's own decision back; the document waits again."""
    if review.undo(request.project, request.auth.user, pk) is None:
        raise Refused(_("There is nothing to take back."))
    return Status(204, None)


def _label(request: Request, pk: int | None) -> Label | None:
    return get_object_or_404(request.project.labels, pk=pk) if pk else None


def _shown(decision: Decision) -> ShownDecision:
    return ShownDecision(
        id=decision.pk,
        document=decision.document_id,
        action=Decision.Action(decision.action),
        label=decision.label_id,
        reviewer=decision.reviewer.username if decision.reviewer else "",
        reason=decision.reason,
        withdraws=decision.withdraws_id,
        created_at=decision.created_at,
    )
