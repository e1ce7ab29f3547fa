"""A file of texts in, the same file with labels back."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from functools import partial
from itertools import chain
from pathlib import PurePath
from typing import BinaryIO, cast

from django.contrib.auth.models import User
from django.core.files.uploadedfile import UploadedFile
from django.http import HttpResponseBase, StreamingHttpResponse
from django.shortcuts import render

from labelling.csv_io.exporting import csv_lines
from labelling.csv_io.formats import NotCsv
from labelling.csv_io.texts import TextFile
from labelling.forms import PredictForm
from labelling.models import CsvImport, Project
from labelling.services import Refused, predicting, queueing
from labelling.services.suggesting import NotServed, suggest
from labelling.services.watching import Watch
from labelling.views.access import Request, project_view

logger = logging.getLogger(__name__)


@project_view
def predict(request: Request, project: Project) -> HttpResponseBase:
    """Send an uploaded file back with what the project's model says of its texts."""
    is_manager = project.is_managed_by(request.user)
    form, status = PredictForm(request.POST or None, request.FILES or None, is_manager=is_manager), 200
    if request.method == "POST" and form.is_valid():
        watcher = request.user if form.cleaned_data.get("watch") else None
        try:
            return _labelled(project, form.cleaned_data["file"], watcher)
        except (NotCsv, Refused) as error:
            form.add_error("file", str(error))
        except NotServed as error:
            form.add_error(None, str(error))
            status = 503
    return render(request, "labelling/predict.html", {"project": project, "form": form}, status=status)


def _labelled(project: Project, upload: UploadedFile, watcher: User | None) -> StreamingHttpResponse:
    """``watcher``: who wants the texts watched; None keeps nothing of them."""
    file = TextFile(cast("BinaryIO", upload), predicting.usual_text_columns(project))
    if watcher:
        queueing.check_idle(project, CsvImport)
        rows = _watched(project, file, watcher)
    else:
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


def _watched(project: Project, file: TextFile, watcher: User) -> Iterator[list[str]]:
    """Bring a few texts in once all are labelled."""
    watch = Watch(project)
    yield from predicting.rows(file, predicting.watched(partial(suggest, project), watch))
    try:
        watch.bring_in(watcher)
    except Refused as refusal:
        logger.warning("Texts of a file for %s are not watched: %s", project.slug, refusal)


def _stem(name: str) -> str:
    """The file's name without what a header can't hold."""
    return "".join(character for character in PurePath(name).stem if character.isascii() and character.isalnum())
