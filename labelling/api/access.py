"""Who may do what: the token says who asks, and the same rules hold as for the pages."""

from __future__ import annotations

from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest
from django.utils.translation import gettext as _
from ninja.security import HttpBearer

from labelling.models import Project, Token
from labelling.services import access, tokens

Scope = Token.Scope


class Request(HttpRequest):
    """A request with a token that allows it; ``project`` is the one in its address."""

    auth: Token
    user: User
    project: Project


class Bearer(HttpBearer):
    """Lets a token in that has a scope, if its person may do that in the project that the address names.

    Args:
        scope: managers' when it is MANAGE.
    """

    def __init__(self, scope: str):
        super().__init__()
        self.scope = scope

    def authenticate(self, request: HttpRequest, token: str) -> Token | None:
        """Raise Http404 or PermissionDenied where a page would; None without such a token."""
        found = tokens.find(token)
        if found is None:
            return None
        request.user = found.user
        slug = request.resolver_match.kwargs.get("slug") if request.resolver_match else None
        if slug is not None:
            request.project = _opened(found, slug, self.scope)  # type: ignore[attr-defined]
        check_scope(found, self.scope)
        return found


READ, LABEL, MANAGE = (Bearer(scope) for scope in (Scope.READ, Scope.LABEL, Scope.MANAGE))


def check_scope(token: Token, scope: str) -> None:
    """Make sure that a token has a scope.

    Raises:
        PermissionDenied: when not.
    """
    if not token.allows(scope):
        raise PermissionDenied(_("This token has not the scope “%(scope)s”.") % {"scope": scope})


def check_for_all(token: Token) -> None:
    """Make sure that a token is not for one project alone.

    Raises:
        PermissionDenied: when it is.
    """
    if token.project_id:
        raise PermissionDenied(_("This token is for one project alone."))


def check_manages(request: Request) -> None:
    """Make sure that what only managers do may be done in the project of a request.

    Raises:
        PermissionDenied: when not.
    """
    access.check_manager(request.auth.user, request.project)
    check_scope(request.auth, Scope.MANAGE)


def _opened(token: Token, slug: str, scope: str) -> Project:
    if token.project and token.project.slug != slug:
        raise Http404
    project = access.project_of(token.user, slug)
    if scope == Scope.MANAGE:
        access.check_manager(token.user, project)
    if project.archived_at and scope != Scope.READ:
        raise PermissionDenied(_("This project is archived: a manager has to open it again first."))
    return project
