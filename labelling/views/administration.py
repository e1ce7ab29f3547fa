"""Accounts, for administrators: invite by link, give roles, let nobody in who has left."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth.models import User
from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from labelling.forms import AccountInvitationForm, AccountKindForm
from labelling.models import Invitation, Membership
from labelling.services import Refused, accounts, erasing, invitations, second_factor
from labelling.views.access import Request, administrator_view, attempt, searched

PER_PAGE = 50


@administrator_view
def account_list(request: Request) -> HttpResponse:
    return _page(request)


@require_POST
@administrator_view
def invite(request: Request) -> HttpResponse:
    """Make a link for one person; it is shown once, in answer to the form."""
    form, link = AccountInvitationForm(request.POST), ""
    if form.is_valid():
        secret = invitations.invite(user=request.user, **form.cleaned_data)
        link, form = request.build_absolute_uri(reverse("join", args=[secret])), AccountInvitationForm()
    return _page(request, form, link)


@require_POST
@administrator_view
def take_back(request: Request, pk: int) -> HttpResponse:
    invitations.take_back(get_object_or_404(Invitation, pk=pk))
    return redirect("accounts")


@require_POST
@administrator_view
def set_kind(request: Request, pk: int) -> HttpResponse:
    form = AccountKindForm(request.POST)
    if form.is_valid():
        user = get_object_or_404(User, pk=pk)
        if attempt(request, accounts.set_kind, user, form.cleaned_data["kind"]):
            told = {"user": user, "kind": accounts.kind_of(user).label}
            messages.success(request, _("%(user)s: %(kind)s.") % told)
    return redirect("accounts")


@require_POST
@administrator_view
def deactivate(request: Request, pk: int) -> HttpResponse:
    user = get_object_or_404(User, pk=pk)
    try:
        without = accounts.deactivate(user)
    except Refused as refusal:
        messages.error(request, str(refusal))
    else:
        messages.success(request, _("%(user)s can't log in any more. Their decisions stay.") % {"user": user})
        if without:
            told = {"projects": ", ".join(str(project) for project in without)}
            messages.warning(request, _("Nobody manages these projects now: %(projects)s.") % told)
    return redirect("accounts")


@require_POST
@administrator_view
def activate(request: Request, pk: int) -> HttpResponse:
    user = get_object_or_404(User, pk=pk)
    accounts.activate(user)
    messages.success(request, _("%(user)s can log in again.") % {"user": user})
    return redirect("accounts")


@require_POST
@administrator_view
def take_second_factor_away(request: Request, pk: int) -> HttpResponse:
    user = get_object_or_404(User, pk=pk)
    second_factor.take_away(user)
    messages.success(request, _("%(user)s logs in with a password alone now.") % {"user": user})
    return redirect("accounts")


@administrator_view
def erase(request: Request, pk: int) -> HttpResponse:
    """What somebody has left, counted; to take their name from it."""
    user = get_object_or_404(User, pk=pk)
    if request.method == "POST":
        try:
            name = erasing.erase(user, request.POST.get("name", ""), request.user)
        except Refused as refusal:
            messages.error(request, str(refusal))
            return redirect("erase_account", pk)
        messages.success(request, _("Erased. What they did is by “%(name)s” now.") % {"name": name})
        return redirect("accounts")
    return render(request, "labelling/erase_account.html", {"account": user, "trace": erasing.trace(user)})


def _page(request: Request, invitation: AccountInvitationForm | None = None, link: str = "") -> HttpResponse:
    words = searched(request)
    page = Paginator(accounts.found(words), PER_PAGE).get_page(request.GET.get("page"))
    theirs = Membership.objects.filter(user__in=[user.pk for user in page]).select_related("project")
    rows = [
        (user, accounts.kind_of(user), [one for one in theirs if one.user_id == user.pk], _form_for(user))
        for user in page
    ]
    context = {
        "page": page,
        "rows": rows,
        "query": words,
        "invitation": invitation or AccountInvitationForm(),
        "link": link,
        "open": Invitation.objects.open().select_related("project"),
        "lasts": invitations.LASTS.days,
    }
    return render(request, "labelling/accounts.html", context)


def _form_for(user: User) -> AccountKindForm:
    return AccountKindForm(initial={"kind": accounts.kind_of(user)}, auto_id=f"account_{user.pk}_%s")
