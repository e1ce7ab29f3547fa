"""What went wrong, as problem details (RFC 9457)."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from django.core.exceptions import PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.core.exceptions import ValidationError as ModelError
from django.http import Http404, HttpRequest, HttpResponse
from django.http.multipartparser import MultiPartParserError
from django.utils.translation import gettext as _
from ninja import NinjaAPI, Schema
from ninja.errors import HttpError, ValidationError

from labelling.csv_io.formats import NotCsv
from labelling.services import Refused
from labelling.services.releases import Damaged
from labelling.services.suggesting import NotServed

MEDIA_TYPE = "application/problem+json"


class Problem(Schema):
    """Why a request was not answered."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    errors: list[dict[str, Any]] = []


def explain(api: NinjaAPI) -> None:
    """Answer every exception that is meant for people with a problem."""
    by_status: dict[int, tuple[type[Exception], ...]] = {
        400: (SuspiciousOperation, MultiPartParserError),
        403: (PermissionDenied,),
        409: (Refused, Damaged),
        413: (RequestDataTooBig,),
        422: (NotCsv,),
        503: (NotServed,),
    }
    for status, kinds in by_status.items():
        for kind in kinds:
            api.add_exception_handler(kind, _handler(status))
    api.add_exception_handler(Http404, _nothing)
    api.add_exception_handler(HttpError, _http)
    api.add_exception_handler(ValidationError, _invalid)
    api.add_exception_handler(ModelError, _refused)


def problem(status: int, detail: str, errors: list[dict[str, Any]] | None = None) -> HttpResponse:
    """A response that says what is wrong."""
    found = Problem(title=HTTPStatus(status).phrase, status=status, detail=detail, errors=errors or [])
    return HttpResponse(found.model_dump_json(), status=status, content_type=MEDIA_TYPE)


def _handler(status: int):
    def handle(request: HttpRequest, error: Exception) -> HttpResponse:
        return problem(status, str(error))

    return handle


def _nothing(request: HttpRequest, error: Exception | type[Exception]) -> HttpResponse:
    return problem(404, _("There is nothing at this address."))


def _http(request: HttpRequest, error: Any) -> HttpResponse:
    return problem(error.status_code, str(error))


def _invalid(request: HttpRequest, error: Any) -> HttpResponse:
    return problem(422, _("The request has mistakes."), error.errors)


def _refused(request: HttpRequest, error: Any) -> HttpResponse:
    told = [{"loc": ["body", name], "msg": " ".join(words)} for name, words in error.message_dict.items()]
    return problem(422, _("The request has mistakes."), told)
