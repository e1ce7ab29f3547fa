"""Who gets in: what the diary says of it, and how long whoever failed too often has to wait."""

from __future__ import annotations

import logging
from datetime import timedelta
from math import ceil
from typing import Any

from allauth.mfa.signals import authentication_failed
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed
from django.db.models import Count, Max, QuerySet
from django.db.models.signals import post_save
from django.http import HttpRequest
from django.utils import timezone

from labelling.models import DiaryEntry
from labelling.services import diary, sessions
from labelling.services.diary import Act

logger = logging.getLogger(__name__)

# So many may be mistakes; from then on each further one doubles the wait.
FREE_FOR_ACCOUNT = 5
FREE_FROM_ADDRESS = 20
FIRST_WAIT = timedelta(seconds=10)
LONGEST_WAIT = timedelta(minutes=15)
REMEMBERED = timedelta(hours=24)


def watch() -> None:
    """Have the diary told of everybody who comes and goes, and of what is changed in the admin."""
    user_logged_in.connect(_came, dispatch_uid="diary")
    user_logged_out.connect(_went, dispatch_uid="diary")
    user_login_failed.connect(_failed, dispatch_uid="diary")
    authentication_failed.connect(code_failed, dispatch_uid="diary")
    post_save.connect(_changed_in_admin, LogEntry, dispatch_uid="diary")


def seconds_to_wait(name: str, address: str) -> int:
    """How long nobody may try to log in as this account, or from this address; 0: at once.

    A log-in clears the account, not the address: whoever has one account may be guessing others.
    """
    failed = DiaryEntry.objects.filter(act=Act.LOGIN_FAILED, at__gt=timezone.now() - REMEMBERED)
    came = DiaryEntry.objects.filter(act=Act.LOGIN, about=name).aggregate(last=Max("pk"))["last"] or 0
    return max(
        _wait_after(failed.filter(about=name, pk__gt=came), FREE_FOR_ACCOUNT),
        _wait_after(failed.filter(address=address), FREE_FROM_ADDRESS) if address else 0,
    )


def code_failed(sender: Any, user: User, **kwargs: Any) -> None:
    """Tell the diary that somebody's second factor was not what it had to be: they wait as after a wrong password."""
    logger.warning("The second factor of %r failed, from %s", user.get_username(), diary.address() or "nowhere")
    diary.write(Act.LOGIN_FAILED, about=user.get_username(), after={"by": "second factor"})


def _wait_after(failed: QuerySet[DiaryEntry], free: int) -> int:
    told = failed.aggregate(n=Count("pk"), last=Max("at"))
    if told["n"] < free:
        return 0
    doublings = min(told["n"] - free, 10)
    left = told["last"] + min(FIRST_WAIT * 2**doublings, LONGEST_WAIT) - timezone.now()
    return max(0, ceil(left.total_seconds()))


def _came(sender: Any, user: User, request: HttpRequest, **kwargs: Any) -> None:
    sessions.note_place(request.session, diary.address(), request.META.get("HTTP_USER_AGENT", ""))
    diary.write(Act.LOGIN, about=user.get_username(), user=user)


def _went(sender: Any, user: User | None, **kwargs: Any) -> None:
    if user:
        diary.write(Act.LOGOUT, about=user.get_username(), user=user)


def _failed(sender: Any, credentials: dict[str, Any], **kwargs: Any) -> None:
    name = str(credentials.get("username", ""))[:150]
    logger.warning("Log-in as %r failed, from %s", name, diary.address() or "nowhere")
    diary.write(Act.LOGIN_FAILED, about=name)


def _changed_in_admin(sender: Any, instance: LogEntry, **kwargs: Any) -> None:
    about = f"{instance.content_type.name}: {instance.object_repr}" if instance.content_type else instance.object_repr
    diary.write(Act.ADMIN, about=about, after={"change": instance.get_change_message()}, user=instance.user)
