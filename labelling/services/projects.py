"""Projects and who belongs to them."""

from __future__ import annotations

from django.contrib.auth.models import User
from django.db import transaction
from django.utils.text import slugify
from django.utils.translation import gettext as _

from labelling.models import Membership, Project
from labelling.services import Refused, diary
from labelling.services.diary import Act


@transaction.atomic
def create_project(name: str, creator: User, **settings) -> Project:
    """Create a project whose first manager is its creator."""
    project = Project.objects.create(name=name, slug=free_slug(name), **settings)
    Membership.objects.create(project=project, user=creator, role=Membership.Role.MANAGER)
    diary.write(Act.PROJECT_CREATED, project, name, user=creator)
    return project


@transaction.atomic
def change(project: Project, **settings: object) -> None:
    """Change settings; a running round keeps those that it started with.

    Raises:
        ValidationError: for a value that a project can't have.
    """
    before = Project.objects.filter(pk=project.pk).values(*settings).get()
    for name, value in settings.items():
        setattr(project, name, value)
    project.full_clean()
    project.save(update_fields=list(settings))
    diary.write_changes(Act.SETTINGS, project, project.name, before, settings)


@transaction.atomic
def set_member(project: Project, user: User, role: str) -> Membership:
    """Add somebody to a project, or change their role.

    Raises:
        Refused: when the project would be left without a manager.
    """
    if role != Membership.Role.MANAGER:
        _keep_a_manager(project, leaving=user)
    known = project.memberships.filter(user=user).first()
    before = {"role": known.role} if known else {}
    membership, _ = Membership.objects.update_or_create(project=project, user=user, defaults={"role": role})
    diary.write_changes(Act.MEMBER, project, user, before, {"role": role})
    return membership


@transaction.atomic
def remove_member(membership: Membership) -> None:
    """Take somebody out of a project; what they decided stays.

    Raises:
        Refused: when the project would be left without a manager.
    """
    _keep_a_manager(membership.project, leaving=membership.user)
    membership.delete()
    diary.write(Act.MEMBER_REMOVED, membership.project, membership.user, before={"role": membership.role})


def _keep_a_manager(project: Project, leaving: User) -> None:
    managers = project.memberships.filter(role=Membership.Role.MANAGER)
    if managers.filter(user=leaving).exists() and not managers.exclude(user=leaving).exists():
        raise Refused(_("A project needs at least one manager. Make somebody else manager first."))


def free_slug(name: str) -> str:
    """The part of a new project's address that is made of its name, and is no other project's."""
    base = slugify(name)[:100] or "project"
    taken = set(Project.objects.filter(slug__startswith=base).values_list("slug", flat=True))
    return next(slug for n in range(1, len(taken) + 2) if (slug := base if n == 1 else f"{base}-{n}") not in taken)
