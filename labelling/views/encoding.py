"""A project's encoder: which one reads its texts, and the way to another."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST
from django_htmx.http import HttpResponseClientRefresh

from labelling.forms import EncoderForm
from labelling.models import Encoding, Project
from labelling.services import adapting, queueing
from labelling.services import encoding as services
from labelling.views.access import Request, attempt, manager_view


@manager_view
def encoder(request: Request, project: Project) -> HttpResponse:
    """The encoder in use, the one that is coming, and a choice of others."""
    coming = services.coming(project)
    choices = services.choices_of(project)
    form = EncoderForm(request.POST or None, choices=choices, initial={"encoder": project.encoder_in_use})
    if request.method == "POST":
        if form.is_valid():
            attempt(request, services.start, project, request.user, form.cleaned_data["encoder"])
        else:
            messages.error(request, _("Choose one of the encoders in the list."))
        return redirect("encoder", project.slug)
    context = {
        "project": project,
        "encoding": _newest(project),
        "lost_weights": services.lost_weights(project),
        "adaptation": project.adaptations.first(),
        "lacks": adapting.lacks(project),
        "minutes": adapting.minutes(project),
        "coming": Encoding(encoder=coming) if coming != project.encoder else None,
        "learnt": sorted(services.languages(project.encoder_in_use)),
        "form": form,
    }
    return render(request, "labelling/encoder.html", context)


def _newest(project: Project) -> Encoding | None:
    return project.encodings.first()


@manager_view
def progress(request: Request, project: Project) -> HttpResponse:
    encoding = _newest(project)
    if encoding is None or not encoding.is_active:
        return HttpResponseClientRefresh()
    return render(request, "labelling/_encoding_progress.html", {"project": project, "encoding": encoding})


@require_POST
@manager_view
def go_on(request: Request, project: Project, pk: int) -> HttpResponse:
    attempt(request, services.go_on, get_object_or_404(project.encodings, pk=pk))
    return redirect("encoder", project.slug)


@require_POST
@manager_view
def cancel(request: Request, project: Project, pk: int) -> HttpResponse:
    attempt(request, queueing.cancel, get_object_or_404(project.encodings, pk=pk))
    return redirect("encoder", project.slug)


@require_POST
@manager_view
def adapt(request: Request, project: Project) -> HttpResponse:
    attempt(request, adapting.start, project, request.user)
    return redirect("encoder", project.slug)


@manager_view
def adaptation_progress(request: Request, project: Project) -> HttpResponse:
    adaptation = project.adaptations.first()
    if adaptation is None or not adaptation.is_active:
        return HttpResponseClientRefresh()
    return render(request, "labelling/_adaptation_progress.html", {"project": project, "adaptation": adaptation})


@require_POST
@manager_view
def cancel_adaptation(request: Request, project: Project, pk: int) -> HttpResponse:
    attempt(request, queueing.cancel, get_object_or_404(project.adaptations, pk=pk))
    return redirect("encoder", project.slug)
