"""Who may do what: the one place that pages and API ask."""

from __future__ import annotations

from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.shortcuts import get_object_or_404
from django.utils.translation import gettext as _

from labelling.models import Project


def project_of(user: User, slug: str) -> Project:
    """Return a project that the user is a member of.

    Raises:
        Http404: when there is none; a stranger isn't told whether there is one.
    """
    return get_object_or_404(Project.objects.visible_to(user), slug=slug)


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
