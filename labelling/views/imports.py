"""CSV files in: upload, columns, progress, result."""

from __future__ import annotations

from typing import Any, BinaryIO, cast

from django.http import FileResponse, Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST
from django_htmx.http import HttpResponseClientRefresh

from labelling.csv_io.columns import guess_columns, preview, read_header
from labelling.csv_io.dialects import DELIMITERS, PEERS, Oddity
from labelling.csv_io.formats import NotCsv
from labelling.forms import MappingForm, UploadForm
from labelling.models import CsvImport, Project
from labelling.services import imports, queueing, removals
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
    return render(request, "labelling/import.html", _shown(project, csv_import))


def _shown(project: Project, csv_import: CsvImport) -> dict[str, Any]:
    n_long = 0 if csv_import.is_active else csv_import.documents.in_windows().count()
    return {"project": project, "import": csv_import, "n_long": n_long}


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
def answer(request: Request, project: Project, pk: int) -> HttpResponse:
    """Take the answers to what the import asks; they are named by their place in the list."""
    csv_import = get_object_or_404(project.imports, pk=pk)
    given = {
        question["key"]: request.POST.get(f"answer-{place}", "") for place, question in enumerate(csv_import.questions)
    }
    attempt(request, imports.answer, csv_import, given)
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
def undo(request: Request, project: Project, pk: int) -> HttpResponse:
    """Show what undoing an import takes along, and do so."""
    csv_import = get_object_or_404(project.imports, pk=pk)
    if request.method == "POST":
        attempt(request, removals.undo_import, csv_import, request.user)
        return redirect(csv_import)
    context = {"project": project, "import": csv_import, "undoing": removals.undoing(csv_import)}
    return render(request, "labelling/undo_import.html", context)


@manager_view
def rejected(request: Request, project: Project, pk: int) -> FileResponse:
    """The rejected rows with line, column and reason, as CSV."""
    csv_import = get_object_or_404(project.imports, pk=pk)
    if not csv_import.rejected_file:
        raise Http404(_("Nothing was rejected."))
    return FileResponse(csv_import.rejected_file.open("rb"), as_attachment=True, filename="rejected.csv")


def _mapping(request: Request, project: Project, csv_import: CsvImport) -> HttpResponse:
    """Choose the columns. Another encoding, layout or column shows the file anew before anything starts.

    What is recommended to hold out follows what is chosen, until somebody types another share.
    """
    if request.POST:
        _read_layout(request, csv_import)
    error, header, rows = "", [], []
    odd: list[Oddity] = []
    typed, told = request.POST.get("holdout_percent"), request.POST.get("recommended")
    percent: int | str = told or 0
    reason = ""
    fmt = imports.format_of(csv_import)
    try:
        with csv_import.file.open("rb") as file:
            binary = cast("BinaryIO", file)
            header, rows = read_header(binary, fmt), preview(binary, fmt)
        if request.POST:
            _read_columns(request, csv_import, header, rows)
        odd, recommended = imports.look_at(csv_import)
        percent, reason = recommended.percent, f" {recommended.reason}"
    except NotCsv as problem:
        error = str(problem)
    started = "start" in request.POST
    form = MappingForm(request.POST if started else None, instance=csv_import, header=header)
    if started and not error and form.is_valid():
        csv_import = form.save()
        attempt(request, imports.start, csv_import)
        return redirect(csv_import)
    if not started:
        form.initial["holdout_percent"] = percent if typed == told else typed
        form.fields["holdout_percent"].help_text += reason
    context = {"project": project, "import": csv_import, "form": form, "header": header, "rows": rows, "error": error}
    template = "labelling/_mapping.html" if request.htmx else "labelling/mapping.html"
    return render(request, template, context | {"odd": odd, "recommended": percent})


def _read_layout(request: Request, csv_import: CsvImport) -> None:
    """Set how the file is to be read, as it was chosen; nothing is saved."""
    post = request.POST
    csv_import.encoding = post.get("encoding", csv_import.encoding)
    if (delimiter := post.get("delimiter", csv_import.delimiter)) in DELIMITERS:
        csv_import.delimiter = delimiter
    ticks = {"has_header", "plain_quotes", "skip_spaces"} & {*MappingForm.layout_of(csv_import.kind)}
    for name in (*ticks, "keep_good_rows"):
        setattr(csv_import, name, name in post)
    for name in ("skip_rows", "more_header_rows"):
        if post.get(name, "").isdecimal():
            setattr(csv_import, name, int(post[name]))


def _read_columns(request: Request, csv_import: CsvImport, header: list[str], rows: list[list[str]]) -> None:
    """Set the columns that were chosen, as far as the file read so has them, else those that are guessed.

    A peer's file is in the columns of our own export.
    """
    if csv_import.kind in PEERS:
        return
    guess = guess_columns(header, rows)
    for name, guessed in (("text", guess.text), ("label", guess.label), ("id", guess.id)):
        chosen = request.POST.get(f"{name}_column")
        setattr(csv_import, f"{name}_column", chosen if chosen in header else guessed)
    more = request.POST.getlist("more_text_columns")
    csv_import.more_text_columns = [name for name in more if name in header and name != csv_import.text_column]
    csv_import.is_export = "is_export" in request.POST
