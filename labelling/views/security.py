"""One's second factor: what allauth does, on the site's own pages."""

from __future__ import annotations

from functools import partial
from typing import Any

from allauth.account.views import ReauthenticateView
from allauth.mfa.base.views import AuthenticateView
from allauth.mfa.base.views import ReauthenticateView as CodeAgainView
from allauth.mfa.recovery_codes.views import GenerateRecoveryCodesView, ViewRecoveryCodesView
from allauth.mfa.totp.views import ActivateTOTPView, DeactivateTOTPView
from django.contrib import messages
from django.contrib.auth.models import User
from django.db import transaction
from django.http import HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _

from labelling.forms import CodeAgainForm, CodeForm, FirstCodeForm, PasswordAgainForm
from labelling.services import account_changes, diary, logins, second_factor, sign_on
from labelling.services.diary import Act
from labelling.views.access import Request


def security(request: Request) -> HttpResponse:
    """What one's account is guarded by."""
    context = {
        "sign_on": sign_on.name(),
        "link": sign_on.links(request.user).first(),
        "is_set_up": second_factor.is_set_up(request.user),
        "n_recovery_codes": second_factor.n_recovery_codes(request.user),
    }
    return render(request, "labelling/security.html", context)


class _Guarded:
    """A form that makes whoever failed too often wait."""

    request: Request
    guarded_form: Any

    def who(self) -> User:
        return self.request.user

    def get_form_class(self) -> Any:
        seconds = logins.seconds_to_wait(self.who().get_username(), diary.address())
        return partial(self.guarded_form, seconds=seconds)


class _Code(_Guarded):
    """A code is good for one time."""

    def form_valid(self, form: Any) -> HttpResponse:
        if second_factor.is_first_use(form.authenticator, form.cleaned_data["code"]):
            return super().form_valid(form)  # type: ignore[misc]
        form.add_error("code", _("This code is wrong, was used before, or is too old."))
        logins.code_failed(None, self.who())
        return self.form_invalid(form)  # type: ignore[attr-defined]


class CodeAtLogin(_Code, AuthenticateView):
    """After the password, before one is in."""

    guarded_form = CodeForm
    template_name = "registration/code.html"

    def who(self) -> User:
        return self.stage.login.user


class PasswordAgain(_Guarded, ReauthenticateView):
    """Before an account is changed: is it still its person who sits there?"""

    guarded_form = PasswordAgainForm
    template_name = "registration/again.html"


class CodeAgain(_Code, CodeAgainView):
    """The same, for whoever has no password here."""

    guarded_form = CodeAgainForm
    template_name = "registration/again.html"


class SetUp(ActivateTOTPView):
    """Show an app the secret, as a picture and as text, until it shows the right code."""

    form_class = FirstCodeForm
    template_name = "labelling/set_up_second_factor.html"

    @transaction.atomic
    def form_valid(self, form: Any) -> HttpResponse:
        account_changes.note(self.request.user, Act.SECOND_FACTOR)
        return super().form_valid(form)


class Remove(DeactivateTOTPView):
    """Go back to a password alone."""

    template_name = "labelling/remove_second_factor.html"

    @transaction.atomic
    def form_valid(self, form: Any) -> HttpResponse:
        account_changes.note(self.request.user, Act.SECOND_FACTOR_GONE)
        messages.success(self.request, _("The second factor is removed."))
        return super().form_valid(form)


class RecoveryCodes(ViewRecoveryCodesView):
    """The codes, once; after that how many are left."""

    template_name = "labelling/recovery_codes.html"


class NewRecoveryCodes(GenerateRecoveryCodesView):
    """Others in their place."""

    template_name = "labelling/new_recovery_codes.html"

    @transaction.atomic
    def form_valid(self, form: Any) -> HttpResponse:
        account_changes.note(self.request.user, Act.RECOVERY_CODES)
        return super().form_valid(form)
