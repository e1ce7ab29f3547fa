"""Requests that add something: with an Idempotency-Key they add it once, however often they are sent."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import wraps
from http import HTTPStatus
from typing import Any, Concatenate, ParamSpec, TypeVar

from django.core.files.uploadedfile import UploadedFile
from django.utils.translation import gettext as _
from ninja import Schema, Status

from labelling.api.access import Request
from labelling.services import Refused, tokens

P = ParamSpec("P")
Answer = TypeVar("Answer", bound=Schema)

KEY = "Idempotency-Key"
MAX_KEY = 200
# What OpenAPI says of such a request.
KEYED = {
    "parameters": [
        {
            "name": KEY,
            "in": "header",
            "required": False,
            "description": "Any word: sent again with the same one within a week, a request adds nothing.",
            "schema": {"type": "string", "maxLength": MAX_KEY},
        }
    ]
}


def added(view: Callable[Concatenate[Request, P], Answer]) -> Callable[Concatenate[Request, P], Status]:
    """Answer a request that adds something with 201, and the same one a second time as the first time."""

    @wraps(view)
    def once(request: Request, *args: P.args, **kwargs: P.kwargs) -> Status:
        def add() -> tuple[int, dict[str, Any]]:
            return int(HTTPStatus.CREATED), view(request, *args, **kwargs).model_dump(mode="json")

        key = request.headers.get(KEY)
        if not key:
            return Status(*add())
        if len(key) > MAX_KEY:
            raise Refused(_("An idempotency key has at most %(n)s characters.") % {"n": MAX_KEY})
        asked = f"{request.method} {request.get_full_path()}\n".encode() + _body(request)
        return Status(*tokens.once(request.auth, key, asked, add))

    return once


def _body(request: Request) -> bytes:
    """The body; of a form, which is read as a stream, its fields and the digests of its files."""
    if request.content_type != "multipart/form-data":
        return request.body
    files = sorted((name, _digest(file)) for name, file in request.FILES.items() if isinstance(file, UploadedFile))
    return repr((sorted(request.POST.items()), files)).encode()


def _digest(file: UploadedFile) -> str:
    digest = hashlib.sha256()
    for chunk in file.chunks():
        digest.update(chunk)
    file.seek(0)
    return digest.hexdigest()
