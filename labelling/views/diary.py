"""The diary: of a project for its managers, of everything for administrators."""

from __future__ import annotations

import json

from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import render
from django.utils import timezone

from labelling.csv_io.exporting import csv_lines
from labelling.forms import DiaryForm
from labelling.models import DiaryEntry, Project
from labelling.services import access
from labelling.services import diary as services
from labelling.views.access import Request, administrator_view, manager_view

PER_PAGE = 100
COLUMNS = ["at", "who", "address", "project", "act", "about", "before", "after"]


@manager_view
def of_project(request: Request, project: Project) -> HttpResponseBase:
    """What was done in a project."""
    return _answer(request, project.diary.all(), project)


@administrator_view
def of_everything(request: Request) -> HttpResponseBase:
    """What was done in all projects, and at the door."""
    return _answer(request, DiaryEntry.objects.exclude(project__in=access.closed_to(request.user)), None)


def _answer(request: Request, entries: QuerySet[DiaryEntry], project: Project | None) -> HttpResponseBase:
    people = entries.exclude(who="").order_by("who").values_list("who", flat=True).distinct()
    form = DiaryForm(request.GET, people=list(people))
    found = services.find(entries, **form.cleaned_data) if form.is_valid() else entries.none()
    if "csv" in request.GET and form.is_valid():
        return _csv(found, project)
    context = {
        "project": project,
        "form": form,
        "page": Paginator(found, PER_PAGE).get_page(request.GET.get("page")),
    }
    return render(request, "labelling/diary.html", context)


def _csv(entries: QuerySet[DiaryEntry], project: Project | None) -> HttpResponse | StreamingHttpResponse:
    name = f"{project.slug if project else 'all'}-diary-{timezone.localdate():%Y-%m-%d}.csv"
    return StreamingHttpResponse(
        csv_lines(COLUMNS, (_cells(entry) for entry in entries.iterator())),
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


def _cells(entry: DiaryEntry) -> list[str]:
    values = [json.dumps(values, ensure_ascii=False) if values else "" for values in (entry.before, entry.after)]
    at = entry.at.isoformat(timespec="seconds")
    return [at, entry.who, entry.address, entry.project_name, entry.act, entry.about, *values]
