"""What allauth asks the site for: what it says, and where it leads."""

from __future__ import annotations

from allauth.account.adapter import DefaultAccountAdapter
from allauth.mfa.adapter import DefaultMFAAdapter
from django.contrib.auth.models import User
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _


class AccountAdapter(DefaultAccountAdapter):
    """Nobody signs up, and whoever can prove again who they are does so before their account is changed."""

    error_messages = DefaultAccountAdapter.error_messages | {"incorrect_password": _("This is not your password.")}

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return False

    def is_reauthentication_required(self, *, app: str, **kwargs: object) -> bool:
        return bool(self.get_reauthentication_methods(self.request.user))


class SecondFactorAdapter(DefaultMFAAdapter):
    """How an account is called in people's apps."""

    error_messages = DefaultMFAAdapter.error_messages | {
        "incorrect_code": _("This code is wrong, was used before, or is too old.")
    }

    def get_totp_label(self, user: User) -> str:
        return user.get_username()
