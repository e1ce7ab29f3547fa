"""Deliver a data set, look at what was delivered, and compare."""

from __future__ import annotations

from collections import Counter
from itertools import islice

from django.contrib import messages
from django.http import FileResponse, Http404, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST
from django_htmx.http import HttpResponseClientRefresh

from labelling.forms import ReleaseForm
from labelling.models import Project, Release
from labelling.services import Refused, promises, queueing, rounds
from labelling.services import releases as services
from labelling.services.differences import Kind, difference_lines
from labelling.services.differences import differences as differences_of
from labelling.services.progress import counts
from labelling.services.releases import Damaged
from labelling.views.access import Request, attempt, export_view, manager_view, number, project_view

# Differences that a page shows; the CSV file has all.
SHOWN = 100

CONTENT_TYPES = {
    Release.LABELS_CSV: "text/csv; charset=utf-8",
    Release.LABELS_JSONL: "application/jsonl; charset=utf-8",
    Release.CERTIFICATE: "application/json",
}


@manager_view
def deliver(request: Request, project: Project) -> HttpResponse:
    """Say what would be delivered now, and have it done."""
    form = ReleaseForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            return redirect(services.start(project, request.user, form.cleaned_data["note"]))
        except Refused as refusal:
            messages.error(request, str(refusal))
            return redirect("deliver", project.slug)
    context = {
        "project": project,
        "form": form,
        "obstacle": _obstacle(project),
        "standing": counts(project),
        "has_unpredicted": rounds.has_unpredicted(project),
        "n_waiting": project.queue.count(),
        "last": project.releases.filter(state=Release.State.DONE).first(),
    }
    return render(request, "labelling/deliver.html", context)


def _obstacle(project: Project) -> str:
    """Why nothing can be delivered now; empty when it can."""
    try:
        services.check(project)
    except Refused as refusal:
        return str(refusal)
    return ""


@project_view
def release_list(request: Request, project: Project) -> HttpResponse:
    context = {
        "project": project,
        "is_manager": project.is_managed_by(request.user),
        "releases": project.releases.select_related("created_by"),
    }
    return render(request, "labelling/releases.html", context)


@project_view
def detail(request: Request, project: Project, number: int) -> HttpResponse:
    """The certificate as a page, with the files; or how far the release is."""
    return _page(request, get_object_or_404(project.releases, number=number))


def _page(request: Request, release: Release, status: int = 200) -> HttpResponse:
    project = release.project
    context: dict[str, object] = {
        "project": project,
        "is_manager": project.is_managed_by(request.user),
        "release": release,
    }
    if release.is_done:
        context |= {
            "certificate": release.certificate,
            "claim": promises.claim(release.certificate),
            "meaning": promises.meaning(),
            "files": [(name, file, services.is_intact(release, name)) for name, file in release.files.items()],
            "others": project.releases.filter(state=Release.State.DONE).exclude(pk=release.pk),
        }
    return render(request, "labelling/release.html", context, status=status)


@project_view
def progress(request: Request, project: Project, number: int) -> HttpResponse:
    release = get_object_or_404(project.releases, number=number)
    if not release.is_active:
        return HttpResponseClientRefresh()
    context = {"project": project, "release": release, "is_manager": project.is_managed_by(request.user)}
    return render(request, "labelling/_release_progress.html", context)


@require_POST
@manager_view
def retry(request: Request, project: Project, number: int) -> HttpResponse:
    release = get_object_or_404(project.releases, number=number)
    attempt(request, services.retry, release)
    return redirect(release)


@require_POST
@manager_view
def cancel(request: Request, project: Project, number: int) -> HttpResponse:
    release = get_object_or_404(project.releases, number=number)
    attempt(request, queueing.cancel, release)
    return redirect(release)


@export_view
def file(request: Request, project: Project, number: int, name: str) -> HttpResponseBase:
    """One of a release's files, if it is still what was released."""
    release = _released(project, number)
    if name not in release.files:
        raise Http404
    try:
        content = services.take(release, name)
    except Damaged as damage:
        messages.error(request, str(damage))
        return _page(request, release, status=409)
    return FileResponse(
        content,
        as_attachment=True,
        filename=f"{project.slug}-release-{number}-{name}",
        content_type=CONTENT_TYPES[name],
    )


@export_view
def differences(request: Request, project: Project, number: int) -> HttpResponse:
    """How many labels differ from those of another release, by kind, and the first of them."""
    later, earlier = _compared(request, project, number)
    try:
        found = differences_of(earlier, later)
    except Damaged as damage:
        messages.error(request, str(damage))
        return redirect(later)
    first = list(islice(found, SHOWN))
    n = Counter(one.kind for one in first)
    n.update(one.kind for one in found)
    context = {
        "project": project,
        "later": later,
        "earlier": earlier,
        "others": project.releases.filter(state=Release.State.DONE).exclude(pk=later.pk),
        "total": n.total(),
        "kinds": [(kind, n[kind]) for kind in Kind],
        "first": first,
    }
    return render(request, "labelling/release_diff.html", context)


@export_view
def differences_csv(request: Request, project: Project, number: int) -> HttpResponseBase:
    """All labels that differ."""
    later, earlier = _compared(request, project, number)
    try:
        found = differences_of(earlier, later)
    except Damaged as damage:
        messages.error(request, str(damage))
        return redirect(later)
    name = f"{project.slug}-release-{earlier.number}-to-{later.number}.csv"
    return StreamingHttpResponse(
        difference_lines(found),
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


def _released(project: Project, number: int) -> Release:
    return get_object_or_404(project.releases, number=number, state=Release.State.DONE)


def _compared(request: Request, project: Project, later_number: int) -> tuple[Release, Release]:
    """The release, and the one that ``since`` names, or else the one before it."""
    later = _released(project, later_number)
    if "since" in request.GET:
        return later, _released(project, number(request.GET["since"]))
    earlier = project.releases.filter(state=Release.State.DONE, number__lt=later_number).first()
    if earlier is None:
        raise Http404(_("No other release to compare with."))
    return later, earlier
