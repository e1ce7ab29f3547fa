"""CSV out."""

from __future__ import annotations

from django.http import StreamingHttpResponse
from django.utils import timezone

from labelling.models import Project
from labelling.services.exports import export_lines
from labelling.views.access import Request, project_view


@project_view
def export(request: Request, project: Project) -> StreamingHttpResponse:
    """All documents with their labels, streamed."""
    name = f"{project.slug}-{timezone.localdate():%Y-%m-%d}.csv"
    return StreamingHttpResponse(
        export_lines(project),
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )
