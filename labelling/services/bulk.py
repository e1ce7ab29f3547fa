"""Accept one predicted label for many documents at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple
from uuid import uuid4

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Count, F, QuerySet
from django.utils.translation import gettext as _

from labelling.models import Decision, Document, Label, People, Project, Query, QueueEntry
from labelling.services import Refused, claims, review

AT_MOST = 50


class LeftOut(NamedTuple):
    """A document that was not accepted with the others, and why."""

    document: Document
    reason: str


class Accepted(NamedTuple):
    """What became of a bulk: the decisions taken, and what was left out."""

    decisions: list[Decision]
    left_out: list[LeftOut]


def offered(project: Project, user: User) -> QuerySet[QueueEntry]:
    """What may be accepted in bulk: not what others have open, no audits, nothing that more people decide on."""
    free = claims.available(project, user).filter(people=People.ONE)
    return free.exclude(query__reason__in=Query.AUDITS)


def labels(project: Project, user: User) -> list[dict]:
    """The predicted labels of what may be accepted in bulk: {pk, name, n}, the most frequent first."""
    counted = offered(project, user).order_by().values(pk=F("query__label"), name=F("query__label__name"))
    return list(counted.annotate(n=Count("pk")).order_by("-n", "name"))


def table(project: Project, user: User, label: Label) -> list[QueueEntry]:
    """The documents to show for a label, the surest first, at most ``AT_MOST``."""
    entries = offered(project, user).filter(query__label=label).order_by("-query__posterior", "pk")
    shown = entries.select_related("document__prediction", "query__verdict__better_label", "query__judge_failure")
    return list(shown[:AT_MOST])


@transaction.atomic
def accept(project: Project, user: User, label: Label, document_ids: Sequence[int]) -> Accepted:
    """Accept a label for these documents, as far as they wait for that still.

    What was accepted with the same label by the same person is not told again: it is a second click.

    Raises:
        Refused: for no document, or more than ``AT_MOST``.
    """
    if not document_ids or len(document_ids) > AT_MOST:
        raise Refused(_("Choose between one and %(n)s documents.") % {"n": AT_MOST})
    documents = project.documents.filter(pk__in=document_ids).order_by("pk")
    locked = project.queue.select_for_update(of=("self",)).filter(document__in=documents)
    entries = {entry.document_id: entry for entry in locked.select_related("query", "claimed_by", "document")}
    skipped = set(review.skips(user).filter(document__in=documents).values_list("document", flat=True))
    accepted, left_out = [], []
    for document in documents:
        entry = entries.get(document.pk)
        if entry is None:
            if reason := _why_gone(document, user, label):
                left_out.append(LeftOut(document, reason))
        elif reason := _why_not(entry, user, label, skipped):
            left_out.append(LeftOut(document, reason))
        else:
            accepted.append(entry)
    return Accepted(_decide(project, user, accepted), left_out)


def _decide(project: Project, user: User, entries: list[QueueEntry]) -> list[Decision]:
    together = uuid4()
    decisions = Decision.objects.bulk_create(
        Decision(
            document=entry.document,
            query=entry.query,
            entry=entry.pk,
            reviewer=user,
            action=Decision.Action.ACCEPT,
            label_id=entry.query.label_id,
            bulk=together,
        )
        for entry in entries
    )
    project.queue.filter(pk__in=[entry.pk for entry in entries]).delete()
    review.settle(project, [entry.document_id for entry in entries])
    return decisions


def _why_gone(document: Document, user: User, label: Label) -> str:
    decision = document.decisions.standing().select_related("reviewer", "label").first()
    if decision is None:
        return _("It has left the queue: it has its label, or a newer round is sure of it.")
    if (decision.reviewer_id, decision.label_id) == (user.pk, label.pk):
        return ""
    return _("%(reviewer)s has decided on it already: %(decision)s.") % {
        "reviewer": decision.reviewer,
        "decision": decision,
    }


def _why_not(entry: QueueEntry, user: User, label: Label, skipped: set[int]) -> str:
    if claims.is_held_by_another(entry, user):
        return claims.reviewing_now(entry)
    if entry.query.is_audit:
        return _("It is an audit: it has to be decided on by itself.")
    if entry.people != People.ONE:
        return _("More than one person has to decide on it.")
    if entry.query.label_id != label.pk:
        return _("Another label is predicted by now.")
    return _("You have skipped it.") if entry.document_id in skipped else ""
