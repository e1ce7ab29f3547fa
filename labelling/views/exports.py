"""Files out: rows, columns and format as they are chosen."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.db.models import QuerySet
from django.http import Http404, HttpResponse, HttpResponseBase, QueryDict, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _

from labelling.csv_io.workbooks import NotWritable
from labelling.csv_io.writing import WRITERS
from labelling.models import Document, Project
from labelling.services import Refused, exports, selections
from labelling.services.selections import Selection, Which
from labelling.services.shares import shares
from labelling.services.suggesting import NotServed
from labelling.views import finding as filters
from labelling.views.access import Request, export_view, number, project_view
from labelling.views.finding import Filter


@export_view
def export(request: Request, project: Project) -> StreamingHttpResponse:
    """All documents with their labels as CSV, streamed; with ``?for=programs`` as no spreadsheet needs it."""
    for_programs = request.GET.get("for") == "programs"
    return _download(project, exports.export_lines(project, for_programs), WRITERS["csv"].content_type, ".csv")


@export_view
def choose(request: Request, project: Project) -> HttpResponse:
    """Choose what to export, and for which program."""
    estimated = shares(project)
    context = {
        "project": project,
        "writers": WRITERS,
        "which": Which.choices,
        "labels": project.labels.order_by("name"),
        "releases": selections.finished_releases(project),
        "columns": exports.header(project),
        "shares": estimated,
        "by_share": estimated.by_share(project.labels.in_use()) if estimated else [],
        **_chosen(request, project),
    }
    return render(request, "labelling/export.html", context)


@export_view
def file(request: Request, project: Project) -> HttpResponseBase:
    """What was chosen, streamed."""
    name = request.GET.get("format", "csv")
    if name not in WRITERS:
        raise Http404
    writer = WRITERS[name]
    try:
        content = selections.write(project, name, _selection(request, project))
    except (Refused, NotWritable, NotServed) as refusal:
        messages.error(request, str(refusal))
        return redirect("export_page", project.slug)
    return _download(project, content, writer.content_type, writer.suffix)


@project_view
def configuration(request: Request, project: Project) -> HttpResponse:
    """The labelling configuration for Label Studio."""
    headers = {"Content-Disposition": f'attachment; filename="{project.slug}-label-studio.xml"'}
    return HttpResponse(selections.configuration(project), content_type="application/xml", headers=headers)


def _selection(request: Request, project: Project) -> Selection:
    asked = request.GET
    return Selection(
        asked.get("rows", Which.ALL),
        project.labels.filter(pk=number(asked.get("label", ""))).first(),
        project.releases.filter(state="done", number=number(asked.get("release", ""))).first(),
        asked.getlist("columns"),
        _documents(request, project),
    )


def _chosen(request: Request, project: Project) -> dict[str, Any]:
    """What was chosen on the documents desk: ticked documents, or a filter with its words."""
    ticked = [number(pk) for pk in request.POST.getlist("document")]
    form = Filter(request.GET, project)
    if ticked and "all" not in request.POST:
        return {"ticked": ticked, "n_ticked": len(ticked)}
    return {"fits": form.address, "how": form.in_words} if form.address and form.is_valid() else {}


def _documents(request: Request, project: Project) -> QuerySet[Document] | None:
    """The documents that were ticked, or fit a filter.

    Raises:
        Refused: when the filter can't be read.
        NotServed: when nothing runs that knows what texts mean.
    """
    if ticked := [number(pk) for pk in request.GET.getlist("document")]:
        return project.documents.filter(pk__in=ticked)
    if not (fits := request.GET.get("fits", "")):
        return None
    form = Filter(QueryDict(fits), project)
    if not form.is_valid():
        raise Refused(_("The filter can't be read any more: choose the documents again."))
    return filters.found(form, request.user).documents


def _download(project: Project, content: selections.Lines, content_type: str, suffix: str) -> StreamingHttpResponse:
    name = f"{project.slug}-{timezone.localdate():%Y-%m-%d}{suffix}"
    return StreamingHttpResponse(
        content, content_type=content_type, headers={"Content-Disposition": f'attachment; filename="{name}"'}
    )
