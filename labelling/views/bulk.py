"""Accept one predicted label for many documents at once."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_POST

from labelling.models import Label, Project
from labelling.services import Refused, review
from labelling.services import bulk as services
from labelling.views.access import Request, number, project_view


@project_view
def table(request: Request, project: Project) -> HttpResponse:
    """The predicted labels that wait, and the documents of the one that is chosen; of the commonest where none is."""
    waiting = services.labels(project, request.user)
    commonest = next((found["pk"] for found in waiting), 0)
    chosen = number(request.GET["label"]) if "label" in request.GET else commonest
    label = project.labels.filter(pk=chosen).first()
    context = {
        "project": project,
        "labels": waiting,
        "label": label,
        "rows": services.table(project, request.user, label) if label else [],
        "at_most": services.AT_MOST,
        "last": review.standing_decisions(project, request.user).filter(bulk__isnull=False).first(),
    }
    return render(request, "labelling/bulk.html", context)


@require_POST
@project_view
def accept(request: Request, project: Project, label_id: int) -> HttpResponse:
    """Accept the label for the documents that stayed ticked."""
    label = get_object_or_404(project.labels, pk=label_id)
    ticked = [number(pk) for pk in request.POST.getlist("document")]
    try:
        accepted = services.accept(project, request.user, label, ticked)
    except Refused as refusal:
        messages.error(request, str(refusal))
        return _back(project, label)
    n = len(accepted.decisions)
    if n:
        said = ngettext("Accepted %(n)d document as %(label)s.", "Accepted %(n)d documents as %(label)s.", n)
        messages.success(request, said % {"n": n, "label": label})
    for document, reason in accepted.left_out:
        left_out = _("Left out: “%(text)s”. %(reason)s")
        messages.warning(request, left_out % {"text": document, "reason": reason})
    return _back(project, label)


@require_POST
@project_view
def undo(request: Request, project: Project) -> HttpResponse:
    """Take back everything that was accepted together with this decision."""
    undone = review.undo(project, request.user, number(request.POST.get("decision", "")))
    if undone and undone.label:
        messages.success(request, _("Undone: all that was accepted as %(label)s at once.") % {"label": undone.label})
        return _back(project, undone.label)
    messages.warning(request, _("There is nothing to undo."))
    return redirect("bulk", project.slug)


def _back(project: Project, label: Label) -> HttpResponse:
    return redirect(f"{reverse('bulk', args=[project.slug])}?label={label.pk}")
