"""What allauth asks the site for: what it says, and where it leads."""

from __future__ import annotations

import logging
from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.core.exceptions import SignupClosedException
from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from allauth.socialaccount.models import SocialAccount, SocialLogin
from allauth.socialaccount.providers.base import AuthError
from django.contrib import messages
from django.contrib.auth.models import User
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, resolve_url
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from labelling.services import Refused, diary, sign_on

logger = logging.getLogger(__name__)


class AccountAdapter(DefaultAccountAdapter):
    """Nobody signs up, and whoever can prove again who they are does so before their account is changed."""

    error_messages = DefaultAccountAdapter.error_messages | {"incorrect_password": _("This is not your password.")}

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return False

    def is_reauthentication_required(self, *, app: str, **kwargs: object) -> bool:
        return bool(self.get_reauthentication_methods(self.request.user))

    def respond_user_inactive(self, request: HttpRequest, user: User) -> HttpResponse:
        messages.error(request, _("This account can't log in any more. Ask an administrator."))
        return redirect("login")


class SecondFactorAdapter(DefaultMFAAdapter):
    """How an account is called in people's apps."""

    error_messages = DefaultMFAAdapter.error_messages | {
        "incorrect_code": _("This code is wrong, was used before, or is too old.")
    }

    def get_totp_label(self, user: User) -> str:
        return user.get_username()


class SignOnAdapter(DefaultSocialAccountAdapter):
    """Who gets in by the provider, and what is kept of what it tells."""

    def populate_user(self, request: HttpRequest, sociallogin: SocialLogin, data: dict[str, Any]) -> User:
        """Keep no address that anybody may have typed, and nothing else that nobody here needs."""
        verified = [address for address in sociallogin.email_addresses if address.verified]
        sociallogin.email_addresses = verified
        sociallogin.account.extra_data = {}
        return super().populate_user(request, sociallogin, data | {"email": verified[0].email if verified else ""})

    def is_open_for_signup(self, request: HttpRequest, sociallogin: SocialLogin) -> bool:
        addresses = [address.email for address in sociallogin.email_addresses]
        is_open = sign_on.makes_account(addresses, sociallogin.state.get("next") or "")
        if not is_open:
            logger.warning("%r of single sign-on has no account, from %s", sociallogin.account.uid, diary.address())
        return is_open

    def save_user(self, request: HttpRequest, sociallogin: SocialLogin, form: object = None) -> User:
        try:
            with transaction.atomic():
                user = super().save_user(request, sociallogin, form)
                project = sign_on.welcome(user, sociallogin.state.get("next") or "")
        except Refused as refusal:
            raise SignupClosedException from refusal
        if project:
            sociallogin.state["next"] = resolve_url(project)
        return user

    def get_connect_redirect_url(self, request: HttpRequest, socialaccount: SocialAccount) -> str:
        return reverse("mfa_index")

    def on_authentication_error(
        self, request: HttpRequest, provider: Any, error: str = AuthError.UNKNOWN, exception: Any = None, **more: Any
    ) -> None:
        logger.warning("Log-in by single sign-on failed, from %s: %s", diary.address(), exception or error)
