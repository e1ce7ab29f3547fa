"""The certificate: what is promised, on what evidence, and how to begin anew."""

from __future__ import annotations

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from labelling.models import Certificate, Project
from labelling.services import Refused, levels, watching
from labelling.services import certificates as services
from labelling.views.access import Request, manager_view, project_view

PER_PAGE = 50


@project_view
def certificate(request: Request, project: Project) -> HttpResponse:
    """Everything behind the project's certificate."""
    looks = project.certificates.select_related("round").filter(ledger=project.restarts)
    page = Paginator(services.told(project), PER_PAGE).get_page(request.GET.get("page"))
    page.object_list = services.audit_rows(project, list(page.object_list))  # type: ignore[assignment]
    context = {
        "project": project,
        "is_manager": project.is_managed_by(request.user),
        "promise": services.promise(project),
        "levels": levels.shown(project),
        "drift": watching.last_look(project),
        "ledger_level": services.level_of(project),
        "looks": looks,
        "points": [_point(look) for look in reversed(looks)],
        "cohorts": services.cohorts(project),
        "page": page,
        "n_open": services.draws(project).count() - page.paginator.count,
    }
    return render(request, "labelling/certificate.html", context)


@manager_view
def restart(request: Request, project: Project) -> HttpResponse:
    """Say what it costs to begin the ledger anew, then do it."""
    if request.method != "POST":
        price = services.price_of_restart(project)
        return render(request, "labelling/restart.html", {"project": project, "price": price})
    try:
        services.begin_anew(project)
    except Refused as refusal:
        messages.error(request, str(refusal))
    else:
        messages.success(request, _("The ledger begins anew with the next round."))
    return redirect("certificate", project.slug)


@require_POST
@manager_view
def watch_anew(request: Request, project: Project) -> HttpResponse:
    """Begin to watch later texts anew."""
    watching.begin_anew(project)
    messages.success(request, _("Texts that come from now on are watched anew."))
    return redirect("certificate", project.slug)


def _point(look: Certificate) -> dict[str, float | int | None]:
    """A look as the plot draws it; nothing where it could say nothing."""
    return {"n": look.n, "bound": None if look.n_catching_up or not look.n else look.bound, "limit": look.limit}
