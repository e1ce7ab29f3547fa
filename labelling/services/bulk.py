"""Accept one predicted label, the most probable one (Query.predicted_id), for many documents at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple
from uuid import uuid4

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Count, F, QuerySet
from django.utils.translation import gettext as _

from labelling.models import Decision, Document, Label, People, Project, Query, QueueEntry, Verdict
from labelling.services import Refused, claims, gold, review

AT_MOST = 50


class Row(NamedTuple):
    """A document that is offered, and how probable the label is.

    Attributes:
        verdict: the judge's last one on it.
        ticked: not where the judge refused the label.
    """

    entry: QueueEntry
    belief: float
    verdict: Verdict | None
    ticked: bool


class LeftOut(NamedTuple):
    """A document that was not accepted with the others, and why."""

    document: Document
    reason: str


class Accepted(NamedTuple):
    """What became of a bulk: the decisions taken, and what was left out."""

    decisions: list[Decision]
    left_out: list[LeftOut]


def offered(project: Project, user: User) -> QuerySet[QueueEntry]:
    """What may be accepted in bulk: not what others have open, no audits, nothing that more people decide on.

    Nor what most probably belongs to no label, nor what is answered before the machine's word is shown. Nothing where
    each decision of the user's needs a second person, or they have to practise first.
    """
    if gold.needs_second(project, user) or (project.practice_first and gold.practice(project, user)):
        return project.queue.none()
    free = claims.available(project, user).filter(
        people=People.ONE,
        answer_first=False,
        document__prediction__posterior_label__isnull=False,
        document__prediction__posterior_label__retired_at=None,
    )
    return free.exclude(query__reason__in=Query.BLIND)


def labels(project: Project, user: User) -> list[dict]:
    """The predicted labels of what may be accepted in bulk: {pk, code, name, n}, the most frequent first."""
    predicted = {
        "pk": F("document__prediction__posterior_label"),
        "code": F("document__prediction__posterior_label__code"),
        "name": F("document__prediction__posterior_label__name"),
    }
    counted = offered(project, user).order_by().values(**predicted)
    return list(counted.annotate(n=Count("pk")).order_by("-n", "name"))


def table(project: Project, user: User, label: Label) -> list[Row]:
    """The documents to show for a label, the surest first, at most ``AT_MOST``."""
    entries = offered(project, user).filter(document__prediction__posterior_label=label)
    entries = entries.order_by("-document__prediction__posterior", "pk").select_related("document__prediction")[
        :AT_MOST
    ]
    documents = [entry.document_id for entry in entries]
    said = Verdict.objects.filter(query__document__in=documents).select_related("query__label", "better_label")
    last = {verdict.query.document_id: verdict for verdict in said.order_by("pk")}
    refused = {verdict.query.document_id for verdict in said if _refuses(verdict, label)}
    return [
        Row(entry, entry.document.prediction.posterior, last.get(entry.document_id), entry.document_id not in refused)
        for entry in entries
    ]


def _refuses(verdict: Verdict, label: Label) -> bool:
    """Whether the judge said that it is another label, or not this one."""
    if verdict.verdict == Verdict.Name.UNSURE:
        return False
    if verdict.query.form == Query.Form.CHOOSE:
        return label.pk in verdict.query.offered and verdict.chosen_id != label.pk
    return verdict.query.label_id == label.pk and verdict.verdict == Verdict.Name.INVALID


@transaction.atomic
def accept(project: Project, user: User, label: Label, document_ids: Sequence[int]) -> Accepted:
    """Accept a label for these documents, as far as they wait for that still.

    What was accepted with the same label by the same person is not told again: it is a second click.

    Raises:
        Refused: for no document, more than ``AT_MOST``, or somebody whose decisions need a second person.
    """
    review.check_alone(project, user)
    if not document_ids or len(document_ids) > AT_MOST:
        raise Refused(_("Choose between one and %(n)s documents.") % {"n": AT_MOST})
    documents = project.documents.filter(pk__in=document_ids).order_by("pk")
    locked = project.queue.select_for_update(of=("self",)).filter(document__in=documents)
    locked = locked.select_related("query__document__prediction", "claimed_by", "document")
    entries = {entry.document_id: entry for entry in locked}
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
    return Accepted(_decide(project, user, label, accepted), left_out)


def _decide(project: Project, user: User, label: Label, entries: list[QueueEntry]) -> list[Decision]:
    together = uuid4()
    decisions = Decision.objects.bulk_create(
        Decision(
            document=entry.document,
            query=entry.query,
            entry=entry.pk,
            reviewer=user,
            action=Decision.Action.ACCEPT,
            label=label,
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
    if entry.answer_first:
        return _("It has to be answered before the machine's word is shown.")
    if entry.people != People.ONE:
        return _("More than one person has to decide on it.")
    if entry.query.predicted_id != label.pk:
        return _("Another label is predicted by now.")
    return _("You have skipped it.") if entry.document_id in skipped else ""
