"""The diary: who did what, when, from where, and what it was before. Each service writes its own entry."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser, User
from django.db.models import Q, QuerySet
from django.utils import timezone

from labelling.models import DiaryEntry, Project
from labelling.services import days

Act = DiaryEntry.Act

# Texts that were changed are told by their beginning: definitions have versions of their own.
MAX_CHARS = 500


@dataclass(frozen=True)
class _Actor:
    find_user: Callable[[], AbstractBaseUser | AnonymousUser | None]
    address: str = ""


NOBODY = _Actor(lambda: None)
_actor: ContextVar[_Actor] = ContextVar("actor")


@contextmanager
def acting(find_user: Callable[[], AbstractBaseUser | AnonymousUser | None], address: str = "") -> Iterator[None]:
    """Say who acts, and from where, until the end of the block."""
    token = _actor.set(_Actor(find_user, address))
    try:
        yield
    finally:
        _actor.reset(token)


def address() -> str:
    """The network address of whoever acts; empty on the command line and in the worker."""
    return _actor.get(NOBODY).address


def write(
    act: Act,
    project: Project | None = None,
    about: object = "",
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
    user: User | None = None,
) -> None:
    """Write down one act, in the transaction of what was done.

    Args:
        act: what it was.
        project: where; None for what is of no project.
        about: what it was done to.
        before: values that are no more, by name.
        after: values that are new, by name.
        user: who did it, where that is not who acts.
    """
    actor = _actor.get(NOBODY)
    found = user or actor.find_user()
    person = found if isinstance(found, User) else None
    DiaryEntry.objects.create(
        user=person,
        who=person.get_username() if person else "",
        address=actor.address,
        project=project if project and project.pk else None,
        project_name=project.name if project else "",
        act=act,
        about=str(about)[:255],
        before=_brief(before),
        after=_brief(after),
    )


def write_changes(
    act: Act, project: Project, about: object, before: Mapping[str, Any], after: Mapping[str, Any], **more: Any
) -> None:
    """Write down what is another value than before; nothing where nothing is."""
    changed = [name for name in after if before.get(name) != after[name]]
    if changed:
        write(act, project, about, {name: before.get(name) for name in changed}, {n: after[n] for n in changed}, **more)


def find(
    entries: QuerySet[DiaryEntry], act: str = "", who: str = "", since: date | None = None, until: date | None = None
) -> QuerySet[DiaryEntry]:
    """Those of entries that are of one act or person, in a span of days, both included."""
    chosen = Q()
    if act:
        chosen &= Q(act=act)
    if who:
        chosen &= Q(who=who)
    return entries.filter(chosen, days.within("at", since, until))


def forget(older_than: timedelta) -> int:
    """Delete what is older, and return how many entries that were."""
    return DiaryEntry.objects.filter(at__lt=timezone.now() - older_than).delete()[0]


def _brief(values: Mapping[str, Any] | None) -> dict[str, Any]:
    return {name: value[:MAX_CHARS] if isinstance(value, str) else value for name, value in (values or {}).items()}
