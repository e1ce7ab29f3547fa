"""Documents."""

from typing import Annotated, Any, Literal

from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from ninja import Path, Query, Router, Schema, Status
from pydantic import Field

from labelling.api.access import MANAGE, READ, Request
from labelling.api.adding import KEYED, added
from labelling.api.fields import Key, Metadata, Name, Short, Words
from labelling.api.imports import ShownImport, shown_import
from labelling.api.paging import Page, Place, page
from labelling.models import Document
from labelling.services import documents as services
from labelling.services import finding

router = Router()

DocumentKey = Annotated[Key, Path()]
Show = Literal["", "pool", "queue", "settled", "human", "judge", "seed", "holdout", "skipped", "flagged"]


class Filter(Place):
    """Which documents: those of one kind, whose text has the words, that have got a label, and so on.

    ``q``: each word may be the beginning of a longer one; between quotation marks stand whole words in a row.
    ``external_id``: of a line that came in. ``predicted``: the label that is believed most, between ``least`` and
    ``most``. ``verdict``: what the judge said. ``column`` and ``value``: of the metadata.
    """

    show: Show = ""
    q: Words = ""
    external_id: Short = ""
    label: Key | None = None
    below: bool = False
    predicted: Key | None = None
    certified: Literal["", "yes", "no"] = ""
    least: Annotated[float | None, Field(ge=0, le=1)] = None
    most: Annotated[float | None, Field(ge=0, le=1)] = None
    verdict: Literal["", "valid", "invalid", "unsure"] = ""
    column: Short = ""
    value: Words = ""


class NewDocument(Schema):
    text: Annotated[Words, Field(min_length=1)]
    external_id: Short = ""
    label: Short = ""
    metadata: Metadata = {}


class NewDocuments(Schema):
    documents: Annotated[list[NewDocument], Field(min_length=1, max_length=1_000)]


class Changes(Schema):
    """Values to put in the place of those with the same names; an empty one removes its name."""

    metadata: Metadata


class NamedLabel(Schema):
    id: int
    name: Name


class ShownDocument(Schema):
    """``source``: seed, judge or human, model for a prediction, holdout; empty where there is no label yet.

    With a source and no label it belongs to none of the labels.
    """

    id: int
    external_id: str
    text: str
    metadata: dict[str, Any]
    label: NamedLabel | None
    source: str
    probability: float | None


@router.get("/{slug}/documents", response=Page[ShownDocument], auth=READ)
def list_documents(request: Request, slug: str, which: Query[Filter]) -> dict[str, Any]:
    """The documents, by the filters of the page."""
    label, predicted = (
        get_object_or_404(request.project.labels, pk=pk) if pk else None for pk in (which.label, which.predicted)
    )
    asked = finding.Criteria(
        show=which.show,
        words=which.q.strip(),
        own_id=which.external_id,
        label=label,
        below=which.below,
        predicted=predicted,
        certified=which.certified,
        least=which.least,
        most=which.most,
        verdict=which.verdict,
        column=which.column,
        value=which.value,
    )
    found = finding.find(request.project, request.auth.user, asked)
    return page(finding.for_pages(request.project, found), which, _shown)


@router.post("/{slug}/documents", response={201: ShownImport}, auth=MANAGE, openapi_extra=KEYED)
@added
def add_documents(request: Request, slug: str, body: NewDocuments) -> ShownImport:
    """Bring texts in, as an import whose progress can be followed; those with a label are seed examples."""
    texts = [services.NewText(new.text, new.external_id, new.label, new.metadata) for new in body.documents]
    return shown_import(services.add(request.project, texts, request.auth.user))


@router.get("/{slug}/documents/{pk}", response=ShownDocument, auth=READ)
def get_document(request: Request, slug: str, pk: DocumentKey) -> ShownDocument:
    """One document."""
    return _shown(get_object_or_404(_all(request), pk=pk))


@router.patch("/{slug}/documents/{pk}", response=ShownDocument, auth=MANAGE)
def change_document(request: Request, slug: str, pk: DocumentKey, body: Changes) -> ShownDocument:
    """Change what stands beside a text."""
    document = get_object_or_404(_all(request), pk=pk)
    services.change_metadata(document, body.metadata)
    return _shown(document)


@router.delete("/{slug}/documents/{pk}", response={204: None}, auth=MANAGE)
def delete_document(request: Request, slug: str, pk: DocumentKey) -> Status:
    """Delete a document that no evidence rests on."""
    services.delete(get_object_or_404(request.project.documents, pk=pk))
    return Status(204, None)


def _all(request: Request) -> QuerySet[Document]:
    return finding.for_pages(request.project, request.project.documents.all())


def _shown(document: Document) -> ShownDocument:
    label, source, probability = services.shown(document) or (None, "", None)
    return ShownDocument(
        id=document.pk,
        external_id=document.external_id,
        text=document.text,
        metadata=document.metadata,
        label=NamedLabel(id=label.pk, name=label.name) if label else None,
        source=source,
        probability=probability,
    )
