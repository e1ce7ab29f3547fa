"""Texts that belong to no label, and the labels that are proposed for them."""

from __future__ import annotations

from django.conf import settings
from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from labelling.models import Project
from labelling.services import Refused
from labelling.services import nowhere as services
from labelling.views.access import Request, attempt, manager_view, number, project_view

PER_PAGE = 10
# Texts of a group that are listed, to be ticked.
SHOWN_TEXTS = 50


@project_view
def proposals(request: Request, project: Project) -> HttpResponse:
    """The labels that are proposed, each with its texts; those that were dismissed below."""
    waiting = services.waiting(project).select_related("nearest").prefetch_related("drafts")
    page = Paginator(waiting, PER_PAGE).get_page(request.GET.get("page"))
    context = {
        "project": project,
        "is_manager": project.is_managed_by(request.user),
        "page": page,
        "shown": [
            (one, services.texts(one)[:SHOWN_TEXTS], one.neighbours.count(), one.size - SHOWN_TEXTS) for one in page
        ],
        "n_nowhere": services.n_documents(project),
        "dismissed": project.proposed_labels.exclude(dismissed_at=None).select_related("decided_by"),
        "n_undrafted": services.undrafted(project).count() if project.judge != Project.JudgeName.NONE else 0,
        "model": settings.DEFINITION_MODEL,
        "has_round": project.rounds.exclude(settled_at=None).exists(),
    }
    return render(request, "labelling/nowhere.html", context)


@require_POST
@manager_view
def make(request: Request, project: Project, pk: int) -> HttpResponse:
    """Make a proposal a label."""
    proposal = get_object_or_404(project.proposed_labels, pk=pk)
    told = {name: request.POST.get(name, "").replace("\0", "") for name in ("name", "definition")}
    ticked = [number(document) for document in request.POST.getlist("document")]
    if "rest" in request.POST:
        ticked += services.texts(proposal).values_list("pk", flat=True)[SHOWN_TEXTS:]
    try:
        event = services.make(proposal, told["name"], told["definition"], ticked, request.user)
    except Refused as refusal:
        messages.error(request, str(refusal))
        return redirect("nowhere", project.slug)
    messages.success(
        request,
        _("“%(label)s” is a label now. The next round asks about its neighbours again. It can be undone in the log.")
        % {"label": event.label},
    )
    return redirect("label", project.slug, event.label_id)


@require_POST
@manager_view
def dismiss(request: Request, project: Project, pk: int) -> HttpResponse:
    """Dismiss a proposal, or propose it again."""
    proposal = get_object_or_404(project.proposed_labels, pk=pk)
    if "again" in request.POST:
        attempt(request, services.propose_again, proposal)
    else:
        attempt(request, services.dismiss, proposal, request.user)
    return redirect("nowhere", project.slug)
