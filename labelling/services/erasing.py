"""A person is erased: what they did stays, under a name that says nothing of them.

Past releases were delivered with what they say, and stay. So does what somebody wrote into a text of their own: a
guideline, a definition, a reason. Whatever else holds the name, mail address or network address is changed or deleted.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType
from django.db import transaction
from django.db.models import Q, TextField
from django.db.models.functions import Cast
from django.utils.translation import gettext as _

from labelling.models import (
    Comment,
    Decision,
    DiaryEntry,
    Habit,
    Invitation,
    Mailbox,
    Membership,
    Mention,
    Notice,
    Project,
    Release,
    SavedView,
    Session,
    Token,
)
from labelling.services import Refused, accounts, diary, packing
from labelling.services.diary import Act

FORMER = "former reviewer"
# What is theirs alone and of no use without them.
THEIRS: tuple[Any, ...] = (
    Token,
    Session,
    Notice,
    Mailbox,
    Mention,
    SavedView,
    Habit,
    Membership,
    Authenticator,
    SocialAccount,
    EmailAddress,
)


@dataclass(frozen=True)
class Trace:
    """What somebody has left, in numbers of rows; ``n_releases`` are past ones that may name them."""

    n_decisions: int
    n_comments: int
    n_entries: int
    n_tokens: int
    n_projects: int
    n_releases: int


def trace(user: User) -> Trace:
    """Count what erasing somebody changes, deletes, or leaves."""
    decided = Decision.objects.filter(reviewer=user).values("document__project")
    return Trace(
        n_decisions=Decision.objects.filter(reviewer=user).count(),
        n_comments=Comment.objects.filter(author=user).count(),
        n_entries=_entries(user).count(),
        n_tokens=Token.objects.filter(user=user).count(),
        n_projects=Membership.objects.filter(user=user).count(),
        n_releases=Release.objects.filter(project__in=decided, state=Release.State.DONE).count(),
    )


@transaction.atomic
def erase(user: User, typed_name: str, by: User) -> str:
    """Erase a person and return what they are called from now on.

    Args:
        user: who is erased.
        typed_name: their name, as whoever does so typed it.
        by: who does so.

    Raises:
        Refused: when another name was typed, when it is oneself, and when a project would be left without a manager or
            the site without an administrator.
    """
    if typed_name.strip() != user.username:
        raise Refused(_("Type the name as it is written here."))
    if user == by:
        raise Refused(_("Nobody erases themselves: ask another administrator."))
    if left := sorted(str(project) for project in accounts.without_manager(user)):
        told = {"projects": ", ".join(left)}
        raise Refused(_("Nobody else manages %(projects)s. Make somebody manager there first.") % told)
    accounts.lock_out(user)
    decided = Decision.objects.filter(reviewer=user).values("document__project")
    for project in Project.objects.filter(Q(memberships__user=user) | Q(pk__in=decided)).distinct():
        # Its file names them; it is packed anew when somebody asks for it.
        packing.forget(project)
    old, new = user.username, _free_name()
    names = {old: new, user.email: ""} if user.email else {old: new}
    _rename_in_diary(user, names)
    _rename_in_threads(old, new)
    LogEntry.objects.filter(content_type=ContentType.objects.get_for_model(User), object_id=user.pk).update(
        object_repr=new, change_message=""
    )
    _rename_invitations(user, new)
    for model in THEIRS:
        model._default_manager.filter(user=user).delete()
    _forget_account(user, new)
    diary.write(Act.ERASED, about=new, user=by)
    return new


def _entries(user: User) -> Any:
    """What the diary says of somebody, as who acted or as whom it was done to."""
    found = Q(user=user) | Q(who=user.username) | Q(about=user.username)
    for word in filter(None, (user.username, user.email)):
        found |= Q(said_before__contains=word) | Q(said_after__contains=word)
    said = {f"said_{when}": Cast(when, TextField()) for when in ("before", "after")}
    entries: Any = DiaryEntry.objects
    return entries.annotate(**said).filter(found)


def _rename_in_diary(user: User, names: Mapping[str, str]) -> None:
    """The one change that is ever made to what the diary says."""
    for entry in _entries(user).iterator():
        is_theirs = entry.user_id == user.pk or names.keys() & {entry.who, entry.about}
        DiaryEntry.objects.filter(pk=entry.pk).update(
            who=names.get(entry.who, entry.who),
            about=names.get(entry.about, entry.about),
            before=_renamed(entry.before, names),
            after=_renamed(entry.after, names),
            address="" if is_theirs else entry.address,
        )


def _renamed(value: Any, names: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _renamed(one, names) for key, one in value.items()}
    if isinstance(value, list):
        return [_renamed(one, names) for one in value]
    return names.get(value, value) if isinstance(value, str) else value


def _rename_in_threads(old: str, new: str) -> None:
    """Those who named them with an @."""
    named = re.compile(rf"(?<![\w.+-])@{re.escape(old)}(?![\w@+-]|\.\w)", re.IGNORECASE)
    for comment in Comment.objects.filter(text__icontains=f"@{old}").iterator():
        Comment.objects.filter(pk=comment.pk).update(text=named.sub(f"@{new}", comment.text)[: Comment.MAX_CHARS])


def _rename_invitations(user: User, name: str) -> None:
    for invitation in Invitation.objects.filter(used_by=user):
        told = DiaryEntry.objects.filter(act=Act.INVITED, project=invitation.project, user=invitation.created_by)
        told.filter(about=invitation.name).update(about=name)
        Invitation.objects.filter(pk=invitation.pk).update(name=name)


def _free_name() -> str:
    taken = set(User.objects.filter(username__startswith=FORMER).values_list("username", flat=True))
    return next(name for n in range(1, len(taken) + 2) if (name := f"{FORMER} {n}") not in taken)


def _forget_account(user: User, name: str) -> None:
    user.username, user.email, user.first_name, user.last_name = name, "", "", ""
    user.is_active = user.is_staff = user.is_superuser = False
    user.last_login = None
    user.set_unusable_password()
    user.save()
    user.groups.clear()
    user.user_permissions.clear()
