"""What one is told: on the page, and by mail."""

from __future__ import annotations

from django.conf import settings as site
from django.contrib import messages
from django.contrib.auth.decorators import login_not_required
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from labelling.forms import MailsForm
from labelling.models import Mailbox, Project
from labelling.services import mails
from labelling.services import notices as services
from labelling.views.access import Request

PER_PAGE = 50


def notice_list(request: Request) -> HttpResponse:
    """What one was told, of one project or of all; looking at the list marks nothing as read."""
    chosen = _chosen(request, request.GET.get("project", ""))
    found = services.of(request.user, chosen)
    context = {
        "projects": Project.objects.visible_to(request.user),
        "chosen": chosen,
        "page": Paginator(found, PER_PAGE).get_page(request.GET.get("page")),
        "n_unread": services.of(request.user, chosen).unread().count(),
    }
    return render(request, "labelling/notices.html", context)


@require_POST
def mark_read(request: Request) -> HttpResponse:
    """Mark all as read: of one project, or of all."""
    chosen = _chosen(request, request.POST.get("project", ""))
    n = services.mark_read(services.of(request.user, chosen))
    told = ngettext("%(n)s notice marked as read.", "%(n)s notices marked as read.", n) % {"n": n}
    messages.success(request, told)
    address = reverse("notices")
    return redirect(f"{address}?{urlencode({'project': chosen.slug})}" if chosen else address)


def follow(request: Request, pk: int) -> HttpResponse:
    """Go where a notice leads: it is read then."""
    notice = get_object_or_404(services.of(request.user), pk=pk)
    services.mark_read(services.of(request.user).filter(pk=pk))
    return redirect(notice.event)


def settings(request: Request) -> HttpResponse:
    """How one is told by mail."""
    mailbox = mails.mailbox_of(request.user)
    form = MailsForm(request.POST or None, instance=mailbox)
    if request.method == "POST" and form.is_valid():
        mails.choose(request.user, form.cleaned_data["mail"])
        messages.success(request, _("Saved."))
        return redirect("notice_settings")
    context = {"form": form, "is_set_up": mails.is_set_up(), "hour": mails.MORNING_HOUR, "zone": site.TIME_ZONE}
    return render(request, "labelling/notice_settings.html", context)


@csrf_exempt
@login_not_required
def stop_mails(request: HttpRequest, token: str) -> HttpResponse:
    """The way out that each mail names, without a login: a mail program posts here by itself (RFC 8058).

    Looking changes nothing: programs that check links look at all of them.
    """
    user = mails.find(token)
    if user and request.method == "POST":
        mails.choose(user, Mailbox.Mail.OFF)
    context = {"person": user, "is_done": request.method == "POST"}
    return render(request, "labelling/stop_mails.html", context, status=200 if user else 410)


def _chosen(request: Request, slug: str) -> Project | None:
    """The project that a request names; None where it names none that one may see."""
    return Project.objects.visible_to(request.user).filter(slug=slug).first() if slug else None
