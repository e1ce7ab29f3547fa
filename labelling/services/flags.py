"""Remarks on documents, for whoever looks after the project."""

from __future__ import annotations

from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from labelling.models import Document, Flag, Project
from labelling.services import Refused

MAX_COMMENT_CHARS = 2_000


def standing(project: Project) -> QuerySet[Flag]:
    """Flags that nobody has dealt with yet."""
    return Flag.objects.filter(document__project=project, lowered_at=None)


def standing_on(document_id: int) -> QuerySet[Flag]:
    """Those on one document: most have none, and then nobody who remarked is read."""
    return Flag.objects.filter(document=document_id, lowered_at=None).prefetch_related("author")


def flag(document: Document, author: User, comment: str) -> Flag:
    """Keep a remark with the document; the same remark sent again is the first one.

    Raises:
        Refused: without a comment, or with one of more than 2,000 characters.
    """
    comment = comment.replace("\0", "").strip()
    if not comment:
        raise Refused(_("Say in a few words what is odd about it."))
    if len(comment) > MAX_COMMENT_CHARS:
        raise Refused(_("At most %(n)s characters.") % {"n": f"{MAX_COMMENT_CHARS:,}"})
    return standing(document.project).get_or_create(document=document, author=author, comment=comment)[0]


def lower(flag: Flag, user: User) -> None:
    """Say that a flag has been dealt with; it stays in the document's history."""
    Flag.objects.filter(pk=flag.pk, lowered_at=None).update(lowered_at=timezone.now(), lowered_by=user)
