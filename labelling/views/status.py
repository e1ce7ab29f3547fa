"""Is it running?"""

from __future__ import annotations

from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render


def worker(request: HttpRequest) -> HttpResponse:
    """The banner that appears on every page while no worker runs."""
    return render(request, "_worker.html")


@login_not_required
def health(request: HttpRequest) -> HttpResponse:
    """For load balancers and supervisors: the web process answers."""
    return HttpResponse("ok", content_type="text/plain")
