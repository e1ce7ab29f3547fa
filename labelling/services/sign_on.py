"""Single sign-on: an account is linked with what its person is called at one provider outside."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from allauth.socialaccount.models import SocialAccount, SocialLogin
from allauth.socialaccount.signals import social_account_added
from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import QuerySet
from django.urls import Resolver404, resolve
from django.utils.translation import gettext as _

from labelling.models import Project
from labelling.services import Refused, account_changes, diary, invitations
from labelling.services.diary import Act


def watch() -> None:
    """Have diary and person told of accounts that are linked."""
    social_account_added.connect(_linked, dispatch_uid="diary")


def name() -> str:
    """What people call the provider; empty where the installation has none."""
    return str(settings.OIDC_NAME) if settings.OIDC_SERVER_URL else ""


def links(user: User) -> QuerySet[SocialAccount]:
    """What the user is called at the provider; nothing of another one that was there before."""
    return SocialAccount.objects.filter(user=user, provider=settings.OIDC_ID)


def makes_account(addresses: list[str], leads_to: str) -> bool:
    """Whether somebody whom no account is linked with gets one.

    Nobody does beside an account of the same address: that is theirs to link, or somebody else's.

    Args:
        addresses: mail addresses that the provider has verified.
        leads_to: the path that the log-in leads to; that of an invitation opens the door.
    """
    if any(User.objects.filter(email__iexact=address).exists() for address in addresses):
        return False
    return settings.OIDC_MAKES_ACCOUNTS or invitations.find(_secret_in(leads_to)) is not None


@transaction.atomic
def welcome(user: User, leads_to: str) -> Project | None:
    """Tell the diary of a new account, and accept the invitation that brought it; return into which project.

    Raises:
        Refused: when somebody else was quicker with the link.
    """
    diary.write(Act.ACCOUNT, about=user, after={"made by": settings.OIDC_NAME}, user=user)
    secret = _secret_in(leads_to)
    return invitations.accept(secret, user) if secret else None


@transaction.atomic
def unlink(user: User) -> None:
    """Let nobody log in as the user by the provider any more.

    Raises:
        Refused: when there would be no way in.
    """
    if not user.has_usable_password():
        raise Refused(_("You have no password here: this is your only way in."))
    if links(user).delete()[0]:
        account_changes.note(user, Act.UNLINKED)


def _secret_in(path: str) -> str:
    """The secret of an invitation, where a path is that of one."""
    try:
        match = resolve(urlsplit(path).path)
    except Resolver404:
        return ""
    return match.kwargs["secret"] if match.url_name == "join" else ""


def _linked(sender: Any, sociallogin: SocialLogin, **kwargs: Any) -> None:
    """By allauth's signal, once the link is kept: it has no place between, and a transaction would span the network."""
    account_changes.note(sociallogin.user, Act.LINKED)
