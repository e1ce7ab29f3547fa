"""Labels and their definitions."""

from __future__ import annotations

from functools import reduce
from operator import or_

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db import transaction
from django.db.models import Count, Exists, F, OuterRef, Q
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from labelling.csv_io.cleaning import look_alikes
from labelling.forms import DefinitionsForm, LabelForm
from labelling.models import Draft, Label, Prediction, Project
from labelling.resources import LabelCsv, LabelResource
from labelling.services import Refused, definitions, threads, trees
from labelling.services import labels as services
from labelling.services.shares import shares
from labelling.views.access import Request, manager_view, project_view, searched

PER_PAGE = 100
SHOWN_EXAMPLES = 20


@project_view
def label_list(request: Request, project: Project) -> HttpResponse:
    """All labels with their examples, and how the holdout was predicted."""
    query, show = searched(request), request.GET.get("show", "")
    labels = project.labels.exclude(retired_at=None) if show == "retired" else project.labels.in_use()
    labels = (
        labels.select_related("parent", "merged_into")
        .annotate(
            n_examples=Count("examples"),
            n_human=Count("examples", filter=Q(examples__source="human")),
            n_learnt=Count("examples__learned_in"),
            is_parent=Exists(Label.objects.in_use().filter(parent=OuterRef("pk"))),
        )
        .order_by("code", "name")
    )
    if query:
        words = ("name__icontains", "code__istartswith", "synonyms__icontains", "definition__icontains")
        labels = labels.filter(reduce(or_, (Q((word, query)) for word in words)))
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
        "n_undefined": project.labels.in_use().filter(definition="").count(),
        "n_retired": project.labels.exclude(retired_at=None).count(),
        "n_without_examples": project.labels.leaves().filter(examples=None).count(),
        "show": show,
    }
    return render(request, "labelling/labels.html", context)


@project_view
def tree(request: Request, project: Project) -> HttpResponse:
    """All labels below their parents, with what is known and expected of each, added up."""
    last = project.rounds.exclude(holdout_by_level=[]).first()
    context = {
        "project": project,
        "rows": list(trees.rows(trees.top_nodes(project))),
        "levels": list(enumerate(last.holdout_by_level, start=1)) if last else [],
    }
    return render(request, "labelling/tree.html", context)


@project_view
def export_definitions(request: Request, project: Project) -> HttpResponse:
    """Codes, names, parents and definitions as CSV."""
    labels = project.labels.in_use().select_related("project", "parent").order_by("code", "name")
    dataset = LabelResource().export(labels)
    return HttpResponse(
        LabelCsv().export_data(dataset),
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{project.slug}-labels.csv"'},
    )


@manager_view
def import_definitions(request: Request, project: Project) -> HttpResponse:
    """A list of labels from CSV, all of it or nothing."""
    form = DefinitionsForm(request.POST or None, request.FILES or None)
    if request.method == "POST" and form.is_valid():
        listed = form.cleaned_data["file"]
        try:
            n_new = services.import_labels(project, listed, request.user, form.by_prefix)
        except Refused as refusal:
            form.add_error("file", str(refusal))
        else:
            messages.success(
                request, _("Labels read: %(n)s, %(n_new)s of them new.") % {"n": len(listed), "n_new": n_new}
            )
            for group in look_alikes([one.code for one in listed if one.code]):
                messages.warning(request, _("These codes look alike: %(codes)s.") % {"codes": ", ".join(group)})
            if alike := look_alikes(project.labels.values_list("name", flat=True)):
                told = {"names": "; ".join(", ".join(group) for group in alike[:20])}
                messages.warning(request, _("These labels look alike: %(names)s.") % told)
            return redirect("labels", project.slug)
    return render(request, "labelling/definitions.html", {"project": project, "form": form})


@manager_view
def create(request: Request, project: Project) -> HttpResponse:
    form = LabelForm(request.POST or None, project=project)
    if request.method == "POST" and form.is_valid() and (label := _save(form, request)):
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
        if request.method == "POST" and form.is_valid() and _save(form, request):
            messages.success(request, _("Saved."))
            return redirect("label", project.slug, pk)
    elif request.method == "POST":
        raise PermissionDenied(_("Only managers of this project can change labels."))
    estimated = shares(project)
    context = {
        "project": project,
        "is_manager": is_manager,
        "label": label,
        "form": form,
        "definitions": label.definitions.select_related("author", "draft"),
        "comments": threads.of_label(label),
        "colleagues": threads.colleagues(project),
        "n_stale": definitions.stale(project).filter(query__label=label).count(),
        "n_examples": label.examples.count(),
        "share": estimated.of_label.get(label.pk) if estimated else None,
        "is_learnt": label.examples.exclude(learned_in=None).exists(),
        "examples": label.examples.select_related("document").order_by("-pk")[:SHOWN_EXAMPLES],
        "above": trees.lineage(label),
        "below": label.children.filter(retired_at=None).order_by("code", "name").defer("definition"),
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


def _save(form: LabelForm, request: Request) -> Label | None:
    """Save what was typed; None, and the form says why, when its place in the tree can't be."""
    try:
        with transaction.atomic():
            label = services.save(form.instance)
            services.place(label, form.cleaned_data["parent"])
            services.define(label, form.cleaned_data["definition"], request.user)
    except Refused as refusal:
        form.add_error("parent", str(refusal))
        return None
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
