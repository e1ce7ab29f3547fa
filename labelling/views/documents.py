"""The documents desk: find documents, do something with many of them, see all that is known of one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_POST

from labelling.models import BulkAct, Document, Flag, Label, Prediction, Project, words
from labelling.services import Refused, access, audits, claims, desk, finding, flags, gold, health, removals, threads
from labelling.services.review import relabel
from labelling.services.suggesting import NotServed
from labelling.views import finding as filters
from labelling.views.access import Request, manager_view, number, project_view, searched
from labelling.views.finding import Filter, Found
from labelling.views.paging import PER_PAGE, Page, page

# Acts and saved views that the list shows.
SHOWN = 5
Kind = BulkAct.Kind


@project_view
def document_list(request: Request, project: Project) -> HttpResponse:
    """The documents that fit what the address asks for."""
    form, is_manager = Filter(request.GET, project), project.is_managed_by(request.user)
    try:
        found = filters.found(form, request.user)
    except NotServed as trouble:
        messages.error(request, str(trouble))
        found = Found(project.documents.none())
    asked = form.cleaned_data if form.is_valid() else {}
    figure, label = asked.get("figure", ""), asked.get("label")
    acts = project.bulk_acts.select_related("user", "label", "undone_by")[:SHOWN]
    context = {
        "project": project,
        "is_manager": is_manager,
        "form": form,
        "asked": asked,
        "page": _page(request, project, form, found),
        "options": _options(project),
        "label": label,
        "behind": health.FIGURES[figure] % {"label": label, "other": asked["other"]} if figure and label else "",
        "leaves_out_audits": form.is_valid() and form.criteria.tells_judge,
        "needs_prediction": form.is_valid() and form.criteria.needs_prediction,
        "views": project.saved_views.filter(user=request.user) | project.saved_views.filter(is_shared=True),
        "acts": [(act, desk.may_undo(act, request.user, is_manager)) for act in acts],
        "at_most": desk.AT_MOST,
    }
    return render(request, "labelling/documents.html", context)


@project_view
def act(request: Request, project: Project) -> HttpResponse:
    """Count what can be done with the ticked documents, or all that fit the filter; once confirmed, do so."""
    kind = request.POST.get("act") or request.GET.get("act", "")
    form = Filter(request.GET, project)
    ticked = [number(pk) for pk in request.POST.getlist("document")]
    by_filter = "all" in request.POST
    if by_filter or kind == Kind.GOLD:
        access.check_manager(request.user, project)
    if kind not in Kind or not (ticked or by_filter):
        messages.error(request, _("Tick some documents first."))
        return _back(project, form)
    try:
        chosen = filters.found(form, request.user).documents if by_filter else project.documents.filter(pk__in=ticked)
    except NotServed as trouble:
        messages.error(request, str(trouble))
        return _back(project, form)
    how = form.in_words if by_filter and form.is_valid() else _("ticked")
    reach = desk.reach(project, kind, chosen)
    # What was counted is what is changed: where others fit by now, they are counted again.
    if number(request.POST.get("confirmed", "")) == reach.n > 0 and _did(request, project, Kind(kind), chosen, how):
        return _back(project, form)
    context = {
        "project": project,
        "kind": kind,
        "reach": reach,
        "how": how,
        "ticked": ticked,
        "form": form,
        "at_most": desk.AT_MOST,
        "n_practice": gold.PRACTICE,
        "labels": project.labels.in_use().order_by("code", "name").defer("definition") if kind == Kind.LABEL else [],
    }
    return render(request, "labelling/act.html", context)


@require_POST
@project_view
def undo_act(request: Request, project: Project, pk: int) -> HttpResponse:
    """Take back something that was done with many documents at once."""
    done = get_object_or_404(project.bulk_acts, pk=pk)
    if not desk.may_undo(done, request.user, project.is_managed_by(request.user)):
        messages.error(request, _("It has been undone already, or is another person's."))
        return redirect("documents", project.slug)
    try:
        n = desk.undo(done, request.user)
    except Refused as refusal:
        messages.error(request, str(refusal))
    else:
        messages.success(request, ngettext("Undone: %(n)d document.", "Undone: %(n)d documents.", n) % {"n": n})
    return redirect("documents", project.slug)


@manager_view
def delete(request: Request, project: Project) -> HttpResponse:
    """Count what deleting the ticked documents, or all that fit the filter, takes along; once confirmed, do so."""
    by_filter = request.method == "GET" or "all" in request.POST
    ticked = [number(pk) for pk in request.POST.getlist("document")]
    form = Filter(request.GET, project)
    if not by_filter and not ticked:
        messages.error(request, _("Tick some documents first."))
        return redirect("documents", project.slug)
    try:
        found = filters.found(form, request.user).documents
    except NotServed as trouble:
        messages.error(request, str(trouble))
        return _back(project, form)
    documents = found if by_filter else project.documents.filter(pk__in=ticked)
    how = (form.in_words if form.is_valid() else "") if by_filter else _("ticked")
    # What was counted is what goes: where more fit the filter by now, they are counted again.
    if number(request.POST.get("confirmed", "")) == documents.count() > 0:
        try:
            n = removals.delete_documents(project, request.user, documents, how)
        except Refused as refusal:
            messages.error(request, str(refusal))
        else:
            messages.success(request, _("Deleted: %(n)s.") % {"n": n})
        return redirect("documents", project.slug)
    context = {"project": project, "loss": removals.loss(project, documents), "how": how, "ticked": ticked}
    return render(request, "labelling/delete_documents.html", context | {"filter": form.address})


class SavedViewForm(forms.Form):
    """A name for a filter."""

    name = forms.CharField(max_length=100)
    query = forms.CharField(max_length=2_000, required=False)
    is_shared = forms.BooleanField(required=False)


@require_POST
@project_view
def save_view(request: Request, project: Project) -> HttpResponse:
    """Keep a filter by a name; the same name again replaces one's own view."""
    form = SavedViewForm(request.POST)
    if not form.is_valid():
        messages.error(request, _("A view needs a name of at most 100 characters."))
        return redirect("documents", project.slug)
    kept = {"query": form.cleaned_data["query"], "is_shared": form.cleaned_data["is_shared"]}
    view, _new = project.saved_views.update_or_create(user=request.user, name=form.cleaned_data["name"], defaults=kept)
    messages.success(request, _("Saved as “%(name)s”.") % {"name": view})
    return redirect(view)


@project_view
def saved_view(request: Request, project: Project, pk: int) -> HttpResponse:
    """Show what a view has kept; a post removes it, one's own or, for managers, a shared one."""
    mine = project.saved_views.filter(user=request.user)
    shared = project.saved_views.filter(is_shared=True)
    if request.method == "POST":
        theirs = mine | shared if project.is_managed_by(request.user) else mine
        get_object_or_404(theirs, pk=pk).delete()
        messages.success(request, _("The view is removed; its documents stay."))
        return redirect("documents", project.slug)
    view = get_object_or_404(mine | shared, pk=pk)
    return redirect(f"{reverse('documents', args=[project.slug])}?{view.query}")


@project_view
def decisions(request: Request, project: Project) -> HttpResponse:
    """What one has decided, back to the first; looking at it changes nothing."""
    asked = searched(request)
    rows = claims.standing(request.user).filter(document__project=project).order_by()
    if asked:
        rows = rows.filter(document__in=project.documents.filter(words.in_texts(asked)).values("pk"))
    shown = rows.select_related("document", "label")
    context = {"project": project, "query": asked, "page": page(request, rows, [("pk", True)], shown)}
    return render(request, "labelling/decisions.html", context)


@project_view
def detail(request: Request, project: Project, pk: int) -> HttpResponse:
    """Everything known of one document; a post puts its label right."""
    document = get_object_or_404(project.documents, pk=pk)
    if request.method == "POST":
        return _relabel(request, project, document)
    queries = document.queries.select_related("round", "label", "verdict__better_label").order_by("-pk")
    prediction = Prediction.objects.filter(document=document).select_related("round").first()
    context = {
        "is_manager": project.is_managed_by(request.user),
        "is_blind": audits.waits(document),
        "comments": threads.of_document(document),
        "is_hidden": threads.is_blind(document),
        "colleagues": threads.colleagues(project),
        "is_long": project.documents.in_windows().filter(pk=pk).exists(),
        "candidates": _candidates(prediction),
        **_path(project, prediction),
        "prediction": prediction,
        "project": project,
        "document": document,
        "labels": project.labels.in_use().order_by("code", "name").defer("definition"),
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
    labels = Label.objects.in_use().in_bulk([label_id for label_id, _ in prediction.candidates])
    given = dict(prediction.candidates)
    found = [
        (labels.get(label_id) if label_id else None, given.get(label_id), belief)
        for label_id, belief in prediction.beliefs.items()
        # What was retired since comes into question no more.
        if label_id is None or label_id in labels
    ]
    return sorted(found, key=lambda row: -row[2])


def _path(project: Project, prediction: Prediction | None) -> dict[str, object]:
    """The labels of the tree that are more probable than not, each with its belief, and the deepest that is certain."""
    if prediction is None:
        return {}
    labels = Label.objects.in_bulk([label_id for label_id, _ in prediction.path])
    certain = prediction.certain(project.certainty)
    return {
        "path": [(labels[label_id], belief) for label_id, belief in prediction.path if label_id in labels],
        "certain": labels.get(certain[0]) if certain else None,
    }


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


def _page(request: Request, project: Project, form: Filter, found: Found) -> Page:
    """A page of documents; those that are alike, the most alike first."""
    shown = finding.for_pages(project, project.documents.all())
    if found.alike is None:
        order = form.criteria.order if form.is_valid() else finding.ORDERS[""]
        return page(request, found.documents, order, shown, found.in_order)
    fitting = set(found.documents.values_list("pk", flat=True))
    ranked = [pk for pk in found.alike if pk in fitting]
    start = number(request.GET.get("after", ""))
    by_key = shown.in_bulk(ranked[start : start + PER_PAGE])
    rows = [by_key[pk] for pk in ranked[start : start + PER_PAGE]]
    for document in rows:
        document.similarity = found.alike[document.pk]  # type: ignore[attr-defined]
    after = str(start + PER_PAGE) if start + PER_PAGE < len(ranked) else ""
    return Page(rows, len(ranked), "", after)


def _options(project: Project) -> SafeString:
    """All labels to choose from, written once: a thousand of them stand in two fields."""
    labels = project.labels.order_by("code", "name").values_list("pk", "code", "name")
    named = ((pk, f"{code} {name}" if code else name) for pk, code, name in labels)
    return format_html_join("", '<option value="{}" dir="auto">{}</option>', named)


def _did(request: Request, project: Project, kind: Kind, chosen: Any, how: str) -> bool:
    """Do what was confirmed; False, with the reason on the page, where that is refused."""
    label = project.labels.filter(pk=number(request.POST.get("to", ""))).first()
    if kind == Kind.LABEL and label is None:
        messages.error(request, _("Choose a label."))
        return False
    comment = request.POST.get("comment", "")
    acts: dict[Kind, Callable[[], BulkAct]] = {
        Kind.LABEL: lambda: desk.label(project, request.user, chosen, how, label),  # type: ignore[arg-type]
        Kind.REVIEW: lambda: desk.send_to_review(project, request.user, chosen, how),
        Kind.FLAG: lambda: desk.flag(project, request.user, chosen, how, comment),
        Kind.GOLD: lambda: desk.train_with(project, request.user, chosen, how),
    }
    try:
        done = acts[kind]()
    except Refused as refusal:
        messages.error(request, str(refusal))
        return False
    messages.success(request, _("%(done)s. It can be undone below.") % {"done": done})
    return True


def _back(project: Project, form: Filter) -> HttpResponse:
    return redirect(f"{reverse('documents', args=[project.slug])}?{form.address}")
