"""Who reviews which document, and what they decide."""

from __future__ import annotations

from datetime import timedelta

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from labelling.models import Decision, Document, Label, Project, Query, QueueEntry
from labelling.models.documents import Source
from labelling.services import Refused, examples, rounds

Action = Decision.Action

# Audits come first, then the newest round's questions, those with the most open first.
BEFORE_ALL = 10**15
PRIORITIES_A_ROUND = 10_000_000
STEPS_A_NAT = 1_000_000


class Conflict(Refused):
    """Somebody else decided on the document, or holds it now."""


def priority(query: Query) -> int:
    """Place of a query in the review queue; lower is sooner."""
    if query.is_audit:
        return query.rank - query.round.number * PRIORITIES_A_ROUND - BEFORE_ALL
    prediction = getattr(query.document, "prediction", None)
    doubt = prediction.doubt if prediction else query.entropy
    return -round(doubt * STEPS_A_NAT) - query.round.number * PRIORITIES_A_ROUND


@transaction.atomic
def claim_next(project: Project, user: User) -> QueueEntry | None:
    """Return the document this user holds, or reserve the next one for them; None when nothing is left.

    Two users never get the same document: on PostgreSQL locked rows are passed over, on SQLite
    one transaction writes at a time.
    """
    # Locked as well: a decision on it that is being saved (a double click) takes it away.
    held = project.queue.select_for_update().filter(claimed_by=user, claimed_until__gt=timezone.now()).first()
    entry = held or available(project, user).select_for_update(skip_locked=True).first()
    if entry:
        _claim(entry, user)
    return entry


def available(project: Project, user: User) -> QuerySet[QueueEntry]:
    """The entries that this user could be given: free, and not skipped by them before."""
    skipped = _skips(user).filter(document=OuterRef("document"))
    free = Q(claimed_until=None) | Q(claimed_until__lte=timezone.now()) | Q(claimed_by=user)
    return project.queue.filter(free, ~Exists(skipped))


@transaction.atomic
def decide(
    project: Project, entry_id: int, user: User, action: str, label: Label | None = None, reason: str = ""
) -> Decision:
    """Record what the user says of a queued document, and act on it; ``reason`` tells why it was skipped.

    Deciding the same once more (a double click, a request sent again) returns the first decision.

    Raises:
        Conflict: when somebody else decided or holds the document.
        Refused: for an override without a label, or an action that is none.
    """
    entry = project.queue.select_for_update().filter(pk=entry_id).first()
    if entry is None:
        return _decided_before(project, entry_id, user, action, label)
    if entry.claimed_by not in (None, user) and entry.claimed_until and entry.claimed_until > timezone.now():
        raise Conflict(f"{entry.claimed_by} is reviewing this document now.")
    action, label = _resolve(action, label, entry.query.label)
    if action == Action.SKIP and (skipped := _skips(user).filter(document=entry.document).first()):
        return skipped
    decision = Decision.objects.create(
        document=entry.document,
        query=entry.query,
        entry=entry_id,
        reviewer=user,
        action=action,
        label=label,
        reason=reason if action == Action.SKIP else "",
    )
    if action == Action.SKIP:
        _release(entry)
    else:
        entry.delete()
        _settle(entry.document)
    return decision


@transaction.atomic
def relabel(document: Document, user: User, label: Label | None) -> Decision:
    """Record a decision taken outside the queue, on any document; None: it belongs to no label.

    Raises:
        Refused: for a held-out document, whose label must not be learnt.
    """
    if document.holdout:
        raise Refused("This document is held out to measure with; its label can't be changed here.")
    entry = QueueEntry.objects.select_for_update().filter(document=document).first()
    decision = Decision.objects.create(
        document=document,
        query=entry.query if entry else None,
        entry=entry.pk if entry else None,
        reviewer=user,
        action=Action.OVERRIDE if label else Action.NONE,
        label=label,
    )
    if entry:
        entry.delete()
    _settle(document)
    return decision


def standing_decisions(project: Project, user: User) -> QuerySet[Decision]:
    """What the user decided and has not withdrawn, last first."""
    decisions = Decision.objects.filter(document__project=project, reviewer=user, withdrawn_by=None)
    return decisions.exclude(action=Action.UNDO)


@transaction.atomic
def undo(project: Project, user: User, decision_id: int) -> Decision | None:
    """Withdraw a decision of the user's and give them the document again.

    None when there is nothing to withdraw: undoing the same once more (a double click) changes nothing.
    """
    decision = standing_decisions(project, user).filter(pk=decision_id).first()
    if decision is None:
        return None
    document = Document.objects.select_for_update().get(pk=decision.document_id)
    if Decision.objects.filter(withdraws=decision).exists():
        return None
    Decision.objects.create(
        document=document, query=decision.query, reviewer=user, action=Action.UNDO, withdraws=decision
    )
    example = examples.settle(document)
    query = decision.query or (None if example else _last_question(document))
    if query and not document.holdout and not (example and example.source == Source.HUMAN):
        _requeue(query, user)
    return decision


def release(project: Project, user: User) -> None:
    """Give back what the user holds, so that others get it at once."""
    project.queue.filter(claimed_by=user).update(claimed_by=None, claimed_until=None)


def _skips(user: User) -> QuerySet[Decision]:
    return Decision.objects.filter(reviewer=user, action=Action.SKIP, withdrawn_by=None)


def _resolve(action: str, label: Label | None, predicted: Label | None) -> tuple[str, Label | None]:
    """Overriding a label with itself is accepting it."""
    if action == Action.ACCEPT or (action == Action.OVERRIDE and label and label == predicted):
        return Action.ACCEPT, predicted
    if action == Action.OVERRIDE:
        if label is None:
            raise Refused("Choose the label to put in its place.")
        return Action.OVERRIDE, label
    if action not in (Action.NONE, Action.SKIP):
        raise Refused("Choose one of the answers.")
    return action, None


def _decided_before(project: Project, entry_id: int, user: User, action: str, label: Label | None) -> Decision:
    decision = Decision.objects.filter(
        document__project=project, entry=entry_id, action__in=Decision.LABELLING, withdrawn_by=None
    ).first()
    if decision is None:
        raise Conflict("This document has left the queue: it has its label, or a newer round is sure of it.")
    if decision.reviewer != user:
        raise Conflict(f"{decision.reviewer} has decided on this document already: {decision}.")
    predicted = decision.query.label if decision.query else None
    if _resolve(action, label, predicted) != (decision.action, decision.label):
        raise Conflict(f"You have decided on this document already: {decision}. Undo that first.")
    return decision


def _settle(document: Document) -> None:
    examples.settle(document)
    # After the commit: of two people who decide at once, the later one counts both.
    transaction.on_commit(lambda: rounds.start_if_due(document.project))


def _claim(entry: QueueEntry, user: User) -> None:
    entry.claimed_by = user
    entry.claimed_until = timezone.now() + timedelta(minutes=entry.project.claim_minutes)
    entry.save(update_fields=["claimed_by", "claimed_until"])


def _release(entry: QueueEntry) -> None:
    entry.claimed_by = entry.claimed_until = None
    entry.save(update_fields=["claimed_by", "claimed_until"])


def _last_question(document: Document) -> Query | None:
    """The last question about a document that was decided on outside the queue: the evidence to review it with."""
    return document.queries.order_by("-pk").first()


def _requeue(query: Query, user: User) -> None:
    release(query.round.project, user)
    entry, _ = QueueEntry.objects.get_or_create(
        document=query.document,
        defaults={"project": query.round.project, "query": query, "priority": priority(query)},
    )
    if entry.claimed_by in (None, user) or entry.claimed_until is None or entry.claimed_until <= timezone.now():
        _claim(entry, user)
