"""Labels and their definitions."""

from __future__ import annotations

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db import transaction
from django.db.models import Count, F, Q
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from labelling.forms import DefinitionsForm, LabelForm
from labelling.models import Draft, Label, Prediction, Project
from labelling.resources import LabelCsv, LabelResource
from labelling.services import Refused, definitions
from labelling.services import labels as services
from labelling.views.access import Request, manager_view, project_view, searched

PER_PAGE = 100
SHOWN_EXAMPLES = 20


@project_view
def label_list(request: Request, project: Project) -> HttpResponse:
    """All labels with their examples, and how the holdout was predicted."""
    query = searched(request)
    labels = project.labels.annotate(
        n_examples=Count("examples"),
        n_human=Count("examples", filter=Q(examples__source="human")),
        n_learnt=Count("examples__learned_in"),
    ).order_by("name")
    if query:
        labels = labels.filter(Q(name__icontains=query) | Q(synonyms__icontains=query) | Q(definition__icontains=query))
    only_undefined = "undefined" in request.GET
    if only_undefined:
        labels = labels.filter(definition="")
    page = Paginator(labels, PER_PAGE).get_page(request.GET.get("page"))
    recall = _holdout_recall(project)
    for label in page:
        label.holdout = recall.get(label.pk)  # type: ignore[attr-defined]
    context = {
        "project": project,
        "is_manager": project.is_managed_by(request.user),
        "page": page,
        "query": query,
        "only_undefined": only_undefined,
        "n_proposed": Draft.objects.filter(label__project=project, state=Draft.State.PROPOSED).count(),
        "n_undefined": project.labels.filter(definition="").count(),
        "n_without_examples": project.labels.filter(examples=None).count(),
    }
    return render(request, "labelling/labels.html", context)


@project_view
def export_definitions(request: Request, project: Project) -> HttpResponse:
    """Names and definitions as CSV."""
    dataset = LabelResource().export(project.labels.order_by("name"))
    return HttpResponse(
        LabelCsv().export_data(dataset),
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{project.slug}-labels.csv"'},
    )


@manager_view
def import_definitions(request: Request, project: Project) -> HttpResponse:
    """Names and definitions from CSV, all of them or none."""
    form = DefinitionsForm(request.POST or None, request.FILES or None)
    if request.method == "POST" and form.is_valid():
        dataset = form.cleaned_data["file"]
        if "project" in dataset.headers:
            del dataset["project"]
        dataset.append_col([project.slug] * dataset.height, header="project")
        result = LabelResource(user=request.user).import_data(
            dataset, use_transactions=True, rollback_on_validation_errors=True
        )
        errors = [
            _("Row %(number)s: %(reason)s") % {"number": number, "reason": error.error}
            for number, row in result.row_errors()
            for error in row
        ]
        if not errors:
            counts = {"n": dataset.height, "n_new": result.totals["new"]}
            messages.success(request, _("Labels read: %(n)s, %(n_new)s of them new.") % counts)
            return redirect("labels", project.slug)
        form.add_error("file", errors[:20])
    return render(request, "labelling/definitions.html", {"project": project, "form": form})


@manager_view
def create(request: Request, project: Project) -> HttpResponse:
    form = LabelForm(request.POST or None, project=project)
    if request.method == "POST" and form.is_valid():
        label = _save(form, request)
        messages.success(
            request, _("“%(label)s” is a label now. It is proposed once it has examples.") % {"label": label}
        )
        return redirect("labels", project.slug)
    return render(request, "labelling/label.html", {"project": project, "form": form, "is_manager": True})


@project_view
def detail(request: Request, project: Project, pk: int) -> HttpResponse:
    """One label: its definition, the versions before, and its examples. Managers edit it here."""
    label = get_object_or_404(project.labels, pk=pk)
    is_manager = project.is_managed_by(request.user)
    form = None
    if is_manager:
        form = LabelForm(request.POST or None, instance=label, project=project)
        if request.method == "POST" and form.is_valid():
            _save(form, request)
            messages.success(request, _("Saved."))
            return redirect("label", project.slug, pk)
    elif request.method == "POST":
        raise PermissionDenied(_("Only managers of this project can change labels."))
    context = {
        "project": project,
        "is_manager": is_manager,
        "label": label,
        "form": form,
        "definitions": label.definitions.select_related("author", "draft"),
        "n_stale": definitions.stale(project).filter(query__label=label).count(),
        "n_examples": label.examples.count(),
        "is_learnt": label.examples.exclude(learned_in=None).exists(),
        "examples": label.examples.select_related("document").order_by("-pk")[:SHOWN_EXAMPLES],
    }
    return render(request, "labelling/label.html", context)


@require_POST
@manager_view
def delete(request: Request, project: Project, pk: int) -> HttpResponse:
    label = get_object_or_404(project.labels, pk=pk)
    try:
        services.delete_label(label)
    except Refused as refusal:
        messages.error(request, str(refusal))
        return redirect("label", project.slug, pk)
    messages.success(request, _("“%(label)s” is deleted.") % {"label": label})
    return redirect("labels", project.slug)


@transaction.atomic
def _save(form: LabelForm, request: Request) -> Label:
    label = form.save()
    services.define(label, form.cleaned_data["definition"], request.user)
    return label


def _holdout_recall(project: Project) -> dict[int, tuple[int, int]]:
    """By label: how many held-out documents carry it, and how many of those were predicted so."""
    rows = (
        Prediction.objects.filter(document__project=project, document__holdout=True)
        .exclude(document__given_label=None)
        .values("document__given_label")
        .annotate(n=Count("pk"), right=Count("pk", filter=Q(label=F("document__given_label"))))
    )
    return {row["document__given_label"]: (row["right"], row["n"]) for row in rows}
