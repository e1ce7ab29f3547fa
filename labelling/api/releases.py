"""Releases and the export."""

from datetime import datetime
from typing import Annotated, Any

from django.http import FileResponse, Http404, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import get_object_or_404
from ninja import Path, Router, Schema
from pydantic import StringConstraints

from labelling.api.access import MANAGE, READ, Request
from labelling.api.adding import KEYED, added
from labelling.api.fields import Number, Storable
from labelling.api.jobs import Job
from labelling.api.paging import Page, PlaceInQuery, page
from labelling.models import Release
from labelling.services import access
from labelling.services import releases as services
from labelling.services.exports import export_lines

router = Router()

ReleaseNumber = Annotated[Number, Path()]
CSV = "text/csv; charset=utf-8"
BINARY = {"schema": {"type": "string", "format": "binary"}}


class NewRelease(Schema):
    note: Annotated[Storable, StringConstraints(max_length=2_000)] = ""


class ShownRelease(Job):
    """A release, with what is promised of it and its files once it is done."""

    number: int
    note: str
    created_at: datetime
    counts: dict[str, int]
    certificate: dict[str, Any]
    files: dict[str, Any]


@router.get("/{slug}/releases", response=Page[ShownRelease], auth=READ)
def list_releases(request: Request, slug: str, place: PlaceInQuery) -> dict[str, Any]:
    """All releases."""
    return page(request.project.releases.all(), place, ShownRelease.from_orm)


@router.post("/{slug}/releases", response={201: ShownRelease}, auth=MANAGE, openapi_extra=KEYED)
@added
def deliver(request: Request, slug: str, body: NewRelease) -> ShownRelease:
    """Freeze the data set as it is now."""
    return ShownRelease.from_orm(services.start(request.project, request.auth.user, body.note))


@router.get("/{slug}/releases/{number}", response=ShownRelease, auth=READ)
def get_release(request: Request, slug: str, number: ReleaseNumber) -> Release:
    """One release, or how far it is."""
    return get_object_or_404(request.project.releases, number=number)


@router.get(
    "/{slug}/releases/{number}/files/{name}",
    auth=READ,
    openapi_extra={"responses": {200: {"description": "The file.", "content": {"application/octet-stream": BINARY}}}},
)
def get_file(request: Request, slug: str, number: ReleaseNumber, name: str) -> HttpResponseBase:
    """One of a release's files, if it is still what was released."""
    release = get_object_or_404(request.project.releases, number=number, state=Release.State.DONE)
    access.check_may_export(request.auth.user, request.project)
    if name not in release.files:
        raise Http404
    return FileResponse(services.take(release, name), content_type="application/octet-stream")


@router.get(
    "/{slug}/export.csv",
    auth=READ,
    openapi_extra={"responses": {200: {"description": "The documents.", "content": {"text/csv": BINARY}}}},
)
def export(request: Request, slug: str) -> HttpResponseBase:
    """All documents with their labels as they are now."""
    access.check_may_export(request.auth.user, request.project)
    return StreamingHttpResponse(export_lines(request.project, for_programs=True), content_type=CSV)
