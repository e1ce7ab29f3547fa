"""Who may see what: a stranger is told that the project does not exist, a reviewer that it is not theirs to change."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Concatenate, ParamSpec

from django.contrib import messages
from django.contrib.auth.middleware import LoginRequiredMiddleware
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django_htmx.http import HttpResponseClientRefresh
from django_htmx.middleware import HtmxDetails

from labelling.models import Project
from labelling.services import Refused, access

P = ParamSpec("P")

# What can be done with a project in the archive: open it again, delete it, or pack it into a file.
IN_ARCHIVE = ("remove", "pack")


class Request(HttpRequest):
    """A request of somebody who is logged in."""

    user: User
    htmx: HtmxDetails


class LoginRequired(LoginRequiredMiddleware):
    """Ask for a login everywhere, and never inside a page: htmx would put the form where a fragment belongs."""

    def handle_no_permission(self, request, view_func):
        return HttpResponseClientRefresh() if request.htmx else super().handle_no_permission(request, view_func)


ProjectView = Callable[Concatenate[Request, Project, P], HttpResponseBase]


def project_view(view: ProjectView[P]) -> Callable[..., HttpResponseBase]:
    """Hand a view the project named in the address; 404 for those who are not its members."""

    @wraps(view)
    def wrapper(request: Request, slug: str, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
        try:
            project = access.project_of(request.user, slug)
        except access.SecondFactorDemanded as demand:
            return render(request, "labelling/second_factor_demanded.html", {"demand": demand}, status=403)
        if project.archived_at and request.method == "POST" and view.__name__ not in IN_ARCHIVE:
            messages.error(request, _("This project is archived: a manager has to open it again first."))
            return redirect(project)
        return view(request, project, *args, **kwargs)

    return wrapper


def manager_view(view: ProjectView[P]) -> Callable[..., HttpResponseBase]:
    """Like ``project_view``, and 403 for members who are not managers."""

    @wraps(view)
    def only_managers(request: Request, project: Project, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
        access.check_manager(request.user, project)
        return view(request, project, *args, **kwargs)

    return project_view(only_managers)


def administrator_view(view: Callable[Concatenate[Request, P], HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    """403 for all who don't administer the site."""

    @wraps(view)
    def only_administrators(request: Request, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
        access.check_administrator(request.user)
        return view(request, *args, **kwargs)

    return only_administrators


def export_view(view: ProjectView[P]) -> Callable[..., HttpResponseBase]:
    """Like ``project_view``, and 403 for reviewers where only managers export."""

    @wraps(view)
    def only_who_may(request: Request, project: Project, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
        access.check_may_export(request.user, project)
        return view(request, project, *args, **kwargs)

    return project_view(only_who_may)


def attempt(request: Request, service: Callable[..., object], *arguments: object) -> bool:
    """Call a service; when it refuses, show its reason on the next page. Return whether it did what it was to do."""
    try:
        service(*arguments)
    except Refused as refusal:
        messages.error(request, str(refusal))
        return False
    return True


def searched(request: HttpRequest) -> str:
    """What was typed into a search field. PostgreSQL knows no NUL."""
    return request.GET.get("q", "").replace("\0", "").strip()


def sorted_by(request: HttpRequest, sorts: Mapping[str, object]) -> str:
    """Which of the orders the address names; the first where it names none."""
    wanted = request.GET.get("sort", "")
    return wanted if wanted in sorts else next(iter(sorts))


def number(typed: str) -> int:
    """The key that a request names; 0, which no row has, when it is no whole number or too large to be a key."""
    return int(typed) if re.fullmatch("[0-9]{1,18}", typed) else 0
