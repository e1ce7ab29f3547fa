"""Who may do what: the one place that pages and API ask."""

from __future__ import annotations

from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db.models import F, QuerySet
from django.shortcuts import get_object_or_404
from django.utils.translation import gettext as _

from labelling.models import Project
from labelling.services import second_factor


class SecondFactorDemanded(PermissionDenied):
    """A project lets nobody in without a second factor, and the user has none."""


def project_of(user: User, slug: str) -> Project:
    """Return a project that the user is a member of.

    Raises:
        Http404: when there is none; a stranger isn't told whether there is one.
        SecondFactorDemanded: when they have to set one up first.
    """
    projects = Project.objects.visible_to(user)
    if not user.is_superuser:
        # With what nearly every page asks next.
        member = {"asked_by": "user", "role": "role", "expertise": "expertise"}
        projects = projects.annotate(**{name: F(f"memberships__{field}") for name, field in member.items()})
    project = get_object_or_404(projects, slug=slug)
    if project.demands_second_factor and not second_factor.is_set_up(user):
        raise SecondFactorDemanded(_("This project demands a second factor: set one up first, under “Security”."))
    return project


def closed_to(user: User) -> QuerySet[Project]:
    """The projects that demand a second factor which the user has not, for lists over several projects."""
    demanding = Project.objects.filter(demands_second_factor=True)
    return demanding.none() if second_factor.is_set_up(user) else demanding


def check_manager(user: User, project: Project) -> None:
    """Make sure that the user manages the project.

    Raises:
        PermissionDenied: when not.
    """
    if not project.is_managed_by(user):
        raise PermissionDenied(_("Only managers of this project can do that."))


def check_may_export(user: User, project: Project) -> None:
    """Make sure that the user may take a project's documents out.

    Raises:
        PermissionDenied: when that is for managers alone.
    """
    if not project.reviewers_export and not project.is_managed_by(user):
        raise PermissionDenied(_("In this project only managers export."))


def check_administrator(user: User) -> None:
    """Make sure that the user administers the site.

    Raises:
        PermissionDenied: when not.
    """
    if not user.is_superuser:
        raise PermissionDenied(_("Only administrators can do that."))


def may_create_projects(user: User) -> bool:
    return user.is_staff


def check_may_create_projects(user: User) -> None:
    """Make sure that the user may create projects.

    Raises:
        PermissionDenied: when not.
    """
    if not may_create_projects(user):
        raise PermissionDenied(_("Only staff can create projects."))
