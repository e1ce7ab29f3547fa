"""What is done with many documents at once: each act is counted first, done as one, noted, and undone as one."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from labelling.models import BulkAct, Document, Flag, Gold, Label, People, Prediction, Project, Query, QueueEntry
from labelling.services import Refused, audits, claims, flags, gold, review

Kind = BulkAct.Kind

# More would keep everybody else from writing for too long.
AT_MOST = 1_000


@dataclass(frozen=True)
class Reach:
    """Which of the chosen documents an act is for, and how many it leaves out."""

    documents: QuerySet[Document]
    n: int
    n_left_out: int


def reach(project: Project, kind: str, chosen: QuerySet[Document]) -> Reach:
    """Say which documents an act can be done with.

    None that is held out gets a label or goes to review, nor an audit that waits, nor one that several people decide on
    or that somebody has open. Only what a round has predicted can go to review, and not what waits there already;
    only what has its label from a person or a file can train reviewers.
    """
    documents = chosen.order_by("pk")
    if kind != Kind.FLAG:
        now = timezone.now()
        in_hands = Q(people__gt=People.ONE) | Q(claimed_until__gt=now)
        busy = project.queue.filter(in_hands, document=OuterRef("pk")).order_by()
        waiting = audits.waiting(project).values("document")
        documents = documents.filter(~Exists(busy), holdout=False).exclude(pk__in=waiting)
    if kind == Kind.REVIEW:
        documents = documents.filter(queue_entry=None, prediction__isnull=False)
    if kind == Kind.GOLD:
        documents = gold.usable(documents)
    n = documents.order_by().count()
    return Reach(documents, n, chosen.order_by().count() - n)


@transaction.atomic
def label(project: Project, user: User, chosen: QuerySet[Document], how: str, label: Label) -> BulkAct:
    """Record a decision on each document that this can be done with.

    Raises:
        Refused: for none, too many, or a retired label.
    """
    if label.retired_at:
        raise Refused(_("“%(label)s” is retired: choose another one.") % {"label": label})
    documents = _checked(reach(project, Kind.LABEL, chosen))
    bulk = review.relabel_together(project, documents, user, label)
    return _note(project, user, Kind.LABEL, how, len(documents), label=label, bulk=bulk)


@transaction.atomic
def send_to_review(project: Project, user: User, chosen: QuerySet[Document], how: str) -> BulkAct:
    """Lay documents out for people, before what the rounds lay out; no round takes them out of the queue again.

    Raises:
        Refused: for none or too many.
    """
    documents = _checked(reach(project, Kind.REVIEW, chosen))
    entries = [claims.entry_for(query) for query in _questions(documents)]
    for entry in entries:
        entry.sent_by = user
        entry.priority -= claims.BEFORE_QUESTIONS
    rows = [entry.pk for entry in QueueEntry.objects.bulk_create(entries)]
    return _note(project, user, Kind.REVIEW, how, len(rows), rows=rows)


@transaction.atomic
def flag(project: Project, user: User, chosen: QuerySet[Document], how: str, comment: str) -> BulkAct:
    """Keep the same remark with each document.

    Raises:
        Refused: for none, too many, or a remark that is empty or too long.
    """
    documents = _checked(reach(project, Kind.FLAG, chosen))
    rows = [flags.flag(document, user, comment).pk for document in documents]
    return _note(project, user, Kind.FLAG, how, len(rows), rows=rows)


@transaction.atomic
def train_with(project: Project, user: User, chosen: QuerySet[Document], how: str) -> BulkAct:
    """Let new reviewers practise on documents whose label is known, and measure the others by them.

    Raises:
        Refused: for none or too many.
    """
    documents = _checked(reach(project, Kind.GOLD, chosen))
    rows = [one.pk for one in Gold.objects.bulk_create(Gold(document=one, picked_by=user) for one in documents)]
    return _note(project, user, Kind.GOLD, how, len(rows), rows=rows)


@transaction.atomic
def undo(act: BulkAct, user: User) -> int:
    """Take back what nobody has changed since; return how many documents that were.

    Raises:
        Refused: when it was undone before.
    """
    act = BulkAct.objects.select_for_update().get(pk=act.pk)
    if act.undone_at:
        raise Refused(_("It has been undone already."))
    if act.kind == Kind.LABEL:
        n = review.withdraw_together(act.project, act.bulk, user) if act.bulk else 0
    elif act.kind == Kind.REVIEW:
        n = act.project.queue.filter(pk__in=act.rows, claimed_until=None).delete()[1].get("labelling.QueueEntry", 0)
    elif act.kind == Kind.GOLD:
        n = Gold.objects.filter(pk__in=act.rows, document__project=act.project).delete()[0]
    else:
        standing = Flag.objects.filter(pk__in=act.rows, lowered_at=None)
        n = standing.update(lowered_at=timezone.now(), lowered_by=user)
    act.undone_by, act.undone_at = user, timezone.now()
    act.save(update_fields=["undone_by", "undone_at"])
    return n


def may_undo(act: BulkAct, user: User, is_manager: bool) -> bool:
    """Whoever did it, and managers."""
    return act.undone_at is None and (is_manager or act.user_id == user.pk)


def _checked(reach: Reach) -> list[Document]:
    if not reach.n:
        raise Refused(_("With none of these documents can that be done."))
    if reach.n > AT_MOST:
        raise Refused(_("At most %(n)s documents at once: choose fewer.") % {"n": f"{AT_MOST:,}"})
    return list(reach.documents.select_related("project"))


def _questions(documents: list[Document]) -> list[Query]:
    """For each document its last question that waits nowhere, or else a new one about what is predicted."""
    pks = [document.pk for document in documents]
    asked = Query.objects.filter(document__in=pks, queue_entry=None).exclude(reason__in=Query.BLIND)
    asked = asked.exclude(label__retired_at__isnull=False).select_related("round").order_by("pk")
    last = {query.document_id: query for query in asked}
    predicted = Prediction.objects.filter(document__in=[pk for pk in pks if pk not in last]).select_related("round")
    new = [
        Query(
            round=prediction.round,
            document_id=prediction.document_id,
            label_id=prediction.likeliest_id,
            rank=0,
            reason=Query.Reason.REVIEW,
            probability=prediction.probability,
            posterior=prediction.posterior,
            entropy=prediction.entropy,
            candidates=prediction.candidates,
            examples=[],
            neighbours=[],
        )
        for prediction in predicted
    ]
    return [*last.values(), *Query.objects.bulk_create(new)]


def _note(
    project: Project,
    user: User,
    kind: str,
    how: str,
    n: int,
    label: Label | None = None,
    bulk: UUID | None = None,
    rows: list[int] | None = None,
) -> BulkAct:
    return BulkAct.objects.create(
        project=project, user=user, kind=kind, chosen=how[:255], n=n, label=label, bulk=bulk, rows=rows or []
    )
