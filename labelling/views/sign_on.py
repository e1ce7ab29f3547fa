"""Single sign-on: to the provider and back."""

from __future__ import annotations

from allauth.account.decorators import reauthentication_required
from allauth.socialaccount.adapter import get_adapter
from allauth.socialaccount.helpers import render_authentication_error
from allauth.socialaccount.providers.openid_connect import views as openid_connect
from django.contrib import messages
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe
from requests import RequestException

from labelling.services import sign_on
from labelling.views.access import Request, attempt


@require_safe
@login_not_required
def leave(request: HttpRequest, provider_id: str) -> HttpResponse:
    """Go to the provider, to log in or to link one's account."""
    return _with_provider(openid_connect.login, request, provider_id)


@require_safe
@login_not_required
def come_back(request: HttpRequest, provider_id: str) -> HttpResponse:
    """What the provider says."""
    return _with_provider(openid_connect.callback, request, provider_id)


@login_not_required
def cancelled(request: HttpRequest) -> HttpResponse:
    """Somebody has changed their mind there."""
    messages.info(request, _("You came back without an answer: nothing has changed."))
    return redirect("mfa_index" if request.user.is_authenticated else "login")


@require_POST
@reauthentication_required(app="allauth.socialaccount")
def unlink(request: Request) -> HttpResponse:
    if attempt(request, sign_on.unlink, request.user):
        messages.success(request, _("Your account is not linked any more."))
    return redirect("mfa_index")


def _with_provider(view, request: HttpRequest, provider_id: str) -> HttpResponse:
    """Ask the provider what it offers; allauth takes for granted that this is answered."""
    try:
        return view(request, provider_id)
    except RequestException as error:
        provider = get_adapter().get_provider(request, provider_id)
        return render_authentication_error(request, provider, exception=error)
