"""The judge, measured against people."""

from __future__ import annotations

from typing import Any

from django.core.paginator import Page, Paginator
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST
from django_htmx.http import HttpResponseClientRefresh

from labelling.models import Label, Measurement, Project
from labelling.services import measuring
from labelling.views.access import Request, manager_view, number

PER_PAGE = 50
# More judges than that are told apart in the table alone.
JUDGES_DRAWN = 4
RATES = {
    "sensitivity": "Right labels called valid",
    "specificity": "Wrong labels called invalid",
    "agreement": "Agreement with people",
    "kappa": "Cohen's kappa",
}


@manager_view
def overview(request: Request, project: Project) -> HttpResponse:
    """What audits say of each judge, overall and by label."""
    measurement = Measurement.objects.filter(project=project).first()
    figures = measurement.figures if measurement else []
    chosen = min(number(request.GET.get("judge", "")), max(len(figures) - 1, 0))
    context = {
        "project": project,
        "measurement": measurement,
        "is_old": measuring.is_old(project, measurement),
        "rates": RATES,
        "chosen": chosen,
        "page": _labels(request, figures[chosen]["labels"] if figures else []),
        "intervals": [_drawn(judge) for judge in figures[:JUDGES_DRAWN]],
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


def _labels(request: Request, rows: list[dict[str, Any]]) -> Page:
    """One judge's figures by label, a page of them, with the labels in place of their ids."""
    page = Paginator(rows, PER_PAGE).get_page(request.GET.get("page"))
    labels = Label.objects.in_bulk([row["label"] for row in page])
    page.object_list = [row | {"label": labels[row["label"]]} for row in page if row["label"] in labels]
    return page


def _drawn(judge: dict[str, Any]) -> dict[str, Any]:
    """What the plot needs of a judge: the interval of each figure, None where nothing is claimed."""
    named = f"{judge['model']} · {judge['prompt_version']}"
    return {"judge": named, "rates": [{"name": name, **judge[rate]} for rate, name in RATES.items()]}
