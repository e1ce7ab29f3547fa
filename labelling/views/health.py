"""How well labels do: a table, the pairs that are confused, and examples whose label is probably wrong."""

from __future__ import annotations

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from labelling.models import Project
from labelling.services import Refused, labels, suspicions
from labelling.services import health as services
from labelling.services.shares import shares
from labelling.views.access import Request, number, project_view, searched, sorted_by

PER_PAGE = 50
WORST_PAIRS = 20

COLUMNS = {
    "label": gettext_lazy("Label"),
    "examples": gettext_lazy("Examples"),
    "found": gettext_lazy("Found on the holdout"),
    "right": gettext_lazy("Right on the holdout"),
    "audited": gettext_lazy("Right in audits"),
    "overridden": gettext_lazy("Changed by people"),
    "confused": gettext_lazy("Closest rival"),
    "judge": gettext_lazy("Judge right"),
    "suspicious": gettext_lazy("Suspicious"),
    "share": gettext_lazy("Share of the pool"),
}


@project_view
def table(request: Request, project: Project) -> HttpResponse:
    """All leaves with their figures, weak ones first."""
    rows = services.table(project)
    query, shown = searched(request).casefold(), request.GET.get("show", "")
    keeps = services.FILTERS.get(shown, services.FILTERS[""])[1]
    rows = [row for row in rows if keeps(row) and query in str(row.label).casefold()]
    sort = sorted_by(request, services.SORTS)
    rows.sort(key=services.SORTS[sort])
    context = {
        "project": project,
        "page": Paginator(rows, PER_PAGE).get_page(request.GET.get("page")),
        "columns": COLUMNS,
        "filters": {name: words for name, (words, _keeps) in services.FILTERS.items()},
        "show": shown,
        "sort": sort,
        "query": query,
        "shares": shares(project),
    }
    return render(request, "labelling/health.html", context)


@project_view
def confusion(request: Request, project: Project) -> HttpResponse:
    """The pairs that are confused most, and both definitions of one of them side by side, which managers edit here."""
    is_manager = project.is_managed_by(request.user)
    if request.method == "POST":
        if not is_manager:
            raise PermissionDenied(_("Only managers of this project can change labels."))
        label = get_object_or_404(project.labels, pk=number(request.POST.get("label", "")))
        labels.define(label, request.POST.get("definition", "").replace("\0", ""), request.user)
        messages.success(request, _("Saved."))
        return redirect(request.get_full_path())
    pairs = services.worst_pairs(project, WORST_PAIRS)
    worst = [label.pk for pair in pairs[:1] for label in pair[:2]]
    chosen = [number(pk) for pk in request.GET.getlist("label")] or worst
    context = {
        "project": project,
        "is_manager": is_manager,
        "pairs": pairs,
        "two": list(project.labels.filter(pk__in=chosen)[:2]),
    }
    return render(request, "labelling/confusion.html", context)


@project_view
def suspicious(request: Request, project: Project) -> HttpResponse:
    """Examples whose label is probably wrong, the worst first."""
    label = project.labels.filter(pk=number(request.GET.get("label", ""))).first()
    found = suspicions.standing(project).select_related("document__example", "label", "rival")
    found = found.filter(label=label) if label else found
    page = Paginator(found, PER_PAGE).get_page(request.GET.get("page"))
    return render(request, "labelling/suspicions.html", {"project": project, "page": page, "label": label})


@project_view
def suspicion(request: Request, project: Project, pk: int) -> HttpResponse:
    """One suspicious example with both definitions; a post says what is right and goes on to the next."""
    found = get_object_or_404(project.suspicions.select_related("document__example", "label", "rival"), pk=pk)
    if request.method == "POST":
        return _check(request, project, pk)
    waiting = suspicions.standing(project)
    context = {
        "project": project,
        "suspicion": found,
        "waits": waiting.filter(pk=pk).exists(),
        "n_waiting": waiting.count(),
        "labels": project.labels.in_use().order_by("code", "name").defer("definition"),
    }
    return render(request, "labelling/suspicion.html", context)


def _check(request: Request, project: Project, pk: int) -> HttpResponse:
    chosen = request.POST.get("label", "")
    label = project.labels.filter(pk=number(chosen)).first()
    found = suspicions.standing(project).filter(pk=pk).select_related("document").first()
    if found is None:
        messages.warning(request, _("Somebody has decided on it already."))
    elif label is None and chosen != "none":
        messages.error(request, _("Choose a label."))
        return redirect("suspicion", project.slug, pk)
    else:
        try:
            suspicions.check(found, request.user, label)
        except Refused as refusal:
            messages.error(request, str(refusal))
            return redirect("suspicion", project.slug, pk)
        messages.success(request, _("Saved: %(label)s.") % {"label": label or _("none of these")})
    following = suspicions.standing(project).first()
    return redirect("suspicion", project.slug, following.pk) if following else redirect("suspicions", project.slug)
