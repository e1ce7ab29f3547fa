"""Programs that are told what happens in a project."""

from __future__ import annotations

from django.contrib import messages
from django.core.paginator import Paginator
from django.db.models import Count, Max, Q
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from labelling.forms import WebhookForm
from labelling.models import Project
from labelling.services import Refused
from labelling.services import webhooks as services
from labelling.views.access import Request, attempt, manager_view

PER_PAGE = 50


@never_cache
@manager_view
def webhook_list(request: Request, project: Project) -> HttpResponse:
    """A project's webhooks; the secret of a new one is shown once, in answer to the form."""
    form, secret = WebhookForm(request.POST or None), ""
    if request.method == "POST" and form.is_valid():
        try:
            _webhook, secret = services.add(project, request.user, **form.cleaned_data)
            form = WebhookForm()
        except Refused as refusal:
            form.add_error("address", str(refusal))
    waiting = Count("deliveries", filter=Q(deliveries__delivered_at=None))
    found = project.webhooks.annotate(n_waiting=waiting, last=Max("deliveries__delivered_at"))
    context = {"project": project, "form": form, "secret": secret, "webhooks": found}
    return render(request, "labelling/webhooks.html", context)


@manager_view
def detail(request: Request, project: Project, pk: int) -> HttpResponse:
    """One webhook, and what was sent to it."""
    webhook = get_object_or_404(project.webhooks, pk=pk)
    deliveries = webhook.deliveries.select_related("event")
    page = Paginator(deliveries, PER_PAGE).get_page(request.GET.get("page"))
    return render(request, "labelling/webhook.html", {"project": project, "webhook": webhook, "page": page})


@require_POST
@manager_view
def pause(request: Request, project: Project, pk: int) -> HttpResponse:
    services.pause(get_object_or_404(project.webhooks, pk=pk))
    return redirect("webhook", project.slug, pk)


@require_POST
@manager_view
def resume(request: Request, project: Project, pk: int) -> HttpResponse:
    services.resume(get_object_or_404(project.webhooks, pk=pk))
    return redirect("webhook", project.slug, pk)


@require_POST
@manager_view
def remove(request: Request, project: Project, pk: int) -> HttpResponse:
    webhook = get_object_or_404(project.webhooks, pk=pk)
    services.remove(webhook)
    messages.success(request, _("Nothing is sent to %(address)s any more.") % {"address": webhook.address})
    return redirect("webhooks", project.slug)


@require_POST
@manager_view
def resend(request: Request, project: Project, pk: int, delivery_pk: int) -> HttpResponse:
    webhook = get_object_or_404(project.webhooks, pk=pk)
    delivery = get_object_or_404(webhook.deliveries, pk=delivery_pk)
    if attempt(request, services.resend, delivery):
        messages.success(request, _("It is sent once more within seconds."))
    return redirect("webhook", project.slug, pk)
