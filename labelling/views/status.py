"""Is it running, and what is in its way?"""

from __future__ import annotations

import hmac
import sys

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.db import Error as AnyDatabaseError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.template.loader import render_to_string
from django.utils.translation import gettext as _

from labelling.services import diary, operations
from labelling.services.operations import NO_ROOM, NOT_WRITABLE, Health

LOOPBACK = ("127.0.0.1", "::1")


def worker(request: HttpRequest) -> HttpResponse:
    """The banner that appears on every page while no worker runs, and the bell as it is now."""
    return render(request, "_news.html")


@login_not_required
def health(request: HttpRequest) -> HttpResponse:
    """For load balancers and supervisors: "ok", or 503. Staff are told more."""
    found = operations.look()
    status = 200 if found.answers else 503
    if found.database and request.user.is_authenticated and request.user.is_staff:
        return JsonResponse(_details(found), status=status)
    return HttpResponse("ok" if found.answers else "not well", content_type="text/plain", status=status)


def _details(found: Health) -> dict[str, object]:
    jobs = [{"kind": kind, "state": state, "n": n} for (kind, state), n in sorted(found.jobs.items())]
    return {
        "version": settings.VERSION,
        "database": found.database,
        "workers": found.workers,
        "jobs": jobs,
        "oldest_job_seconds": round(found.seconds_waiting),
        "disk_free_mb": found.free_bytes // 2**20,
    }


@login_not_required
def metrics(request: HttpRequest) -> HttpResponse:
    """For Prometheus, by METRICS_TOKEN; without one, for programs on this machine alone."""
    given = request.headers.get("Authorization", "").removeprefix("Bearer ")
    by_token = settings.METRICS_TOKEN and hmac.compare_digest(given.encode(), settings.METRICS_TOKEN.encode())
    local = not settings.METRICS_TOKEN and diary.address() in LOOPBACK and "X-Forwarded-For" not in request.headers
    if not (by_token or local):
        raise Http404
    return HttpResponse(operations.metrics(), content_type="text/plain; version=0.0.4; charset=utf-8")


def server_error(request: HttpRequest) -> HttpResponse:
    """The page for what went wrong; it says what is known of it, and asks nothing of the database."""
    status, reason = _why(sys.exception())
    return HttpResponse(render_to_string("500.html", {"reason": reason}), status=status)


def _why(error: BaseException | None) -> tuple[int, str]:
    code = error.errno if isinstance(error, OSError) else None
    said = str(error) if isinstance(error, AnyDatabaseError) else ""
    if code in NO_ROOM or "is full" in said or "No space left" in said:
        return 507, _("The server's disk is full. Nothing of this was saved. Tell its administrator.")
    if code in NOT_WRITABLE or "readonly" in said or "read-only" in said:
        return 507, _("The server can't write to its disk. Nothing of this was saved. Tell its administrator.")
    if isinstance(error, FileNotFoundError):
        return 500, _("A file is gone from the server. Tell its administrator.")
    if isinstance(error, AnyDatabaseError):
        return 503, _("The database does not answer. Nothing of this was saved. Try again in a moment.")
    return 500, _("The error is in the server's log. Nothing you saved before is lost.")
