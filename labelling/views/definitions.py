"""Drafts of definitions, and the versions that came of them."""

from __future__ import annotations

from django.contrib import messages
from django.core.paginator import Paginator
from django.db.models import Count, QuerySet
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_POST
from django_htmx.http import HttpResponseClientRefresh

from labelling.forms import DraftingForm
from labelling.models import Document, Draft, Drafting, Label, Project
from labelling.services import Refused, queueing
from labelling.services import definitions as services
from labelling.views.access import Request, attempt, manager_view, number, project_view

PER_PAGE = 20
SHOWN = (Draft.State.PROPOSED, Draft.State.FAILED, Draft.State.APPROVED, Draft.State.REJECTED)


@manager_view
def drafts(request: Request, project: Project) -> HttpResponse:
    """Where the drafting stands, and the drafts to decide on."""
    counts = dict(_drafts(project).order_by().values_list("state").annotate(Count("pk")))
    chosen = request.GET.get("show", Draft.State.PROPOSED)
    page = Paginator(_drafts(project).filter(state=chosen), PER_PAGE).get_page(request.GET.get("page"))
    _show_evidence(list(page))
    drafting = project.draftings.first()
    n_undefined = project.labels.in_use().filter(definition="").count()
    context = {
        "project": project,
        "drafting": drafting,
        "form": DraftingForm(initial={"scope": Drafting.Scope.UNDEFINED if n_undefined else Drafting.Scope.ALL}),
        "n_undefined": n_undefined,
        "n_labels": project.labels.in_use().count(),
        "n_failed": drafting.drafts.filter(state=Draft.State.FAILED).count() if drafting else 0,
        "states": [(state, state.label, counts.get(state, 0)) for state in SHOWN],
        "n_proposed": counts.get(Draft.State.PROPOSED, 0),
        "chosen": chosen,
        "page": page,
    }
    return render(request, "labelling/drafts.html", context)


@require_POST
@manager_view
def start(request: Request, project: Project) -> HttpResponse:
    """Ask for the forecast: for all labels, those without a definition, those that were ticked, or proposed ones."""
    if "nowhere" in request.POST:
        attempt(request, services.start_drafting, project, request.user, Drafting.Scope.NOWHERE, _default_model())
        return redirect("drafts", project.slug)
    chosen = [number(pk) for pk in request.POST.getlist("label")]
    form = DraftingForm(request.POST)
    if chosen or "ticked" in request.POST:
        attempt(
            request, services.start_drafting, project, request.user, Drafting.Scope.CHOSEN, _default_model(), chosen
        )
    elif form.is_valid():
        scope, model = form.cleaned_data["scope"], form.cleaned_data["model"]
        attempt(request, services.start_drafting, project, request.user, scope, model)
    else:
        messages.error(request, _("Choose which labels, and name a model."))
    return redirect("drafts", project.slug)


@manager_view
def progress(request: Request, project: Project) -> HttpResponse:
    drafting = project.draftings.first()
    if drafting is None or not drafting.is_active:
        return HttpResponseClientRefresh()
    return render(request, "labelling/_drafting_progress.html", {"project": project, "drafting": drafting})


@require_POST
@manager_view
def go_on(request: Request, project: Project, pk: int) -> HttpResponse:
    attempt(request, services.go_on, get_object_or_404(project.draftings, pk=pk))
    return redirect("drafts", project.slug)


@require_POST
@manager_view
def cancel(request: Request, project: Project, pk: int) -> HttpResponse:
    attempt(request, queueing.cancel, get_object_or_404(project.draftings, pk=pk))
    return redirect("drafts", project.slug)


@require_POST
@manager_view
def retry(request: Request, project: Project, pk: int) -> HttpResponse:
    attempt(request, services.retry_failed, get_object_or_404(project.draftings, pk=pk))
    return redirect("drafts", project.slug)


@require_POST
@manager_view
def decide(request: Request, project: Project, pk: int) -> HttpResponse:
    """Approve a draft, approve what it was edited to, or reject it."""
    draft = get_object_or_404(_drafts(project), pk=pk)
    choice = request.POST.get("choice")
    try:
        if choice == "reject":
            services.reject(draft, request.user)
        else:
            services.approve(draft, request.user, request.POST.get("text", "") if choice == "edit" else None)
    except Refused as refusal:
        messages.error(request, f"{draft.label}: {refusal}")
    if not request.htmx:
        return redirect("drafts", project.slug)
    draft = _drafts(project).get(pk=pk)
    _show_evidence([draft])
    return render(request, "labelling/_draft.html", {"project": project, "draft": draft, "is_answer": True})


@manager_view
def approve_all(request: Request, project: Project) -> HttpResponse:
    """Ask once more, then approve every proposal as it is."""
    proposed = _drafts(project).filter(state=Draft.State.PROPOSED)
    if request.method == "POST":
        n = services.approve_all(proposed, request.user)
        messages.success(request, ngettext("%(n)s definition approved.", "%(n)s definitions approved.", n) % {"n": n})
        return redirect("drafts", project.slug)
    context = {"project": project, "n_proposed": proposed.count(), "n_overtaken": services.overtaken(proposed).count()}
    return render(request, "labelling/approve_drafts.html", context)


@project_view
def versions(request: Request, project: Project, pk: int) -> HttpResponse:
    """What changed between any two versions of a label's definition; 0 is none yet."""
    label = get_object_or_404(project.labels, pk=pk)
    texts = {version.version: version for version in label.definitions.select_related("author", "draft")}
    newest = max(texts, default=0)
    after = min(number(request.GET.get("to", "")) or newest, newest)
    before = min(number(request.GET.get("from", str(max(after - 1, 0)))), newest)
    context = {
        "project": project,
        "label": label,
        "versions": list(texts.values()),
        "before": before,
        "after": after,
        "old": texts[before].text if before in texts else "",
        "new": texts[after].text if after in texts else "",
    }
    return render(request, "labelling/versions.html", context)


def _drafts(project: Project) -> QuerySet[Draft]:
    return Draft.objects.filter(label__project=project).select_related("label", "decided_by", "definition")


def _default_model() -> str:
    return str(DraftingForm().fields["model"].initial)


def _show_evidence(shown: list[Draft]) -> None:
    """Give each draft the examples that the model saw, by label; the label itself first."""
    wanted = {pk for draft in shown for ids in draft.examples.values() for pk in ids}
    texts = dict(Document.objects.filter(pk__in=wanted).values_list("pk", "text"))
    names = dict(Label.objects.filter(pk__in={pk for draft in shown for pk in draft.rivals}).values_list("pk", "name"))
    for draft in shown:
        by_label = [(draft.label_id, str(draft.label)), *((pk, names[pk]) for pk in draft.rivals if pk in names)]
        draft.evidence = [  # type: ignore[attr-defined]
            (name, [texts[pk] for pk in draft.examples.get(str(label_id), []) if pk in texts])
            for label_id, name in by_label
        ]
