"""Imports."""

from typing import Annotated, Any

from django.conf import settings
from django.shortcuts import get_object_or_404
from django.utils.translation import gettext as _
from ninja import File, Form, Path, Router, Schema
from ninja.errors import HttpError
from ninja.files import UploadedFile
from pydantic import Field

from labelling.api.access import MANAGE, Request
from labelling.api.adding import KEYED, added
from labelling.api.fields import Key, Short, Storable
from labelling.api.jobs import Job
from labelling.api.paging import Page, PlaceInQuery, page
from labelling.models import CsvImport
from labelling.services import imports as services
from labelling.services import queueing

router = Router()

ImportKey = Annotated[Key, Path()]


class Reading(Schema):
    """How to read a file; what is not given is guessed."""

    text_column: Short | None = None
    label_column: Short | None = None
    id_column: Short | None = None
    holdout_percent: Annotated[int, Field(ge=0, le=100)] = 0
    keep_good_rows: bool = False


class Answers(Schema):
    """By the key of a question: the value that is chosen."""

    answers: dict[Storable, Storable]


class ShownImport(Job):
    """An import. Waiting, it has ``questions``, or rows that were rejected: see ``problems``."""

    id: int
    filename: str
    counts: dict[str, int]
    questions: list[dict[str, Any]]
    problems: list[dict[str, Any]]


def shown_import(csv_import: CsvImport) -> ShownImport:
    """What is said of an import."""
    return ShownImport.from_orm(csv_import)


@router.get("/{slug}/imports", response=Page[ShownImport], auth=MANAGE)
def list_imports(request: Request, slug: str, place: PlaceInQuery) -> dict[str, Any]:
    """All imports."""
    return page(request.project.imports.all(), place, shown_import)


@router.post("/{slug}/imports", response={201: ShownImport}, auth=MANAGE, openapi_extra=KEYED)
@added
def start_import(request: Request, slug: str, file: File[UploadedFile], reading: Form[Reading]) -> ShownImport:
    """Bring a file in."""
    if (file.size or 0) > settings.MAX_UPLOAD_MB * 1024 * 1024:
        raise HttpError(413, _("At most %(n)s MB are allowed.") % {"n": settings.MAX_UPLOAD_MB})
    csv_import = services.upload(request.project, file, request.auth.user)
    for name, value in reading.model_dump(exclude_none=True).items():
        setattr(csv_import, name, value)
    services.start(csv_import)
    return shown_import(csv_import)


@router.get("/{slug}/imports/{pk}", response=ShownImport, auth=MANAGE)
def get_import(request: Request, slug: str, pk: ImportKey) -> CsvImport:
    """How far an import is, and what it asks."""
    return get_object_or_404(request.project.imports, pk=pk)


@router.post("/{slug}/imports/{pk}/answers", response=ShownImport, auth=MANAGE)
def answer_import(request: Request, slug: str, pk: ImportKey, body: Answers) -> CsvImport:
    """Answer what an import asks; it goes on."""
    csv_import = get_object_or_404(request.project.imports, pk=pk)
    services.answer(csv_import, body.answers)
    return csv_import


@router.post("/{slug}/imports/{pk}/keep-good-rows", response=ShownImport, auth=MANAGE)
def keep_good_rows(request: Request, slug: str, pk: ImportKey) -> CsvImport:
    """Import what is in order although rows were rejected."""
    csv_import = get_object_or_404(request.project.imports, pk=pk)
    services.keep_good_rows(csv_import)
    return csv_import


@router.post("/{slug}/imports/{pk}/cancel", response=ShownImport, auth=MANAGE)
def cancel_import(request: Request, slug: str, pk: ImportKey) -> CsvImport:
    """Cancel an import; what it has written stays."""
    csv_import = get_object_or_404(request.project.imports, pk=pk)
    queueing.cancel(csv_import)
    csv_import.refresh_from_db()
    return csv_import
