"""Labels and their definitions."""

from datetime import datetime
from typing import Annotated, Any

from django.shortcuts import get_object_or_404
from ninja import Path, Router, Schema, Status

from labelling.api.access import MANAGE, READ, Request
from labelling.api.adding import KEYED, added
from labelling.api.fields import Key, Name, Words
from labelling.api.paging import Page, PlaceInQuery, page
from labelling.models import Label
from labelling.services import label_life
from labelling.services import labels as services

router = Router()

LabelKey = Annotated[Key, Path()]


class NewLabel(Schema):
    name: Name
    definition: Words = ""
    synonyms: Words = ""


class Changes(Schema):
    """What is given is changed; another definition becomes the next version."""

    name: Name | None = None
    definition: Words | None = None
    synonyms: Words | None = None


class ShownLabel(Schema):
    """Of the tree it tells the parent's id; one that was merged or retired has its time in ``retired_at``."""

    id: int
    code: str
    name: str
    parent_id: int | None
    retired_at: datetime | None
    definition: str
    definition_version: int
    synonyms: str


@router.get("/{slug}/labels", response=Page[ShownLabel], auth=READ)
def list_labels(request: Request, slug: str, place: PlaceInQuery) -> dict[str, Any]:
    """All labels."""
    return page(request.project.labels.all(), place, ShownLabel.from_orm)


@router.post("/{slug}/labels", response={201: ShownLabel}, auth=MANAGE, openapi_extra=KEYED)
@added
def add_label(request: Request, slug: str, body: NewLabel) -> ShownLabel:
    """Add a label; its name is another one than those of the project's labels."""
    user = request.auth.user
    return ShownLabel.from_orm(services.add(request.project, body.name, body.definition, body.synonyms, user))


@router.get("/{slug}/labels/{pk}", response=ShownLabel, auth=READ)
def get_label(request: Request, slug: str, pk: LabelKey) -> Label:
    """One label."""
    return get_object_or_404(request.project.labels, pk=pk)


@router.patch("/{slug}/labels/{pk}", response=ShownLabel, auth=MANAGE)
def change_label(request: Request, slug: str, pk: LabelKey, body: Changes) -> Label:
    """Change a label."""
    label = get_object_or_404(request.project.labels, pk=pk)
    return label_life.change(label, **body.model_dump(), user=request.auth.user)


@router.delete("/{slug}/labels/{pk}", response={204: None}, auth=MANAGE)
def delete_label(request: Request, slug: str, pk: LabelKey) -> Status:
    """Delete a label that nothing uses."""
    services.delete_label(get_object_or_404(request.project.labels, pk=pk))
    return Status(204, None)
