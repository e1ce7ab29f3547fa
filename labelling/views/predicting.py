"""A file of texts in, the same file with labels back."""

from __future__ import annotations

from functools import partial
from itertools import chain
from pathlib import PurePath
from typing import BinaryIO, cast

from django.core.files.uploadedfile import UploadedFile
from django.http import HttpResponseBase, StreamingHttpResponse
from django.shortcuts import render

from labelling.csv_io.exporting import csv_lines
from labelling.csv_io.formats import NotCsv
from labelling.csv_io.texts import TextFile
from labelling.forms import UploadForm
from labelling.models import Project
from labelling.services import Refused, predicting
from labelling.services.suggesting import NotServed, suggest
from labelling.views.access import Request, project_view


@project_view
def predict(request: Request, project: Project) -> HttpResponseBase:
    """Send an uploaded file back with what the project's model says of its texts; nothing is kept."""
    form, status = UploadForm(request.POST or None, request.FILES or None), 200
    if request.method == "POST" and form.is_valid():
        try:
            return _labelled(project, form.cleaned_data["file"])
        except (NotCsv, Refused) as error:
            form.add_error("file", str(error))
        except NotServed as error:
            form.add_error(None, str(error))
            status = 503
    return render(request, "labelling/predict.html", {"project": project, "form": form}, status=status)


def _labelled(project: Project, upload: UploadedFile) -> StreamingHttpResponse:
    file = TextFile(cast("BinaryIO", upload), predicting.usual_text_columns(project))
    rows = predicting.rows(file, partial(suggest, project))
    # Before the answer begins: what can't be done is told on the page.
    first = next(rows, None)
    lines = csv_lines(predicting.header(file), chain([first], rows) if first else [])
    name = f"{project.slug}-{_stem(upload.name or '')}-labelled.csv"
    return StreamingHttpResponse(
        lines,
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


def _stem(name: str) -> str:
    """The file's name without what a header can't hold."""
    return "".join(character for character in PurePath(name).stem if character.isascii() and character.isalnum())
