"""Revisions of the classification: load a table, see what it does, carry it out, ask, undo."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from labelling.forms import RevisionForm
from labelling.models import Project
from labelling.services import Refused
from labelling.services import revisions as services
from labelling.views.access import Request, attempt, manager_view, project_view

# Steps of each kind that a page lists.
SHOWN_STEPS = 200


@project_view
def revision_list(request: Request, project: Project) -> HttpResponse:
    """What revisions there were; managers load the next one here."""
    is_manager = project.is_managed_by(request.user)
    form = RevisionForm(request.POST or None, request.FILES or None) if is_manager else None
    if form and request.method == "POST" and form.is_valid():
        try:
            revision = services.lay_out(project, form.cleaned_data["file"], request.user)
        except Refused as refusal:
            form.add_error("file", str(refusal))
        else:
            return redirect("revision", project.slug, revision.pk)
    context = {
        "project": project,
        "is_manager": is_manager,
        "form": form,
        "revisions": project.revisions.select_related("author")[:SHOWN_STEPS],
    }
    return render(request, "labelling/revisions.html", context)


@project_view
def detail(request: Request, project: Project, pk: int) -> HttpResponse:
    """What a revision will do, or how far the texts are that it has to ask about again."""
    revision = get_object_or_404(project.revisions, pk=pk)
    context = {
        "project": project,
        "is_manager": project.is_managed_by(request.user),
        "revision": revision,
        "has_judge": project.judge != Project.JudgeName.NONE,
        "shown": SHOWN_STEPS,
    }
    if revision.carried_out_at:
        context |= {"standing": services.standing(revision), "events": revision.events.select_related("label", "other")}
    else:
        try:
            context["plan"] = services.plan(revision)
        except Refused as refusal:
            context["refusal"] = str(refusal)
    return render(request, "labelling/revision.html", context)


@require_POST
@manager_view
def carry_out(request: Request, project: Project, pk: int) -> HttpResponse:
    revision = get_object_or_404(project.revisions, pk=pk)
    if attempt(request, services.carry_out, revision, request.user):
        messages.success(request, _("Carried out. It can be undone here, as one."))
    return redirect("revision", project.slug, pk)


@require_POST
@manager_view
def discard(request: Request, project: Project, pk: int) -> HttpResponse:
    """Throw a table away that was not carried out."""
    project.revisions.filter(pk=pk, carried_out_at=None).delete()
    return redirect("revisions", project.slug)


@require_POST
@manager_view
def ask(request: Request, project: Project, pk: int) -> HttpResponse:
    """Ask the judge about the texts whose label was divided."""
    get_object_or_404(project.revisions, pk=pk)
    if attempt(request, services.ask, project, request.user):
        return redirect(project)
    return redirect("revision", project.slug, pk)


@require_POST
@manager_view
def undo(request: Request, project: Project, pk: int) -> HttpResponse:
    """Put everything back that a revision changed."""
    if attempt(request, services.undo, get_object_or_404(project.revisions, pk=pk), request.user):
        messages.success(request, _("Undone."))
    return redirect("revision", project.slug, pk)
