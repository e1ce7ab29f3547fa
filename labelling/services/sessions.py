"""The engine of sessions: as Django keeps them in the database, and whose each is."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast

from django.conf import settings
from django.contrib.auth import SESSION_KEY
from django.contrib.auth.models import User
from django.contrib.sessions.backends.base import SessionBase
from django.contrib.sessions.backends.db import SessionStore as DatabaseStore
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from labelling.models import Session


class SessionStore(DatabaseStore):
    """What ``settings.SESSION_ENGINE`` names."""

    @classmethod
    def get_model_class(cls) -> type[Session]:
        return Session

    def create_model_instance(self, data: dict[str, Any]) -> Session:
        session = cast("Session", super().create_model_instance(data))
        session.user_id = int(data[SESSION_KEY]) if SESSION_KEY in data else None
        return session


@dataclass(frozen=True)
class Place:
    """A browser in which somebody is logged in. ``id`` names it on pages, which never show the key."""

    key: str
    id: str
    address: str
    browser: str
    since: datetime | None
    is_here: bool


def note_place(session: SessionBase, address: str, browser: str) -> None:
    """Keep with a session where it began, and when it ends, whatever is written into it meanwhile."""
    now = timezone.now()
    session["place"] = {"address": address, "browser": browser[:200], "since": now.isoformat()}
    session.set_expiry(now + timedelta(seconds=settings.SESSION_COOKIE_AGE))


def is_idle(session: SessionBase) -> bool:
    """Whether nobody has shown a sign of life in a session for ``SESSION_IDLE_MINUTES``."""
    limit = settings.SESSION_IDLE_MINUTES
    return bool(limit) and _rest(session) > timedelta(minutes=limit)


def note_life(session: SessionBase) -> None:
    """Keep that somebody is there, where that is asked for; to the minute, as each time is written."""
    if settings.SESSION_IDLE_MINUTES and ("seen" not in session or _rest(session) > timedelta(minutes=1)):
        session["seen"] = timezone.now().isoformat()


def _rest(session: SessionBase) -> timedelta:
    seen = parse_datetime(session.get("seen", ""))
    return timezone.now() - seen if seen else timedelta()


def places(user: User, here: str) -> list[Place]:
    """Where the user is logged in now, the one with the key ``here`` first."""
    found = [_place(row, here) for row in Session.objects.filter(user=user, expire_date__gt=timezone.now())]
    return sorted(found, key=lambda place: not place.is_here)


def _place(row: Session, here: str) -> Place:
    told = row.get_decoded().get("place", {})
    return Place(
        row.session_key,
        hashlib.sha256(row.session_key.encode()).hexdigest()[:16],
        told.get("address", ""),
        told.get("browser", ""),
        parse_datetime(told.get("since", "")),
        row.session_key == here,
    )


def end(user: User, keys: list[str]) -> int:
    """Log the user out there, and return in how many places that was."""
    return Session.objects.filter(user=user, session_key__in=keys).delete()[0]
