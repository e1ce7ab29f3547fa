"""Accounts: who there is, what each may do on the site, and who may not log in any more. Nothing of theirs is lost."""

from __future__ import annotations

from allauth.mfa.models import Authenticator
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Count, Exists, OuterRef, Q, QuerySet
from django.utils.translation import gettext as _

from labelling.models import AccountKind, Membership, Project, QueueEntry, Session
from labelling.services import Refused, claims, diary
from labelling.services.diary import Act


def found(words: str = "") -> QuerySet[User]:
    """The accounts whose name or e-mail address holds the words; those who may log in first.

    With ``n_projects``, and ``has_second_factor``.
    """
    theirs = Authenticator.objects.filter(user=OuterRef("pk"))
    accounts = User.objects.annotate(n_projects=Count("memberships"), has_second_factor=Exists(theirs))
    accounts = accounts.order_by("-is_active", "username")
    return accounts.filter(Q(username__icontains=words) | Q(email__icontains=words)) if words else accounts


def kind_of(user: User) -> AccountKind:
    if user.is_superuser:
        return AccountKind.ADMINISTRATOR
    return AccountKind.CREATOR if user.is_staff else AccountKind.MEMBER


@transaction.atomic
def set_kind(user: User, kind: str) -> None:
    """Let somebody do more on the site, or less; what they are in projects stays.

    Raises:
        Refused: when no administrator would be left.
    """
    before = kind_of(user)
    if kind == before:
        return
    if kind != AccountKind.ADMINISTRATOR:
        _keep_an_administrator(leaving=user)
    user.is_superuser = kind == AccountKind.ADMINISTRATOR
    user.is_staff = kind != AccountKind.MEMBER
    user.save(update_fields=["is_superuser", "is_staff"])
    diary.write(Act.ACCOUNT, about=user, before={"kind": before}, after={"kind": kind})


@transaction.atomic
def deactivate(user: User) -> list[Project]:
    """Lock somebody out at once, until they are let in again.

    Returns:
        The projects that no other manager looks after.

    Raises:
        Refused: when no administrator would be left.
    """
    lock_out(user)
    diary.write(Act.ACCOUNT, about=user, before={"active": True}, after={"active": False})
    return [project for project in without_manager(user) if not project.archived_at]


def lock_out(user: User) -> None:
    """Log somebody out everywhere, let them in no more, and give what they have open back to the others.

    Raises:
        Refused: when no administrator would be left.
    """
    _keep_an_administrator(leaving=user)
    user.is_active = False
    user.save(update_fields=["is_active"])
    Session.objects.filter(user=user).delete()
    for project in Project.objects.filter(pk__in=QueueEntry.objects.filter(claimed_by=user).values("project")):
        claims.release(project, user)


def without_manager(leaving: User) -> list[Project]:
    """The projects that somebody manages and nobody else does who may log in."""
    managers = Membership.objects.filter(role=Membership.Role.MANAGER)
    others = managers.filter(user__is_active=True).exclude(user=leaving)
    theirs = Project.objects.filter(pk__in=managers.filter(user=leaving).values("project"))
    return list(theirs.exclude(pk__in=others.values("project")))


@transaction.atomic
def activate(user: User) -> None:
    """Let somebody in again, with all that they were."""
    user.is_active = True
    user.save(update_fields=["is_active"])
    diary.write(Act.ACCOUNT, about=user, before={"active": False}, after={"active": True})


def _keep_an_administrator(leaving: User) -> None:
    administrators = User.objects.filter(is_superuser=True, is_active=True).select_for_update()
    keys = set(administrators.values_list("pk", flat=True))
    if keys == {leaving.pk}:
        raise Refused(_("A site needs at least one administrator. Make somebody else administrator first."))
