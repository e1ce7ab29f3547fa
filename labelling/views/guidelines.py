"""Guidelines, the threads at labels and documents, and where one is mentioned."""

from __future__ import annotations

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from labelling.models import Comment, Document, Label, Project
from labelling.services import Refused, guidelines, threads
from labelling.views.access import Request, attempt, manager_view, number, project_view

PER_PAGE = 50


@project_view
def page(request: Request, project: Project) -> HttpResponse:
    """The guidelines as they hold, or what a version changed; beside a decision the text alone."""
    if request.htmx:
        newest = guidelines.newest(project)
        context = {"project": project, "html": guidelines.rendered(newest.text) if newest else ""}
        return render(request, "labelling/_guidelines.html", context)
    return _page(request, project)


@require_POST
@manager_view
def write(request: Request, project: Project) -> HttpResponse:
    """Save the next version; one that was written meanwhile is never overwritten."""
    text = request.POST.get("text", "")
    try:
        guidelines.write(project, text, request.user, number(request.POST.get("version", "")))
    except Refused as refusal:
        messages.error(request, _("Not saved. %(because)s") % {"because": refusal})
        return _page(request, project, typed=text)
    messages.success(request, _("Saved."))
    return redirect("guidelines", project.slug)


def _page(request: Request, project: Project, typed: str | None = None) -> HttpResponse:
    newest = guidelines.newest(project)
    versions = list(project.guidelines.select_related("author").defer("text"))
    shown = project.guidelines.filter(version=number(request.GET.get("version", ""))).first()
    before = project.guidelines.filter(version=shown.version - 1).first() if shown else None
    is_manager = project.is_managed_by(request.user)
    context = {
        "project": project,
        "is_manager": is_manager,
        "newest": newest,
        "html": guidelines.rendered(newest.text) if newest else "",
        "versions": versions,
        "shown": shown,
        "old": before.text if before else "",
        "new": shown.text if shown else "",
        "typed": typed,
        "edits": is_manager and ("edit" in request.GET or typed is not None),
    }
    return render(request, "labelling/guidelines.html", context, status=200 if typed is None else 409)


@require_POST
@project_view
def comment_on_label(request: Request, project: Project, pk: int) -> HttpResponse:
    return _say(request, get_object_or_404(project.labels, pk=pk), "label")


@require_POST
@project_view
def comment_on_document(request: Request, project: Project, pk: int) -> HttpResponse:
    return _say(request, get_object_or_404(project.documents, pk=pk), "document")


def _say(request: Request, on: Label | Document, address: str) -> HttpResponse:
    try:
        return redirect(threads.say(on, request.user, request.POST.get("text", "")))
    except Refused as refusal:
        messages.error(request, str(refusal))
        return redirect(address, on.project.slug, on.pk)


@require_POST
@project_view
def remove_comment(request: Request, project: Project, pk: int) -> HttpResponse:
    comment = get_object_or_404(Comment, project=project, pk=pk)
    address = comment.get_absolute_url().partition("#")[0]
    attempt(request, threads.remove, comment, request.user)
    return redirect(address)


def mentions(request: Request) -> HttpResponse:
    """Where one is named, in all one's projects, the newest first; what is shown counts as seen from then on."""
    found = Paginator(threads.mentions_of(request.user), PER_PAGE).get_page(request.GET.get("page"))
    answer = render(request, "labelling/mentions.html", {"page": found})
    threads.note_seen(request.user)
    return answer
