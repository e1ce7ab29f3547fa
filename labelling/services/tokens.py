"""Tokens of programs: make one, find whose it is, and answer a repeated request as the first time."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from labelling.models import KeyedRequest, Project, Token
from labelling.services import Refused, diary

PREFIX = "red_"
N_SHOWN = 12
# After that a repeated request is a new one.
KEYS_LAST = timedelta(days=7)


@transaction.atomic
def create(user: User, name: str, scope: str, days: int, project: Project | None = None) -> tuple[Token, str]:
    """Make a token that holds for so many days; return it with its secret, which nobody can read again."""
    secret = PREFIX + secrets.token_urlsafe(32)
    token = Token.objects.create(
        user=user,
        project=project,
        name=name,
        scope=scope,
        digest=_digest(secret),
        beginning=secret[:N_SHOWN],
        expires_at=timezone.now() + timedelta(days=days),
    )
    told = {"name": name, "scope": scope, "until": token.expires_at.date()}
    diary.write(diary.Act.TOKEN_CREATED, project, token, after=told, user=user)
    return token, secret


def find(secret: str) -> Token | None:
    """Return the token with this secret; None where there is none, it has expired, or its person may not log in."""
    found = Token.objects.filter(digest=_digest(secret), expires_at__gt=timezone.now(), user__is_active=True)
    return found.select_related("user", "project").first()


@transaction.atomic
def revoke(user: User, pk: int) -> None:
    """Take one of the user's tokens back."""
    if token := Token.objects.filter(user=user, pk=pk).select_related("project").first():
        token.delete()
        diary.write(diary.Act.TOKEN_REVOKED, token.project, token, before={"name": token.name}, user=user)


@transaction.atomic
def once(
    token: Token, key: str, request: bytes, add: Callable[[], tuple[int, dict[str, Any]]]
) -> tuple[int, dict[str, Any]]:
    """Add something, unless a request with this key has done so; return status and answer, then, of that time.

    Of two at once the second waits for the first. What fails leaves no trace, and may be tried again.

    Args:
        token: keys are its own.
        key: given by the sender.
        request: what makes it this request.
        add: does what is asked.

    Raises:
        Refused: when the key was used for another request.
    """
    fingerprint = _digest(request)
    KeyedRequest.objects.filter(token=token, created_at__lt=timezone.now() - KEYS_LAST).delete()
    row, is_new = KeyedRequest.objects.get_or_create(token=token, key=key, defaults={"fingerprint": fingerprint})
    if row.fingerprint != fingerprint:
        raise Refused(_("This idempotency key was used for another request."))
    if is_new:
        row.status, row.answer = add()
        row.save(update_fields=["status", "answer"])
    return row.status, row.answer


def _digest(secret: str | bytes) -> str:
    return hashlib.sha256(secret.encode() if isinstance(secret, str) else secret).hexdigest()
