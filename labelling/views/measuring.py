"""The judge, measured against people."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from django.contrib import messages
from django.core.paginator import Page, Paginator
from django.db.models import F, QuerySet
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_POST
from django_htmx.http import HttpResponseClientRefresh

from labelling.forms import ComparisonForm
from labelling.models import ComparedAnswer, Comparison, Measurement, Project
from labelling.services import Refused, audits, measuring, queueing
from labelling.services.audits import JudgeId
from labelling.views.access import Request, attempt, manager_view, number, searched, sorted_by

PER_PAGE = 50
DISAGREEMENTS_PER_PAGE = 20
# More judges than that are told apart in the table alone.
JUDGES_DRAWN = 4
RATES = {
    "sensitivity": gettext_lazy("Right labels called valid"),
    "specificity": gettext_lazy("Wrong labels called invalid"),
    "agreement": gettext_lazy("Agreement with people"),
    "kappa": gettext_lazy("Cohen's kappa"),
}
# How a label's row is sorted: the weakest first; those of which nothing is claimed last.
COLUMNS = {
    "label": gettext_lazy("Label asked about"),
    "agreement": RATES["agreement"],
    "verdicts": gettext_lazy("Verdicts"),
    "unsure": gettext_lazy("Unsure"),
}
SORTS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "verdicts": lambda row: -row["n"],
    "label": lambda row: str(row["label"]).casefold(),
    "agreement": lambda row: (row["agreement"]["value"] is None, row["agreement"]["value"], -row["n"]),
    "unsure": lambda row: -row["n_unsure"],
}


@manager_view
def overview(request: Request, project: Project) -> HttpResponse:
    """What audits say of each judge, overall and by label."""
    measurement = Measurement.objects.filter(project=project).first()
    figures = measurement.figures if measurement else []
    chosen = min(number(request.GET.get("judge", "")), max(len(figures) - 1, 0))
    sort, words = sorted_by(request, SORTS), searched(request)
    labels = _labels(project, figures[chosen]["labels"] if figures else [], words, sort)
    context = {
        "project": project,
        "measurement": measurement,
        "is_old": measuring.is_old(project, measurement),
        "useless": [_named(judge) for judge in figures if measuring.is_no_better_than_chance(judge)],
        "word": measuring.worth_of_word(project),
        "rates": RATES,
        "chosen": chosen,
        "page": _with_rates(Paginator(labels, PER_PAGE).get_page(request.GET.get("page"))),
        "columns": COLUMNS,
        "sort": sort,
        "query": words,
        "intervals": _drawn((_named(judge), judge) for judge in figures[:JUDGES_DRAWN]),
        "form": ComparisonForm(figures=figures, project=project),
        "comparisons": project.comparisons.select_related("created_by"),
    }
    return render(request, "labelling/judge.html", context)


@require_POST
@manager_view
def measure(request: Request, project: Project) -> HttpResponse:
    """Have the audits counted; the page that asks for it by itself watches the progress in its place."""
    measurement = measuring.measure(project)
    if request.htmx:
        return render(request, "labelling/_measuring.html", {"project": project, "measurement": measurement})
    return redirect("judge", project.slug)


@manager_view
def progress(request: Request, project: Project) -> HttpResponse:
    measurement = Measurement.objects.filter(project=project).first()
    if measurement is None or not measurement.is_active:
        return HttpResponseClientRefresh()
    return render(request, "labelling/_measuring.html", {"project": project, "measurement": measurement})


def _labels(project: Project, rows: list[dict[str, Any]], words: str, sort: str) -> list[dict[str, Any]]:
    """One judge's figures by label, with the labels in place of their ids: those whose name holds the words."""
    labels = project.labels.defer("definition", "synonyms").in_bulk([row["label"] for row in rows])
    known = [row | {"label": labels[row["label"]]} for row in rows if row["label"] in labels]
    found = [row for row in known if words.casefold() in str(row["label"]).casefold()]
    return sorted(found, key=SORTS[sort])


def _with_rates(page: Page) -> Page:
    """Give each label of a page its rates by name, for those who open it."""
    for row in page:
        row["rates"] = [(name, title, row[name]) for name, title in RATES.items()]
    return page


def _named(judge: dict[str, Any]) -> str:
    return f"{judge['model']} · {judge['prompt_version']}"


def _drawn(judges: Iterable[tuple[str, dict[str, Any]]]) -> list[dict[str, Any]]:
    """What the plot needs of each judge: the interval of each figure. Empty where nothing is claimed of any."""
    drawn: list[dict[str, Any]] = [
        {"judge": name, "rates": [{"name": title, **figures[rate]} for rate, title in RATES.items()]}
        for name, figures in judges
    ]
    return drawn if any(rate["value"] is not None for judge in drawn for rate in judge["rates"]) else []


@require_POST
@manager_view
def start_comparison(request: Request, project: Project) -> HttpResponse:
    """Ask for the forecast of asking another judge about the audited documents."""
    figures = project.measurement.figures if Measurement.objects.filter(project=project).exists() else []
    form = ComparisonForm(request.POST, figures=figures, project=project)
    if not form.is_valid():
        messages.error(request, _("Choose a judge that was audited, and name a model to compare it with."))
        return redirect("judge", project.slug)
    chosen = figures[form.cleaned_data["base"]]
    base = JudgeId(chosen["judge"], chosen["model"], chosen["prompt_version"])
    model, question = form.cleaned_data["model"], form.cleaned_data["question"]
    try:
        return redirect(measuring.start_comparison(project, request.user, base, model, question))
    except Refused as refusal:
        messages.error(request, str(refusal))
        return redirect("judge", project.slug)


@manager_view
def comparison(request: Request, project: Project, pk: int) -> HttpResponse:
    """Where a comparison stands, its forecast, or the paired table and what the two judges disagree on."""
    comparison = get_object_or_404(project.comparisons, pk=pk)
    result = comparison.result
    sides = [(comparison.base_name, result["first"]), (comparison.name, result["second"])] if result else []
    context = {
        "project": project,
        "comparison": comparison,
        "rates": RATES,
        "rows": [(title, rate, [figures[rate] for _, figures in sides]) for rate, title in RATES.items()],
        "intervals": _drawn(sides),
        "failures": comparison.answers.exclude(failure="").select_related("query__document", "query__label"),
        "page": _disagreements(request, comparison),
    }
    return render(request, "labelling/comparison.html", context)


@manager_view
def comparison_progress(request: Request, project: Project, pk: int) -> HttpResponse:
    comparison = get_object_or_404(project.comparisons, pk=pk)
    if not comparison.is_active:
        return HttpResponseClientRefresh()
    return render(request, "labelling/_comparison_progress.html", {"project": project, "comparison": comparison})


@require_POST
@manager_view
def go_on(request: Request, project: Project, pk: int) -> HttpResponse:
    return _do(request, measuring.go_on, get_object_or_404(project.comparisons, pk=pk))


@require_POST
@manager_view
def cancel(request: Request, project: Project, pk: int) -> HttpResponse:
    return _do(request, queueing.cancel, get_object_or_404(project.comparisons, pk=pk))


@require_POST
@manager_view
def retry(request: Request, project: Project, pk: int) -> HttpResponse:
    return _do(request, measuring.retry_failed, get_object_or_404(project.comparisons, pk=pk))


@manager_view
def switch(request: Request, project: Project, pk: int) -> HttpResponse:
    """Ask once more, then make the other judge the project's own."""
    comparison = get_object_or_404(project.comparisons, pk=pk)
    if request.method != "POST":
        return render(request, "labelling/switch.html", {"project": project, "comparison": comparison})
    try:
        measuring.switch(comparison)
    except Refused as refusal:
        messages.error(request, str(refusal))
        return redirect(comparison)
    messages.success(request, _("%(model)s is the judge now. The next round asks it.") % {"model": comparison.model})
    return redirect("judge", project.slug)


def _do(request: Request, service: Callable[[Comparison], None], comparison: Comparison) -> HttpResponse:
    attempt(request, service, comparison)
    return redirect(comparison)


def _disagreements(request: Request, comparison: Comparison) -> Page:
    """The questions that the two judges answered differently, with what people said."""
    answered: QuerySet[ComparedAnswer] = comparison.answers.exclude(verdict="")
    differ = answered.exclude(verdict=F("query__verdict__verdict")).order_by("pk")
    shown = differ.select_related("query__document", "query__label", "query__verdict", "better_label")
    page = Paginator(shown, DISAGREEMENTS_PER_PAGE).get_page(request.GET.get("page"))
    truths = audits.truths(comparison.project)
    names: dict[int | None, str] = {label.pk: label.name for label in comparison.project.labels.all()}
    for answer in page:
        # None, for none of these, is no label's key.
        answer.truth = names.get(truths.get(answer.query.document_id), _("none of these"))  # type: ignore[attr-defined]
    return page
