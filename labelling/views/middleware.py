"""What holds for every request: who acts, and what browsers may keep."""

from __future__ import annotations

from collections.abc import Callable

from django.conf import settings
from django.contrib.auth import logout
from django.contrib.auth.middleware import get_user
from django.http import HttpRequest, HttpResponseBase

from labelling.services import diary, sessions

# Nothing here needs any of it.
PERMISSIONS = ", ".join(
    f"{feature}=()" for feature in ("camera", "display-capture", "geolocation", "microphone", "payment", "usb")
)

Answer = Callable[[HttpRequest], HttpResponseBase]


class Acting:
    """Tell the diary who acts in a request, and from where."""

    def __init__(self, get_response: Answer):
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        with diary.acting(lambda: request.user, _address(request)):
            return self.get_response(request)


class Idle:
    """Log out whoever has shown no sign of life for too long; the parts that a page asks for by itself are none."""

    def __init__(self, get_response: Answer):
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self.get_response(request)

    def process_view(self, request: HttpRequest, *view: object) -> None:
        # Themselves, not Django's lazy stand-in: each query would look through it a dozen times.
        request.user = get_user(request)
        if not request.user.is_authenticated:
            return
        if sessions.is_idle(request.session):
            logout(request)
        elif request.method != "GET" or "HX-Request" not in request.headers:
            sessions.note_life(request.session)


class NothingKept:
    """Pages hold people's texts: no browser and no proxy keeps them."""

    def __init__(self, get_response: Answer):
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        response.headers.setdefault("Cache-Control", "no-store")
        response.headers.setdefault("Permissions-Policy", PERMISSIONS)
        return response


def _address(request: HttpRequest) -> str:
    """Where a request comes from: what the outermost of our own proxies saw."""
    passed = [request.META.get("REMOTE_ADDR", "")]
    if settings.PROXIES:
        passed = [*request.META.get("HTTP_X_FORWARDED_FOR", "").split(","), *passed]
    return passed[-1 - min(settings.PROXIES, len(passed) - 1)].strip()[:45]
