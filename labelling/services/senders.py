"""Who sends a request that is larger than any form: asked before it is read."""

from __future__ import annotations

from http.cookies import CookieError, SimpleCookie
from importlib import import_module

from django.conf import settings
from django.contrib.auth import get_user
from django.contrib.auth.models import AnonymousUser, User
from django.http import HttpRequest

from labelling.models import Project
from labelling.services import access, tokens

BEARER = "Bearer "


def find_sender(headers: dict[str, str]) -> int | None:
    """Return the key of the user who sends a request with these headers, in lower case; None for who may not upload."""
    user = _of_token(headers.get("authorization", "")) or _of_session(headers.get("cookie", ""))
    if user is None:
        return None
    # Who makes projects may bring one along in a file.
    return user.pk if access.may_create_projects(user) or Project.objects.visible_to(user).exists() else None


def _of_token(authorization: str) -> User | None:
    token = tokens.find(authorization.removeprefix(BEARER)) if authorization.startswith(BEARER) else None
    return token.user if token else None


def _of_session(cookie: str) -> User | None:
    try:
        morsel = SimpleCookie(cookie).get(settings.SESSION_COOKIE_NAME)
    except CookieError:
        return None
    request = HttpRequest()
    request.session = import_module(settings.SESSION_ENGINE).SessionStore(morsel.value if morsel else None)
    user = get_user(request)
    return None if isinstance(user, AnonymousUser) else user
