"""Documents: find one, see all that is known of it, put its label right."""

from __future__ import annotations

from django.contrib import messages
from django.core.paginator import Paginator
from django.db.models import Exists, OuterRef, Prefetch, QuerySet
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_POST

from labelling.models import Decision, Document, Flag, Label, Prediction, Project
from labelling.services import Refused, audits, flags
from labelling.services.review import relabel
from labelling.views.access import Request, number, project_view, searched

PER_PAGE = 50

FILTERS = {
    "": gettext_lazy("All"),
    "pool": gettext_lazy("Without a label"),
    "queue": gettext_lazy("Waiting for review"),
    "human": gettext_lazy("Labelled by people"),
    "judge": gettext_lazy("Accepted from the judge"),
    "seed": gettext_lazy("Seed examples"),
    "holdout": gettext_lazy("Held out"),
    "skipped": gettext_lazy("Skipped"),
    "flagged": gettext_lazy("Flagged"),
}


@project_view
def document_list(request: Request, project: Project) -> HttpResponse:
    chosen, query = request.GET.get("show", ""), searched(request)
    label = project.labels.filter(pk=number(request.GET.get("label", ""))).first()
    documents = _filtered(project, chosen).select_related("example__label", "given_label", "prediction__label")
    documents = documents.select_related("prediction__posterior_label").annotate(
        is_blind=Exists(audits.waiting(project).filter(document=OuterRef("pk")))
    )
    if chosen == "flagged":
        documents = documents.prefetch_related(Prefetch("flags", flags.standing(project), to_attr="standing_flags"))
    if query:
        documents = documents.filter(text__icontains=query)
    if label:
        documents = documents.filter(example__label=label)
    context = {
        "project": project,
        "page": Paginator(documents, PER_PAGE).get_page(request.GET.get("page")),
        "filters": FILTERS,
        "chosen": chosen,
        "query": query,
        "label": label,
    }
    return render(request, "labelling/documents.html", context)


@project_view
def detail(request: Request, project: Project, pk: int) -> HttpResponse:
    """Everything known of one document; a post puts its label right."""
    document = get_object_or_404(project.documents, pk=pk)
    if request.method == "POST":
        return _relabel(request, project, document)
    queries = document.queries.select_related("round", "label", "verdict__better_label").order_by("-pk")
    prediction = Prediction.objects.filter(document=document).select_related("round").first()
    context = {
        "is_blind": audits.waits(document),
        "candidates": _candidates(prediction),
        "prediction": prediction,
        "project": project,
        "document": document,
        "labels": project.labels.all(),
        "queries": queries,
        "decisions": document.decisions.told_to(request.user).select_related("reviewer", "label", "withdraws"),
        "flags": document.flags.select_related("author", "lowered_by"),
    }
    return render(request, "labelling/document.html", context)


@require_POST
@project_view
def lower_flag(request: Request, project: Project, pk: int, flag_pk: int) -> HttpResponse:
    """Say that a flag has been dealt with."""
    flags.lower(get_object_or_404(Flag, pk=flag_pk, document=pk, document__project=project), request.user)
    return redirect("document", project.slug, pk)


def _candidates(prediction: Prediction | None) -> list[tuple[Label | None, float | None, float]]:
    """The labels proposed (None for none of these), what the classifiers give them, and the belief in them."""
    if prediction is None:
        return []
    labels = Label.objects.in_bulk([label_id for label_id, _ in prediction.candidates])
    given = dict(prediction.candidates)
    found = [
        (labels.get(label_id) if label_id else None, given.get(label_id), belief)
        for label_id, belief in prediction.beliefs.items()
    ]
    return sorted(found, key=lambda row: -row[2])


def _relabel(request: Request, project: Project, document: Document) -> HttpResponse:
    chosen = request.POST.get("label", "")
    label = project.labels.filter(pk=number(chosen)).first()
    if label is None and chosen != "none":
        messages.error(request, _("Choose a label."))
        return redirect("document", project.slug, document.pk)
    try:
        relabel(document, request.user, label)
    except Refused as refusal:
        messages.error(request, str(refusal))
    else:
        messages.success(
            request, _("Labelled “%(label)s”.") % {"label": label} if label else _("Labelled as none of these.")
        )
    return redirect("document", project.slug, document.pk)


def _filtered(project: Project, chosen: str) -> QuerySet[Document]:
    documents = project.documents
    if chosen in ("human", "judge", "seed"):
        return documents.filter(example__source=chosen)
    if chosen == "pool":
        return documents.pool()
    if chosen == "queue":
        return documents.filter(queue_entry__isnull=False).order_by("queue_entry__priority")
    if chosen == "holdout":
        return documents.filter(holdout=True)
    if chosen == "skipped":
        skips = Decision.objects.filter(
            document__project=project, action=Decision.Action.SKIP, withdrawn_by=None
        ).values("document")
        return documents.filter(pk__in=skips, example=None)
    if chosen == "flagged":
        return documents.filter(pk__in=flags.standing(project).values("document"))
    return documents.all()
