"""CSV files in: upload, columns, progress, result."""

from __future__ import annotations

from typing import BinaryIO, cast

from django.http import FileResponse, Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST
from django_htmx.http import HttpResponseClientRefresh

from labelling.csv_io.formats import DELIMITERS, Format, NotCsv
from labelling.csv_io.rows import guess_columns, preview, read_header
from labelling.forms import MappingForm, UploadForm
from labelling.models import CsvImport, Project
from labelling.services import imports, queueing
from labelling.views.access import Request, attempt, manager_view

State = CsvImport.State


@manager_view
def upload(request: Request, project: Project) -> HttpResponse:
    form = UploadForm(request.POST or None, request.FILES or None)
    if request.method == "POST" and form.is_valid():
        try:
            return redirect(imports.upload(project, form.cleaned_data["file"], request.user))
        except NotCsv as error:
            form.add_error("file", str(error))
    past = project.imports.select_related("created_by")[:20]
    return render(request, "labelling/upload.html", {"project": project, "form": form, "imports": past})


@manager_view
def detail(request: Request, project: Project, pk: int) -> HttpResponse:
    """The import where it stands: columns to choose, progress, or the result."""
    csv_import = get_object_or_404(project.imports, pk=pk)
    if csv_import.state == State.WAITING and not csv_import.step:
        return _mapping(request, project, csv_import)
    if request.htmx:
        return HttpResponseClientRefresh()  # started in another tab
    return render(request, "labelling/import.html", {"project": project, "import": csv_import})


@manager_view
def progress(request: Request, project: Project, pk: int) -> HttpResponse:
    csv_import = get_object_or_404(project.imports, pk=pk)
    if not csv_import.is_active:
        return HttpResponseClientRefresh()
    return render(request, "labelling/_import_progress.html", {"project": project, "import": csv_import})


@require_POST
@manager_view
def keep_good_rows(request: Request, project: Project, pk: int) -> HttpResponse:
    csv_import = get_object_or_404(project.imports, pk=pk)
    attempt(request, imports.keep_good_rows, csv_import)
    return redirect(csv_import)


@require_POST
@manager_view
def cancel(request: Request, project: Project, pk: int) -> HttpResponse:
    csv_import = get_object_or_404(project.imports, pk=pk)
    attempt(request, queueing.cancel, csv_import)
    return redirect(csv_import)


@require_POST
@manager_view
def retry(request: Request, project: Project, pk: int) -> HttpResponse:
    csv_import = get_object_or_404(project.imports, pk=pk)
    attempt(request, imports.retry, csv_import)
    return redirect(csv_import)


@manager_view
def rejected(request: Request, project: Project, pk: int) -> FileResponse:
    """The rejected rows with line, column and reason, as CSV."""
    csv_import = get_object_or_404(project.imports, pk=pk)
    if not csv_import.rejected_file:
        raise Http404(_("Nothing was rejected."))
    return FileResponse(csv_import.rejected_file.open("rb"), as_attachment=True, filename="rejected.csv")


def _mapping(request: Request, project: Project, csv_import: CsvImport) -> HttpResponse:
    """Choose the columns. Another encoding or delimiter shows the file anew before anything starts."""
    fmt = _chosen_format(request, csv_import)
    error, header, rows = "", [], []
    with csv_import.file.open("rb") as file:
        binary = cast("BinaryIO", file)
        try:
            header, rows = read_header(binary, fmt), preview(binary, fmt)
        except NotCsv as problem:
            error = str(problem)
    started = "start" in request.POST
    form = MappingForm(request.POST if started else None, instance=csv_import, header=header)
    if started and not error and form.is_valid():
        csv_import = form.save()
        attempt(request, imports.start, csv_import)
        return redirect(csv_import)
    if request.POST and not started and not error:
        form.initial.update(_fresh_guess(fmt, header, rows) | _typed(request, header))
    context = {"project": project, "import": csv_import, "form": form, "header": header, "rows": rows, "error": error}
    template = "labelling/_mapping.html" if request.htmx else "labelling/mapping.html"
    return render(request, template, context)


def _chosen_format(request: Request, csv_import: CsvImport) -> Format:
    if not request.POST:
        return Format(csv_import.encoding, csv_import.delimiter, csv_import.has_header)
    delimiter = request.POST.get("delimiter", "")
    return Format(
        request.POST.get("encoding", csv_import.encoding),
        delimiter if delimiter in DELIMITERS else csv_import.delimiter,
        has_header="has_header" in request.POST,
    )


def _fresh_guess(fmt: Format, header: list[str], rows: list[list[str]]) -> dict[str, object]:
    columns = guess_columns(header, rows)
    return {
        "encoding": fmt.encoding,
        "delimiter": fmt.delimiter,
        "has_header": fmt.has_header,
        "text_column": columns.text,
        "label_column": columns.label,
        "id_column": columns.id,
    }


def _typed(request: Request, header: list[str]) -> dict[str, object]:
    """What was chosen before, as far as another encoding or delimiter says nothing against it."""
    columns = {name: request.POST.get(name) for name in ("text_column", "label_column", "id_column")}
    return {name: column for name, column in columns.items() if column in header} | {
        "holdout_percent": request.POST.get("holdout_percent", ""),
        "keep_good_rows": "keep_good_rows" in request.POST,
    }
