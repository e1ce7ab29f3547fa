"""Links that let one person into a project, for a while."""

from __future__ import annotations

import hashlib
import secrets
from datetime import timedelta

from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from labelling.models import AccountKind, Invitation, Project
from labelling.services import Refused, accounts, diary, projects
from labelling.services.diary import Act

LASTS = timedelta(days=7)


@transaction.atomic
def invite(project: Project | None, user: User, name: str, role: str) -> str:
    """Invite one person; return the secret of their link, which nobody can read again.

    Args:
        project: into which; None: onto the site, to make projects.
        user: who invites.
        name: whom the link is for, to recognize it by.
        role: what they will be.
    """
    secret = secrets.token_urlsafe(32)
    until = timezone.now() + LASTS
    invitation = Invitation.objects.create(
        project=project, role=role, name=name, digest=_digest(secret), created_by=user, expires_at=until
    )
    diary.write(Act.INVITED, project, invitation, after={"role": role, "until": until.date()}, user=user)
    return secret


def find(secret: str) -> Invitation | None:
    """Return the open invitation with this secret."""
    return Invitation.objects.open().filter(digest=_digest(secret)).select_related("project").first()


@transaction.atomic
def accept(secret: str, user: User) -> Project | None:
    """Make the user what the link says, once; whoever may do more stays as they are.

    Raises:
        Refused: when the link was used, taken back, or is too old.
    """
    open_ = Invitation.objects.open().select_for_update(of=("self",)).select_related("project")
    invitation = open_.filter(digest=_digest(secret)).first()
    if invitation is None:
        raise Refused(_("This link was used, was taken back, or is too old. Ask for another one."))
    if invitation.project is None:
        if not user.is_staff:
            accounts.set_kind(user, AccountKind.CREATOR)
    elif not invitation.project.is_managed_by(user):
        projects.set_member(invitation.project, user, invitation.role)
    invitation.used_at, invitation.used_by = timezone.now(), user
    invitation.save(update_fields=["used_at", "used_by"])
    return invitation.project


@transaction.atomic
def take_back(invitation: Invitation) -> None:
    """Let a link that nobody has used lead nowhere."""
    if Invitation.objects.filter(pk=invitation.pk, used_at=None).delete()[0]:
        diary.write(Act.UNINVITED, invitation.project, invitation, before={"role": invitation.role})


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
