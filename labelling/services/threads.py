"""Threads at labels and documents: what people say to one another, and whom they mean. It decides nothing.

Of a document that waits for a decision nobody may influence, nothing is told and nothing can be said.
"""

from __future__ import annotations

import re

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from labelling.models import Comment, Document, Label, Mention, People, Project, Query, QueueEntry
from labelling.services import Refused, access, diary
from labelling.services.diary import Act

NAMED = re.compile(r"(?<![\w@])@([\w.@+-]+)")


def of_label(label: Label) -> QuerySet[Comment]:
    return label.comments.select_related("author", "project")


def of_document(document: Document) -> QuerySet[Comment]:
    """What was said of a document; nothing while it waits for a blind decision."""
    comments = document.comments.select_related("author", "project")
    return comments.none() if is_blind(document) else comments


def is_blind(document: Document) -> bool:
    """Whether the document waits for somebody who must not know what others think of it."""
    return _blind_entries().filter(document=document).exists()


@transaction.atomic
def say(on: Label | Document, author: User, text: str) -> Comment:
    """Add to a thread; whoever is named with an @ finds it in their list.

    Raises:
        Refused: when nothing is said, too much, or the document waits for a blind decision.
    """
    text = text.replace("\0", "").replace("\r\n", "\n").strip()
    if not text:
        raise Refused(_("Say something first."))
    if len(text) > Comment.MAX_CHARS:
        raise Refused(_("At most %(n)s characters.") % {"n": f"{Comment.MAX_CHARS:,}"})
    if isinstance(on, Document) and is_blind(on):
        raise Refused(_("This document waits for somebody who is not to know what others think of it."))
    where = {"document": on} if isinstance(on, Document) else {"label": on}
    comment = Comment.objects.create(project=on.project, author=author, text=text, **where)
    Mention.objects.bulk_create(
        Mention(comment=comment, user=user) for user in named_in(text, on.project) if user != author
    )
    return comment


def named_in(text: str, project: Project) -> list[User]:
    """The members whom a text names, as in "@ann, is this right?"; each once."""
    members = colleagues(project)
    by_name = {user.username.casefold(): user for user in members}
    # A name may hold dots, and a sentence may end behind it.
    words = [(word, word.rstrip(".-+@")) for word in NAMED.findall(text.casefold())]
    found = [by_name.get(word) or by_name.get(bare) for word, bare in words]
    return list(dict.fromkeys(user for user in found if user))


def colleagues(project: Project) -> list[User]:
    """Who can be named in a project: its members who may log in."""
    return list(User.objects.filter(memberships__project=project, is_active=True).order_by("username"))


@transaction.atomic
def remove(comment: Comment, user: User) -> None:
    """Take a comment away, with its mentions.

    Raises:
        Refused: when it is somebody else's, and the user no manager.
    """
    if comment.author != user and not comment.project.is_managed_by(user):
        raise Refused(_("Only its author, or a manager, can remove a comment."))
    told = {"author": str(comment.author or ""), "text": comment.text}
    diary.write(Act.COMMENT_REMOVED, comment.project, comment.label or comment.document_id, before=told, user=user)
    comment.delete()


def mentions_of(user: User) -> QuerySet[Mention]:
    """Where the user is named, in projects that let them in, the newest first; ``is_blind``: not to be told now."""
    found = user.mentions.filter(comment__project__in=Project.objects.visible_to(user))
    found = found.exclude(comment__project__in=access.closed_to(user))
    blind = _blind_entries().filter(document=OuterRef("comment__document"))
    return found.annotate(is_blind=Exists(blind)).select_related(
        "comment__author", "comment__project", "comment__label", "comment__document"
    )


def n_unseen(user: User) -> int:
    """How many mentions the user has not had in their list yet."""
    return user.mentions.filter(comment__project__in=Project.objects.visible_to(user), seen_at=None).count()


def note_seen(user: User) -> None:
    """Remember that the user has had all their mentions before them."""
    user.mentions.filter(seen_at=None).update(seen_at=timezone.now())


def _blind_entries() -> QuerySet[QueueEntry]:
    return QueueEntry.objects.filter(
        Q(query__reason__in=Query.AUDITS) | Q(people=People.TWO) | Q(answer_first=True)
    ).order_by()
