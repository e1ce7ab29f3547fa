"""The review page: one document, everything that decides, one key for each decision."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST

from labelling.models import Decision, Label, Project, QueueEntry
from labelling.services import Refused, claims
from labelling.services import review as services
from labelling.services.evidence import Evidence, find_labels, what_the_judge_said
from labelling.views.access import Request, number, project_view

Action = Decision.Action

RECENT = 10
# Said after each decision, on the page and to screen readers.
DONE = {
    Action.ACCEPT: "Accepted",
    Action.OVERRIDE: "Changed to",
    Action.NONE: "None of these",
    Action.SKIP: "Skipped",
}


@project_view
def review(request: Request, project: Project) -> HttpResponse:
    """Give the reviewer their next document."""
    return _show(request, project, claims.claim_next(project, request.user))


@require_POST
@project_view
def renew(request: Request, project: Project, entry_id: int) -> HttpResponse:
    """Keep a document that is still open; 409 with the reason when it is somebody else's by now."""
    try:
        claims.renew(project, entry_id, request.user)
    except claims.Conflict as conflict:
        return HttpResponse(str(conflict), status=409, content_type="text/plain")
    return HttpResponse(status=204)


@require_POST
@project_view
def decide(request: Request, project: Project, entry_id: int) -> HttpResponse:
    """Save a decision and go on to the next document."""
    action, label = chosen(request, project)
    status = 200
    try:
        decision = services.decide(project, entry_id, request.user, action, label)
        messages.success(request, _said(decision))
    except claims.Conflict as conflict:
        messages.warning(request, f"Not saved. {conflict}")
        status = 409
    except Refused as refusal:
        messages.error(request, f"Not saved. {refusal}")
        status = 400
    return _next(request, project, status)


@require_POST
@project_view
def undo(request: Request, project: Project) -> HttpResponse:
    """Withdraw one of the reviewer's decisions, the last one they saw, and show its document again."""
    undone = services.undo(project, request.user, number(request.POST.get("decision", "")))
    if undone:
        messages.success(request, f"Undone: {undone}.")
    else:
        messages.warning(request, "There is nothing to undo.")
    return _next(request, project)


@project_view
def search_labels(request: Request, project: Project) -> HttpResponse:
    """Labels that match a few words, best first."""
    found = find_labels(project, request.GET.get("q", ""))
    return render(request, "labelling/_label_results.html", {"project": project, "found": found})


def chosen(request: Request, project: Project) -> tuple[str, Label | None]:
    """The answer that a form sends, "accept" or "override:7", and the label that it names."""
    action, _, label_id = request.POST.get("choice", "").partition(":")
    return action, project.labels.filter(pk=number(label_id)).first() if label_id else None


def _said(decision: Decision) -> str:
    said = f"{DONE[Action(decision.action)]} {decision.label or ''}".strip() + "."
    audited = decision.query and decision.query.is_audit and decision.action in Decision.LABELLING
    return f"{said} That was an audit. {what_the_judge_said(decision.document_id)}" if audited else said


def _next(request: Request, project: Project, status: int = 200) -> HttpResponse:
    if not request.htmx and status == 200:
        return redirect("review", project.slug)
    return _show(request, project, claims.claim_next(project, request.user), status)


def _show(request: Request, project: Project, entry: QueueEntry | None, status: int = 200) -> HttpResponse:
    recent = services.standing_decisions(project, request.user).select_related("document", "label")[:RECENT]
    query = request.GET.get("q", "")
    context = {
        "project": project,
        "entry": entry,
        "evidence": Evidence.of(entry.query) if entry else None,
        "renewal": claims.renewal(project),
        "n_for_me": claims.n_available(project, request.user),
        "many": claims.MANY,
        # Told only when nothing is left for this reviewer.
        "n_waiting": 0 if entry else project.queue.count(),
        "recent": list(recent),
        "query": query,
        "found": find_labels(project, query) if query else [],
    }
    template = "labelling/_review.html" if request.htmx else "labelling/review.html"
    return render(request, template, context, status=status)
