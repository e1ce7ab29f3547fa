"""A project as one file: pack it and take it, or bring one in."""

from __future__ import annotations

from django.contrib import messages
from django.http import FileResponse, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST
from django_htmx.http import HttpResponseClientRefresh

from labelling.forms import ProjectFileForm
from labelling.models import Packing, Project, Unpacking
from labelling.services import access, queueing
from labelling.services import packing as services
from labelling.views.access import Request, attempt, manager_view


@manager_view
def pack(request: Request, project: Project) -> HttpResponse:
    """The project's file: how far it is, and where to take it."""
    if request.method == "POST":
        attempt(request, services.start, project, request.user)
        return redirect("pack", project.slug)
    return render(request, "labelling/pack.html", {"project": project, "packing": _packing(project)})


def _packing(project: Project) -> Packing | None:
    return Packing.objects.filter(project=project).first()


@manager_view
def progress(request: Request, project: Project) -> HttpResponse:
    packing = _packing(project)
    if packing is None or not packing.is_active:
        return HttpResponseClientRefresh()
    return render(request, "labelling/_packing_progress.html", {"project": project, "packing": packing})


@require_POST
@manager_view
def cancel(request: Request, project: Project) -> HttpResponse:
    attempt(request, queueing.cancel, get_object_or_404(Packing, project=project))
    return redirect("pack", project.slug)


@manager_view
def download(request: Request, project: Project) -> HttpResponseBase:
    packing = get_object_or_404(Packing, project=project)
    file = services.take(packing)
    if file is None:
        messages.error(request, _("There is no file any more: pack the project again."))
        return redirect("pack", project.slug)
    name = f"{project.slug}-{timezone.localdate(packing.finished_at):%Y-%m-%d}.zip"
    return FileResponse(file, as_attachment=True, filename=name, content_type="application/zip")


def unpack(request: Request) -> HttpResponse:
    """Send a project's file, which becomes a new project."""
    access.check_may_create_projects(request.user)
    form = ProjectFileForm(request.POST or None, request.FILES or None)
    if request.method == "POST" and form.is_valid():
        return redirect(services.upload(form.cleaned_data["file"], request.user))
    past = Unpacking.objects.filter(created_by=request.user).select_related("project")[:20]
    return render(request, "labelling/unpack.html", {"form": form, "unpackings": past})


def unpacking(request: Request, pk: int) -> HttpResponse:
    """How far it is, what became of it, or why nothing did."""
    return render(request, "labelling/unpacking.html", {"unpacking": _own(request, pk)})


def unpacking_progress(request: Request, pk: int) -> HttpResponse:
    own = _own(request, pk)
    if not own.is_active:
        return HttpResponseClientRefresh()
    return render(request, "labelling/_unpacking_progress.html", {"unpacking": own})


@require_POST
def cancel_unpacking(request: Request, pk: int) -> HttpResponse:
    own = _own(request, pk)
    attempt(request, services.cancel, own)
    return redirect(own)


def _own(request: Request, pk: int) -> Unpacking:
    """Nobody sees what others bring in."""
    access.check_may_create_projects(request.user)
    return get_object_or_404(Unpacking, pk=pk, created_by=request.user)
